import asyncio
from typing import Any

import msgspec
import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from tests.support.local_worker import SCRIPT, wait_for_file
from voicecore.adapters import moonshine_stt
from voicecore.adapters.moonshine_stt import MoonshineStt
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_stt, make_tts
from voicecore.local import lanes as lanes_module
from voicecore.providers.stt import SttEvent, SttFailed, SttFinal, SttInterim
from voicecore.providers.tts import TtsAudio, TtsDone
from voicecore.providers.words import join_words, spread_words

SPEECH = b"\x10" * 160
SILENCE = b"\xff" * 160
PATIENCE_S = 60
ALONE = {"context_ms": 0}
"""Each part of a turn is understood by itself."""


def never_spawn(coroutine: Any) -> object:
    raise AssertionError("the adapter has no tasks of its own per call")


class Line:
    """A caller's line: what is pushed, and what comes back."""

    def __init__(self, stt: MoonshineStt, audio: AudioFormat = MULAW_8K) -> None:
        self.events: asyncio.Queue[SttEvent] = asyncio.Queue()
        self.stream = stt.open(audio, sink=self.events.put_nowait, spawn=never_spawn)

    def say(self, frames: int, *, finalize: bool = True) -> None:
        self.stream.speech_started()
        for _ in range(frames):
            self.stream.push(SPEECH)
        if finalize:
            self.stream.finalize()

    async def next(self) -> SttEvent:
        return await asyncio.wait_for(self.events.get(), PATIENCE_S)

    async def final(self) -> SttFinal:
        while isinstance(event := await self.next(), SttInterim):
            continue
        assert isinstance(event, SttFinal), event
        return event


@pytest.fixture
async def make():
    made: list[MoonshineStt] = []

    async def make(
        settings: dict[str, Any] | None = None, *, parallel: int = 1, **worker_settings: Any
    ) -> MoonshineStt:
        given = {"parallel": parallel, **(settings or {})}
        stt = MoonshineStt(VendorConfig("moonshine", settings=given), {})
        stt.worker.spec = msgspec.structs.replace(
            stt.worker.spec,
            command=(SCRIPT,),
            settings={"parallel": parallel, **worker_settings},
        )
        made.append(stt)
        await stt.start()
        return stt

    yield make
    for stt in made:
        await stt.stop()


@pytest.fixture
def another_worker(monkeypatch):
    """It is waited for as long as it takes to start."""
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr(moonshine_stt, "_FINAL_TIMEOUT_S", PATIENCE_S)


def text(frames: int) -> str:
    """What the worker makes of this many frames of speech."""
    return f"{frames * 160} bytes from 16"


async def test_an_utterance_becomes_one_flushed_final_with_words_in_stream_time(make):
    line = Line(await make())
    for _ in range(50):
        line.stream.push(SILENCE)
    for _ in range(10):
        line.stream.push(SPEECH)  # the 200 ms that the VAD needs to be sure
    line.say(40)
    final = await line.final()
    assert final.text == text(50)
    assert final.flushed
    assert join_words(final.words) == final.text
    assert (final.words[0].start_ms, final.words[-1].end_ms) == (1020, 2000)


async def test_finalize_without_speech_is_answered_empty_and_not_within_the_call(make):
    line = Line(await make())
    line.stream.push(SILENCE)
    line.stream.finalize()
    assert line.events.empty()
    assert await line.final() == SttFinal("", flushed=True)


async def test_every_finalize_is_answered_in_order(make, tmp_path):
    line = Line(await make(ALONE, hold=str(tmp_path / "hold")))
    line.say(10)
    line.stream.finalize()
    line.say(20)
    (tmp_path / "hold").touch()
    finals = [await line.final() for _ in range(3)]
    assert [final.text for final in finals] == [text(10), "", text(20)]
    assert all(final.flushed for final in finals)


async def test_speech_resumed_after_finalize_is_a_second_utterance(make):
    line = Line(await make(ALONE))
    line.say(10)
    for _ in range(3):
        line.stream.push(SPEECH)
    line.say(20)
    assert [(await line.final()).text for _ in range(2)] == [text(10), text(23)]


