"""A call's files, in a directory of its own: ``recording.wav``, ``events.jsonl`` and
``transcript.json``, all written while the call goes on.

    files = CallFiles(writer, base, call_id, caller=inbound, agent=outbound, clock=clock)
    files.caller(at_ms, frame); files.agent(at_ms, chunk); files.cut_agent(at_ms)
    files.journal.write("turn_ended", at_ms, turn=3)
    files.put_entry(caller_entry(...))
    report = await files.close()
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from media.audio.format import AudioFormat
from media.call_directory import CallDirectory
from media.clock import Clock, Timer
from media.recording import RecordingLosses, RecordingTimeline
from media.recording_writer import (
    Damage,
    DiskWriter,
    FinishedFile,
    QueuedFile,
    ReplacedFile,
    WavFile,
)
from voicecore.journal import Journal
from voicecore.transcript import TRANSCRIPT_LIMIT_BYTES, Transcript, TranscriptEntry

RECORDING = "recording.wav"
EVENTS = "events.jsonl"
TRANSCRIPT = "transcript.json"

RECORD_EVERY_MS = 250
_TRANSCRIPT_EVERY_MS = 5000
_TRANSCRIPT_BYTES_PER_MS = 32
"""A long transcript is written more seldom: none costs the disk more than a recording does."""
SETTLE_MS = 100
"""Audio is taken this long after its time: until then a clear may take the agent's back, and a
caller's line that ran ahead may be set back by a frame."""
LINE_LAG_MS = 520
"""A caller's line that has fallen behind is waited for so long. ``Hearing`` places no frame
further back: it sets a line that drifts more anew. All of these together, and what the disk's
thread waits, are less than a second: that is what a process that is killed may lose."""


class CallFilesReport(msgspec.Struct, frozen=True):
    """What became of a call's files. A path is empty when there is no such file."""

    recording_path: str
    recording_ms: int
    events_path: str
    transcript_path: str
    losses: RecordingLosses
    damage: tuple[Damage, ...]


class CallFiles:
    """Lives in the event loop; nothing here waits for the disk. Times are milliseconds from
    the start of the stream, which is when this is made."""

    def __init__(
        self,
        writer: DiskWriter,
        base: Path,
        call_id: str,
        *,
        caller: AudioFormat,
        agent: AudioFormat,
        clock: Clock,
        record: bool = True,
    ) -> None:
        directory = CallDirectory(base, call_id)
        self._writer = writer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._timer: Timer | None = None
        self._transcript_timer: Timer | None = None
        self._timeline = RecordingTimeline(caller, agent)
        self._recording = WavFile(directory, RECORDING, rate_hz=self._timeline.rate_hz)
        self._events = QueuedFile(directory, EVENTS)
        self._transcript_file = ReplacedFile(directory, TRANSCRIPT)
        self._closing: asyncio.Future[CallFilesReport] | None = None
        self.transcript = Transcript()
        self.journal = Journal(
            lambda line: writer.write(self._events, line),
            dropped=lambda code, detail: writer.damaged(self._events, code, detail),
        )
        self.caller: Callable[[int, bytes], None] = _unrecorded
        self.agent: Callable[[int, bytes], None] = _unrecorded
        self.cut_agent: Callable[[int], None] = _unrecorded
        if record:
            # Bound straight to the timeline: they are called for every frame.
            self.caller = self._timeline.caller
            self.agent = self._timeline.agent
            self.cut_agent = self._timeline.cut_agent
            self._schedule()

    def now_ms(self) -> int:
        """Milliseconds since the start of the stream."""
        return self._clock.now_ms() - self._started_ms

    def put_entry(self, entry: TranscriptEntry) -> None:
        """Adds to the transcript, or replaces the entry of that turn and speaker. The file is
        written anew soon; a crash before loses nothing that ``events.jsonl`` does not hold."""
        if not self.transcript.put(entry):
            detail = f"longer than {TRANSCRIPT_LIMIT_BYTES} bytes"
            self._writer.damaged(self._transcript_file, "too_long", detail)
        elif self._transcript_timer is None and self._closing is None:
            size_ms = self.transcript.size_bytes // _TRANSCRIPT_BYTES_PER_MS
            due_ms = self._clock.now_ms() + max(_TRANSCRIPT_EVERY_MS, size_ms)
            self._transcript_timer = self._clock.call_at(due_ms, self._write_transcript)

    def close(self) -> asyncio.Future[CallFilesReport]:
        """Ends the recording now and closes the files; the report comes when they are closed.
        Idempotent. Nothing may be written afterwards."""
        if self._closing is not None:
            return self._closing
        loop = asyncio.get_running_loop()
        self._closing = loop.create_future()
        if self._transcript_timer is not None:
            self._transcript_timer.cancel()
        if self._timer is not None:
            self._timer.cancel()
            now_ms = self.now_ms()
            self._timeline.cut_agent(now_ms)
            # The caller's last frames may lie a little ahead of the clock; they came.
            self._write_recording(max(now_ms, self._timeline.caller_end_ms))
            self._writer.write(self._recording, self._timeline.finish())
        self.caller = self.agent = self.cut_agent = _unrecorded
        self._writer.write(self._transcript_file, self.transcript.to_json())
        finished: list[FinishedFile] = []

        def one_finished(file: FinishedFile) -> None:
            finished.append(file)
            if len(finished) == len(files):
                # The loop may be gone when a process that shuts down writes its last files.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._report, finished)

        files = (self._recording, self._events, self._transcript_file)
        for file in files:
            self._writer.finish(file, one_finished)
        return self._closing

    def _write_transcript(self) -> None:
        self._transcript_timer = None
        self._writer.write(self._transcript_file, self.transcript.to_json())

    def _schedule(self) -> None:
        self._timer = self._clock.call_at(self._clock.now_ms() + RECORD_EVERY_MS, self._tick)

    def _tick(self) -> None:
        now_ms = self.now_ms()
        line_ms = max(self._timeline.caller_end_ms, now_ms - LINE_LAG_MS)
        self._write_recording(min(line_ms, now_ms - SETTLE_MS))
        self._schedule()

    def _write_recording(self, until_ms: int) -> None:
        while self._timeline.taken_ms < until_ms:
            self._writer.write(self._recording, self._timeline.take(until_ms))

    def _report(self, finished: list[FinishedFile]) -> None:
        if self._closing is None or self._closing.done():
            return
        recording, events, transcript = finished
        self._closing.set_result(
            CallFilesReport(
                recording.path,
                self._timeline.taken_ms if recording.path else 0,
                events.path,
                transcript.path,
                self._timeline.losses,
                tuple(file.damage for file in finished if file.damage is not None),
            )
        )


def _unrecorded(*_: object) -> None:
    """The call is not recorded, or it is over."""
