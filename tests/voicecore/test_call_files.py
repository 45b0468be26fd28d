import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.audio.format import FRAME_MS, L16_8K, L16_16K, MULAW_8K, AudioFormat
from media.call_directory import CallDirectory
from media.recording_writer import DiskWriter, QueuedFile, WavFile
from tests.support.files import PATIENCE_S, BlockedFile, blocked, finish, running_writer
from voicecore.call_files import LINE_LAG_MS, CallFiles, CallFilesReport
from voicecore.call_record import BATCH_MS
from voicecore.hearing import MAX_DRIFT_MS
from voicecore.journal import Event, read_events
from voicecore.transcript import (
    TRANSCRIPT_LIMIT_BYTES,
    TranscriptEntry,
    agent_entry,
    caller_entry,
    read_transcript,
)
from voicecore.turns.heard_word import HeardWord


class ManualTimer:
    def __init__(self, at_ms: int, callback: Callable[[], None]) -> None:
        self.at_ms = at_ms
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Starts at an arbitrary time and moves when it is told to."""

    def __init__(self) -> None:
        self._now_ms = 777_000
        self.timers: list[ManualTimer] = []

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> ManualTimer:
        self.timers.append(ManualTimer(at_ms, callback))
        return self.timers[-1]

    def advance(self, by_ms: int) -> None:
        until_ms = self._now_ms + by_ms
        while True:
            self.timers = [timer for timer in self.timers if not timer.cancelled]
            due = min(self.timers, key=lambda timer: timer.at_ms, default=None)
            if due is None or due.at_ms > until_ms:
                break
            self.timers.remove(due)
            self._now_ms = max(self._now_ms, due.at_ms)
            due.callback()
        self._now_ms = until_ms


def samples(value: int, duration_ms: int) -> bytes:
    return np.full(8 * duration_ms, value, "<i2").tobytes()


def events_of(path: str | Path) -> list[Event]:
    return read_events(Path(path).read_bytes())


def entries_of(path: str | Path) -> list[TranscriptEntry]:
    return read_transcript(Path(path).read_bytes())


async def closed(files: CallFiles) -> CallFilesReport:
    return await asyncio.wait_for(files.close(), PATIENCE_S)


async def test_a_call_from_start_to_end(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        files.agent(0, samples(9, 5000))
        for at_ms in range(0, 3000, 20):
            assert files.now_ms() == at_ms
            files.caller(at_ms, samples(3, 20))
            clock.advance(20)
        files.cut_agent(3000)
        files.journal.write("call_started", 0, carrier="x")
        files.journal.write("interrupted", 3000)
        files.put_entry(agent_entry(0, 0, [HeardWord("hi", 0, 900, True)]))
        files.put_entry(caller_entry(1, 0, 3000, "hello"))
        clock.advance(500)
        report = await closed(files)
        assert (await closed(files)) is report
    assert report.damage == ()
    assert report.recording_ms == 3500
    sound, rate_hz = soundfile.read(report.recording_path, dtype="int16")
    assert rate_hz == 8000
    assert sound[:, 0].tolist() == [3] * 24_000 + [0] * 4000
    assert sound[:, 1].tolist() == [9] * 24_000 + [0] * 4000
    events = events_of(report.events_path)
    assert [event.type for event in events] == ["call_started", "interrupted"]
    assert len(entries_of(report.transcript_path)) == 2
    assert sorted(path.name for path in (tmp_path / "call").iterdir()) == [
        "events.jsonl",
        "recording.wav",
        "transcript.json",
    ]


async def test_files_grow_while_the_call_goes_on(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=MULAW_8K, agent=MULAW_8K, clock=clock)
        files.journal.write("call_started", 0)
        files.put_entry(caller_entry(1, 0, 100, "hello"))
        for at_ms in range(0, 6000, 20):
            files.caller(at_ms, b"\x10" * 160)
            clock.advance(20)
        marker = QueuedFile(CallDirectory(tmp_path, "marker"), "log")
        await asyncio.to_thread(finish, writer, marker)
        sound, _ = soundfile.read(tmp_path / "call" / "recording.wav")
        assert 5500 <= len(sound) / 8 <= 6000
        assert len(events_of(tmp_path / "call" / "events.jsonl")) == 1
        assert entries_of(tmp_path / "call" / "transcript.json")[0].text == "hello"
        await closed(files)


async def test_a_line_that_lags_is_waited_for(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        files.caller(0, samples(1, 1000))
        clock.advance(1000 + LINE_LAG_MS)
        files.caller(1000, samples(2, LINE_LAG_MS))
        clock.advance(10_000)
        files.caller(1000 + LINE_LAG_MS, samples(3, 100))
        report = await closed(files)
    sound, _ = soundfile.read(report.recording_path, dtype="int16")
    came = 1000 + LINE_LAG_MS
    assert sound[: 8 * came, 0].tolist() == [1] * 8000 + [2] * 8 * LINE_LAG_MS
    assert set(sound[8 * came :, 0].tolist()) == {0}
    assert report.losses.late_ms == 100
    assert len(sound) == 8 * (came + 10_000)


def test_no_line_is_further_behind_than_it_is_waited_for() -> None:
    assert LINE_LAG_MS >= MAX_DRIFT_MS + FRAME_MS


async def test_the_last_frames_are_kept_though_they_lie_ahead(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        files.agent(0, samples(9, 5000))
        files.caller(0, samples(3, 1060))
        clock.advance(1000)
        report = await closed(files)
    sound, _ = soundfile.read(report.recording_path, dtype="int16")
    assert sound[:, 0].tolist() == [3] * 8 * 1060
    assert sound[:, 1].tolist() == [9] * 8000 + [0] * 480, "this the carrier never played"
    assert report.recording_ms == 1060


class NotedWriter(DiskWriter):
    """Notes how much of a recording is handed over; nothing is written."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded_bytes = 0

    def write(self, file: QueuedFile, data: bytes) -> bool:
        if isinstance(file, WavFile):
            self.recorded_bytes += len(data)
        return True