async def test_a_part_of_a_turn_is_understood_with_what_went_before(make):
    line = Line(await make())
    line.say(10)
    assert await line.final() == SttFinal(
        text(10), spread_words(text(10), 20, 200), flushed=True, confidence=0.9
    )
    for _ in range(30):
        line.stream.push(SILENCE)
    line.say(20)
    final = await line.final()  # 600 ms of silence, of which 200 are the second's pre-roll
    assert final.text == text(10 + 10 + 20)
    assert final.revises
    assert (final.words[0].start_ms, final.words[-1].end_ms) == (20, 1200)
    line.stream.turn_over()
    line.say(5)
    assert await line.final() == SttFinal(
        text(5), spread_words(text(5), 1220, 1300), flushed=True, confidence=0.9
    )


async def test_words_that_were_taken_for_a_turn_are_not_told_again(make, tmp_path):
    line = Line(await make(hold=str(tmp_path / "hold")))
    line.say(10)
    line.say(20)
    line.stream.turn_over()
    (tmp_path / "hold").touch()
    first, second = await line.final(), await line.final()
    assert first.text == text(10)
    assert not second.revises
    assert len(second.text) < len(text(30))


async def test_a_turn_that_grows_long_is_understood_from_its_middle_on(make):
    line = Line(await make({"context_ms": 1000}))
    finals = []
    for frames in (30, 30, 10):
        line.say(frames)
        finals.append(await line.final())
    assert [final.text for final in finals] == [text(30), text(60), text(10)]
    assert [final.revises for final in finals] == [False, True, False]


async def test_a_part_without_words_leaves_the_text_before(make):
    line = Line(await make(deaf_from=15 * 160))
    line.say(10)
    line.say(10)
    assert [(await line.final()).text for _ in range(2)] == [text(10), ""]
    line.stream.turn_over()
    line.say(10)
    assert not (await line.final()).revises


async def test_a_crash_loses_no_part_of_a_turn(make, tmp_path, another_worker):
    line = Line(await make(crash_once=str(tmp_path / "crashed")))
    line.say(10)
    line.say(20)
    finals = [await line.final() for _ in range(2)]
    assert [(final.text, final.revises) for final in finals] == [
        (text(10), False),
        (text(30), True),
    ]


async def test_long_speech_is_understood_in_parts_and_only_the_last_is_flushed(make):
    line = Line(await make({"max_utterance_ms": 2000} | ALONE))
    line.say(250)
    finals = [await line.final()]
    while not finals[-1].flushed:
        finals.append(await line.final())
    assert len(finals) >= 3
    sizes = [int(final.text.split()[0]) for final in finals]
    assert sum(sizes) == 250 * 160
    assert all(size <= 16_000 for size in sizes)
    starts = [final.words[0].start_ms for final in finals]
    assert starts == [20 + sum(sizes[:place]) // 8 for place in range(len(sizes))]


async def test_interims_come_while_the_worker_is_idle(make):
    stt = await make({"interim_ms": 400, "interims": "auto"})
    line, other = Line(stt), Line(stt)
    line.say(20, finalize=False)
    assert await line.next() == SttInterim(text(20), 0.9)
    # The one place at the worker is free again when somebody else's final has come.
    other.say(5)
    await other.final()
    line.say(19, finalize=False)
    assert line.events.empty()
    line.stream.push(SPEECH)
    assert await line.next() == SttInterim(text(40), 0.9)


async def test_interims_cease_while_the_worker_is_busy_and_when_they_are_off(make, tmp_path):
    stt = await make({"interim_ms": 400}, parallel=2, hold=str(tmp_path / "hold"))
    busy, line = Line(stt), Line(stt)
    busy.say(10)
    line.say(40)
    off = Line(await make({"interim_ms": 400, "interims": "off"}))
    off.say(40)
    (tmp_path / "hold").touch()
    for each in (line, off):
        words = spread_words(text(40), 20, 800)
        assert await each.next() == SttFinal(text(40), words, flushed=True, confidence=0.9)


async def test_an_interim_on_its_way_does_not_come_after_the_final(make, tmp_path):
    line = Line(await make({"interim_ms": 400}, parallel=2, hold=str(tmp_path / "hold")))
    line.say(20, finalize=False)
    await asyncio.to_thread(wait_for_file, str(tmp_path / "hold.begun"), 10)
    line.stream.finalize()
    (tmp_path / "hold").touch()
    assert (await line.next()).text == text(20)
    line.stream.finalize()
    assert await line.next() == SttFinal("", flushed=True)


async def test_a_crash_loses_no_text(make, tmp_path, another_worker):
    stt = await make(ALONE, crash_once=str(tmp_path / "crashed"))
    line = Line(stt)
    line.say(10)
    line.say(20)
    assert [(await line.final()).text for _ in range(2)] == [text(10), text(20)]
    assert stt.worker.starts == 2


async def test_a_stream_whose_worker_is_gone_fails_once(make, monkeypatch):
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", 0.05)
    stt = await make()
    line = Line(stt)
    await stt.worker.stop()
    line.say(10)
    failed = await line.next()
    assert isinstance(failed, SttFailed)
    assert (failed.error.code, failed.error.retryable) == ("disconnected", True)
    line.say(10)
    line.stream.finalize()
    await asyncio.sleep(0)
    assert line.events.empty()


async def test_a_worker_that_hangs_fails_the_stream_and_not_the_next_one(
    make, tmp_path, monkeypatch
):
    monkeypatch.setattr(moonshine_stt, "_FINAL_TIMEOUT_S", 0.1)
    stt = await make(parallel=2, hold=str(tmp_path / "hold"))
    line = Line(stt)
    line.say(10)
    failed = await line.next()
    assert isinstance(failed, SttFailed)
    assert (failed.error.code, failed.error.retryable) == ("stalled", True)
    assert stt.worker.outstanding == 0
    monkeypatch.setattr(moonshine_stt, "_FINAL_TIMEOUT_S", 15.0)
    (tmp_path / "hold").touch()
    other = Line(stt)
    other.say(10)
    assert (await other.final()).text == text(10)


async def test_an_answer_takes_the_deadline_away(make):
    line = Line(await make())
    line.say(10)
    assert (await line.final()).text == text(10)
    assert line.stream._overdue is None
    line.say(10, finalize=False)
    line.stream.finalize()
    line.stream.close()
    assert line.stream._overdue is None


async def test_nothing_comes_after_close(make, tmp_path):
    stt = await make(hold=str(tmp_path / "hold"))
    line = Line(stt)
    line.say(10)
    line.stream.close()
    line.stream.close()
    line.stream.push(SPEECH)
    line.stream.finalize()
    (tmp_path / "hold").touch()
    other = Line(stt)
    other.say(5)
    await other.final()
    assert line.events.empty()
    assert stt.worker.outstanding == 0


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_16K])
def test_every_line_format_is_taken_as_it_is(audio):
    assert make_stt(VendorConfig("moonshine"), {}).accepts(audio) == audio


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (VendorConfig("moonshine", language="de"), "language"),
        (VendorConfig("moonshine", settings={"interims": "maybe"}), "settings.interims"),
        (VendorConfig("moonshine", settings={"max_utterance_ms": 1}), "settings.max_utterance_ms"),
    ],
)
def test_wrong_settings_are_named(config, field):
    with pytest.raises(VendorConfigError) as wrong:
        make_stt(config, {})
    assert wrong.value.field == field


@pytest.mark.local_models
async def test_the_model_understands_the_voices_over_a_telephone_line():
    pytest.importorskip("moonshine_voice")
    pytest.importorskip("hibari")
    stt = make_stt(VendorConfig("moonshine"), {})
    tts = make_tts(VendorConfig("piper", voice="heart"), {})
    await asyncio.gather(stt.start(), tts.start())
    try:
        spoken = await _speech(tts, "How much is a cleaning?")
        events: asyncio.Queue[SttEvent] = asyncio.Queue()
        stream = stt.open(MULAW_8K, sink=events.put_nowait, spawn=never_spawn)
        for _ in range(50):
            stream.push(MULAW_8K.silence(20))
        stream.speech_started()
        for place in range(0, len(spoken), 160):
            stream.push(spoken[place : place + 160])
        stream.finalize()
        while isinstance(event := await asyncio.wait_for(events.get(), PATIENCE_S), SttInterim):
            continue
        assert isinstance(event, SttFinal)
        assert "cleaning" in event.text.lower()
        assert event.flushed
        assert 800 <= event.words[0].start_ms < event.words[-1].end_ms <= 1000 + len(spoken) // 8
        stream.close()
    finally:
        await asyncio.gather(stt.stop(), tts.stop())


async def _speech(tts: Any, words: str) -> bytes:
    audio, done = bytearray(), asyncio.Event()

    def sink(event: object) -> None:
        if isinstance(event, TtsAudio):
            audio.extend(event.payload)
        elif isinstance(event, TtsDone):
            done.set()

    reply = tts.open(MULAW_8K, spawn=never_spawn).reply(sink)
    reply.say(words)
    reply.finish()
    await asyncio.wait_for(done.wait(), PATIENCE_S)
    return bytes(audio)