def oldest_unwritten_ms(lag_ms: int | None, agent: AudioFormat = L16_8K) -> int:
    """How much of a call of 10 s a kill costs at the worst moment, but for what the operating
    system takes. The line lags by so much, or brings nothing."""
    clock = ManualClock()
    writer = NotedWriter()
    files = CallFiles(writer, Path("none"), "call", caller=L16_8K, agent=agent, clock=clock)
    bytes_per_ms = 4 * agent.rate_hz // 1000
    worst_ms = 0
    for now_ms in range(10_000):
        if now_ms % 20 == 0 and lag_ms is not None and now_ms >= lag_ms + 20:
            files.caller(now_ms - lag_ms - 20, samples(1, 20))
        if now_ms % 60 == 0:
            files.agent(now_ms + 140, agent.silence(60))
        clock.advance(1)
        worst_ms = max(worst_ms, now_ms + 1 - writer.recorded_bytes // bytes_per_ms)
    return worst_ms + BATCH_MS


@pytest.mark.parametrize("lag_ms", [0, 20, 60])
def test_a_steady_line_loses_half_a_second_when_the_process_is_killed(lag_ms: int) -> None:
    assert oldest_unwritten_ms(lag_ms) <= 500


@pytest.mark.parametrize("lag_ms", [200, 400, MAX_DRIFT_MS, None])
def test_no_line_loses_a_second_when_the_process_is_killed(lag_ms: int | None) -> None:
    assert oldest_unwritten_ms(lag_ms) <= 900, "the machine needs some time too"


def test_a_change_of_rate_holds_little_back() -> None:
    assert oldest_unwritten_ms(0, L16_16K) <= 530
    assert oldest_unwritten_ms(None, L16_16K) <= 930


async def test_different_rates_end_together(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=MULAW_8K, agent=L16_16K, clock=clock)
        clock.advance(1500)
        report = await closed(files)
    assert soundfile.info(report.recording_path).frames == 16 * 1500


async def test_a_call_that_is_not_recorded(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(
            writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock, record=False
        )
        files.caller(0, samples(1, 20))
        files.agent(0, samples(1, 20))
        files.cut_agent(0)
        clock.advance(5000)
        assert clock.timers == []
        files.journal.write("call_started", 0)
        report = await closed(files)
    assert (report.recording_path, report.recording_ms) == ("", 0)
    assert report.events_path
    assert entries_of(report.transcript_path) == []


async def test_audio_after_the_end_goes_nowhere(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        clock.advance(100)
        report = files.close()
        files.caller(100, samples(1, 20))
        files.cut_agent(5)
        clock.advance(10_000)
        await asyncio.wait_for(report, PATIENCE_S)
    assert clock.timers == []
    assert soundfile.info((await report).recording_path).frames == 800


async def test_a_disk_that_fails_is_in_the_report(tmp_path: Path) -> None:
    base = tmp_path / "file"
    base.write_text("")
    clock = ManualClock()
    with running_writer() as (writer, damage):
        files = CallFiles(writer, base, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        files.journal.write("call_started", 0)
        clock.advance(2000)
        report = await closed(files)
    assert {one.file for one in report.damage} == {
        "recording.wav",
        "events.jsonl",
        "transcript.json",
    }
    assert len(damage) >= 3
    assert (report.recording_path, report.events_path, report.transcript_path) == ("", "", "")


async def test_a_slow_disk_does_not_hold_up_the_call(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer(queue_limit_bytes=100_000) as (writer, _):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            for at_ms in range(0, 10_000, 20):
                files.caller(at_ms, samples(5, 20))
                clock.advance(20)
        clock.advance(1000)
        report = await closed(files)
    assert [(one.file, one.code) for one in report.damage] == [("recording.wav", "queue_full")]
    assert soundfile.info(report.recording_path).frames == 8 * 11_000


async def test_a_loop_that_is_gone_does_not_hurt_the_writer(tmp_path: Path) -> None:
    with running_writer() as (writer, _):
        slow = BlockedFile(CallDirectory(tmp_path, "slow"), "log")

        def in_another_loop() -> None:
            async def call() -> None:
                clock = ManualClock()
                files = CallFiles(writer, tmp_path, "a", caller=L16_8K, agent=L16_8K, clock=clock)
                files.close()

            asyncio.run(call())

        with blocked(writer, slow):
            await asyncio.to_thread(in_another_loop)
        clock = ManualClock()
        files = CallFiles(writer, tmp_path, "b", caller=L16_8K, agent=L16_8K, clock=clock)
        assert (await closed(files)).transcript_path


async def test_a_call_that_floods_its_events_harms_only_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer(queue_limit_bytes=8 * 2**20) as (writer, damage):
        flooding, neighbour = (
            CallFiles(writer, tmp_path, name, caller=L16_8K, agent=L16_8K, clock=clock)
            for name in ("flooding", "neighbour")
        )
        with blocked(writer, BlockedFile(CallDirectory(tmp_path, "slow"), "log")):
            for at_ms in range(0, 10_000, 20):
                for files in (flooding, neighbour):
                    files.caller(at_ms, samples(7, 20))
                clock.advance(20)
                for _ in range(20):
                    flooding.journal.write("carrier_fault", at_ms, detail="x" * 60_000)
                neighbour.journal.write("dtmf", at_ms, digit="1")
            flooding.journal.write("call_ended", 10_000, reason="caller_hangup")
            reports = [files.close() for files in (flooding, neighbour)]
        bad, good = await asyncio.wait_for(asyncio.gather(*reports), PATIENCE_S)
    assert good.damage == ()
    assert len(events_of(good.events_path)) == 500
    # Not even its own recording suffers.
    for report in (bad, good):
        sound, _ = soundfile.read(report.recording_path, dtype="int16")
        assert sound[:, 0].tolist() == [7] * 80_000
    assert {one.file for one in bad.damage} == {"events.jsonl"}
    assert {one.file for one in damage} == {"events.jsonl"}


async def test_a_transcript_has_a_length(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, damage):
        files = CallFiles(writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock)
        for turn in range(50):
            files.put_entry(caller_entry(turn, turn * 1000, turn * 1000 + 500, "x" * 100_000))
            clock.advance(1000)
        report = await closed(files)
    entries = entries_of(report.transcript_path)
    assert [entry.turn for entry in entries] == list(range(20))
    assert files.transcript.size_bytes <= TRANSCRIPT_LIMIT_BYTES
    assert [(one.file, one.code) for one in report.damage] == [("transcript.json", "too_long")]
    assert list(report.damage) == damage


async def test_a_long_transcript_is_written_more_seldom(tmp_path: Path) -> None:
    clock = ManualClock()
    with running_writer() as (writer, _):
        files = CallFiles(
            writer, tmp_path, "call", caller=L16_8K, agent=L16_8K, clock=clock, record=False
        )
        for turn in range(100):
            files.put_entry(caller_entry(turn, turn * 1000, turn * 1000 + 500, "x" * 10_000))
        clock.advance(60_000)
        for turn in range(100, 160):
            files.put_entry(caller_entry(turn, turn * 1000, turn * 1000 + 500, "hm"))
            clock.advance(1000)
        marker = QueuedFile(CallDirectory(tmp_path, "marker"), "log")
        await asyncio.to_thread(finish, writer, marker)
        # Twice 1 MB in two minutes; every 5 s would be 12 MB in the second alone.
        assert writer.counts.written_bytes < 3_000_000
        report = await closed(files)
    assert len(entries_of(report.transcript_path)) == 160
