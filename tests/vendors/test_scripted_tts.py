import asyncio
import gc
import io
from typing import Any

import numpy as np
import pytest
import soundfile
import webrtcvad

from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K, AudioFormat
from tests.support.scripted import Timed, no_spawn
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.adapters.scripted_faults import HUGE_TEXT, VENDOR
from voicecore.adapters.scripted_tts import sound_chunks, speech_like
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords
from voicecore.providers.words import Word

EIGHT = "one two three four five six seven eight"
TWELVE = "one two three four five six seven eight nine ten eleven twelve"


def vendor(**settings: Any) -> Any:
    return make_tts(VendorConfig(VENDOR, settings=settings), {})


async def speak(
    *sentences: str, audio: AudioFormat = MULAW_8K, gap_ms: int = 0, **settings: Any
) -> Timed:
    session = vendor(**settings).open(audio, spawn=no_spawn)
    sink = Timed()
    reply = session.reply(sink)
    for sentence in sentences:
        reply.say(sentence)
        if gap_ms:
            await asyncio.sleep(gap_ms / 1000)
    reply.finish()
    await asyncio.sleep(60)
    return sink


def sound(sink: Timed) -> bytes:
    return b"".join(event.payload for event in sink.of(TtsAudio))


def test_the_reply_of_two_sentences() -> None:
    sink = run_virtual(lambda: speak(EIGHT, TWELVE))
    assert sink.times(TtsAudio) == [100 + 10 * n for n in range(20)]
    assert MULAW_8K.duration_ms(len(sound(sink))) == 2000
    assert sink.times(TtsWords) == [100, 180]
    assert sink.events[-1] == (290, TtsDone(len(EIGHT) + len(TWELVE)))


def test_word_times_lie_end_to_end_over_the_audio() -> None:
    sink = run_virtual(lambda: speak("a b", "c"))
    words = [word for event in sink.of(TtsWords) for word in event.words]
    assert words == [Word("a", 0, 100), Word("b", 100, 200), Word("c", 200, 300)]


def test_a_later_sentence_waits_for_its_own_first_audio() -> None:
    sink = run_virtual(lambda: speak("a", "b", gap_ms=500))
    assert sink.times(TtsAudio) == [100, 600]
    assert sink.times(TtsDone) == [1000]


def test_words_that_are_no_whole_chunk() -> None:
    sink = run_virtual(lambda: speak("a b c", "d", word_ms=70))
    assert [MULAW_8K.duration_ms(len(e.payload)) for e in sink.of(TtsAudio)] == [100, 100, 10, 70]


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])
def test_the_session_makes_what_is_wanted(audio: AudioFormat) -> None:
    sink = run_virtual(lambda: speak(EIGHT, audio=audio))
    assert len(sound(sink)) == audio.bytes_per_ms * 800
    names = {"mulaw": "ULAW", "alaw": "ALAW", "l16": "PCM_16"}
    samples, _ = soundfile.read(
        io.BytesIO(sound(sink)),
        samplerate=audio.rate_hz,
        channels=1,
        format="RAW",
        subtype=names[audio.encoding],
        endian="LITTLE",
    )
    wanted = speech_like(audio.rate_hz, 5000, 0)[: audio.rate_hz * 8 // 10] / 32768
    assert np.sqrt(np.mean((samples - wanted) ** 2)) < 0.004  # G.711's own error at this level


def test_the_session_may_be_set_to_one_format() -> None:
    async def check() -> None:
        tts = vendor(audio={"encoding": "l16", "rate_hz": 16000})
        assert tts.open(MULAW_8K, spawn=no_spawn).audio == L16_16K

    run_virtual(check)


def test_every_reply_sounds_the_same_and_shares_its_chunks() -> None:
    one, two = run_virtual(lambda: speak(EIGHT)), run_virtual(lambda: speak(EIGHT))
    assert all(a is b for a, b in zip(one.of(TtsAudio), two.of(TtsAudio), strict=True))
    assert [id(chunk) for chunk in one.of(TtsAudio)] == [
        id(chunk) for chunk in sound_chunks(MULAW_8K, 100, 0)[:8]
    ]


def test_a_chunk_allocates_nothing_that_stays() -> None:
    async def check() -> None:
        session = vendor().open(MULAW_8K, spawn=no_spawn)
        for _ in range(3):
            reply = session.reply(lambda event: None)
            reply.say(TWELVE)
            reply.finish()
            await asyncio.sleep(1)
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(20):
            reply = session.reply(lambda event: None)
            reply.say(TWELVE)
            reply.finish()
            await asyncio.sleep(1)
        del reply
        gc.collect()
        assert len(gc.get_objects()) - before < 40

    run_virtual(check)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_sound_is_speech_to_a_detector(rate_hz: int) -> None:
    samples = speech_like(rate_hz, 3000, 0)
    frame = rate_hz // 50
    detector = webrtcvad.Vad(3)
    frames = [samples[at : at + frame].tobytes() for at in range(0, len(samples), frame)]
    assert np.mean([detector.is_speech(one, rate_hz) for one in frames]) > 0.9
    level = 20 * np.log10(np.sqrt(np.mean((samples / 32768.0) ** 2)))
    assert level == pytest.approx(-20, abs=0.5)


def test_text_without_words_makes_no_audio() -> None:
    sink = run_virtual(lambda: speak("", "  \n"))
    assert sink.events == [(0, TtsDone(3))]


def test_finish_after_the_last_audio() -> None:
    async def check() -> None:
        sink = Timed()
        reply = vendor().open(MULAW_8K, spawn=no_spawn).reply(sink)
        reply.say("a")
        await asyncio.sleep(1)
        assert not sink.of(TtsDone)
        reply.finish()
        reply.finish()
        reply.say("too late")
        await asyncio.sleep(1)
        assert sink.of(TtsDone) == [TtsDone(1)]
        assert len(sink.of(TtsAudio)) == 1

    run_virtual(check)


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_nothing_after_cancel(how: str) -> None:
    async def check() -> None:
        sink = Timed()
        session = vendor().open(MULAW_8K, spawn=no_spawn)
        reply = session.reply(sink)
        reply.say(EIGHT)
        reply.finish()
        await asyncio.sleep(0.105)
        seen = len(sink.events)
        for _ in range(2):
            reply.cancel() if how == "cancel" else session.close()
        reply.say("more")
        reply.finish()
        await asyncio.sleep(5)
        assert len(sink.events) == seen == 2

    run_virtual(check)


@pytest.mark.parametrize("kind", [TtsWords, TtsAudio])
def test_a_sink_may_cancel(kind: type) -> None:
    async def check() -> None:
        sink = Timed()
        reply = vendor().open(MULAW_8K, spawn=no_spawn).reply(sink)
        sink.hook = lambda event: reply.cancel() if isinstance(event, kind) else None
        reply.say(EIGHT)
        reply.finish()
        await asyncio.sleep(5)
        assert isinstance(sink.events[-1][1], kind)
        assert len(sink.events) <= 2

    run_virtual(check)


@pytest.mark.parametrize(
    ("faults", "chunks", "failed_at"),
    [
        ({"fail_at": "open"}, 0, 0),
        ({"fail_at": "first_output"}, 0, 100),
        ({"fail_at": "mid"}, 3, 130),
        ({"fail_after_ms": 125}, 3, 125),
        ({"delay_ms": 400, "fail_at": "mid"}, 3, 530),
        ({"stall_after": 3, "fail_after_ms": 9000}, 3, 9000),
        ({"stall_after": 2}, 2, None),
        ({"never_answers": True}, 0, None),
    ],
)
def test_failures(faults: dict[str, Any], chunks: int, failed_at: int | None) -> None:
    sink = run_virtual(lambda: speak(EIGHT, faults=faults))
    assert len(sink.of(TtsAudio)) == chunks
    assert sink.times(TtsFailed) == ([] if failed_at is None else [failed_at])
    assert not sink.of(TtsDone)


def test_a_reply_that_stalled_with_its_last_chunk_has_no_end() -> None:
    sink = run_virtual(lambda: speak("a b", faults={"stall_after": 2}))
    assert len(sink.of(TtsAudio)) == 2
    assert not sink.of(TtsDone)


def test_cut_inside_a_word() -> None:
    sink = run_virtual(lambda: speak(EIGHT, faults={"fail_at": "mid_word", "mid_after": 2}))
    assert [len(event.payload) for event in sink.of(TtsAudio)] == [800, 400]
    assert len(sink.of(TtsFailed)) == 1


def test_garbage_audio() -> None:
    assert set(sound(run_virtual(lambda: speak("a", faults={"garbage": "empty"})))) == set()
    odd = sound(run_virtual(lambda: speak("a", audio=L16_8K, faults={"garbage": "odd"})))
    assert len(odd) % 2 == 1
    huge = sound(run_virtual(lambda: speak("a", faults={"garbage": "huge"})))
    assert MULAW_8K.duration_ms(len(huge)) == 60_000


def test_garbage_words() -> None:
    (words,) = run_virtual(lambda: speak("a", faults={"garbage": "huge"})).of(TtsWords)
    assert words.words[0].text == HUGE_TEXT
    (words,) = run_virtual(lambda: speak("a", faults={"garbage": "odd"})).of(TtsWords)
    assert words.words[0].end_ms < 0


def test_a_vendor_may_ignore_the_cancelling() -> None:
    async def check() -> None:
        sink = Timed()
        reply = vendor(faults={"misbehave_after_cancel": True})
        reply = reply.open(MULAW_8K, spawn=no_spawn).reply(sink)
        reply.say(EIGHT)
        reply.finish()
        await asyncio.sleep(0.105)
        reply.cancel()
        await asyncio.sleep(5)
        assert len(sink.of(TtsAudio)) == 8
        assert len(sink.of(TtsDone)) == 1

    run_virtual(check)


def test_jitter_repeats_and_keeps_all_audio() -> None:
    first = run_virtual(lambda: speak(EIGHT, faults={"jitter_ms": 40}))
    again = run_virtual(lambda: speak(EIGHT, faults={"jitter_ms": 40}))
    assert first.times(TtsAudio) == again.times(TtsAudio)
    assert first.times(TtsAudio) != [100 + 10 * n for n in range(8)]
    assert sound(first) == sound(run_virtual(lambda: speak(EIGHT)))


def test_faults_are_counted_per_reply() -> None:
    async def check() -> None:
        session = vendor(faults={"fail_at": "open", "every": 2}).open(MULAW_8K, spawn=no_spawn)
        failed = []
        for _ in range(4):
            sink = Timed()
            session.reply(sink).say("a")
            await asyncio.sleep(1)
            failed.append(bool(sink.of(TtsFailed)))
        assert failed == [False, True, False, True]

    run_virtual(check)


async def test_start_fails_on_demand() -> None:
    with pytest.raises(VendorError, match="quota_exceeded") as caught:
        await vendor(faults={"fail_at": "start", "code": "quota_exceeded"}).start()
    assert not caught.value.retryable


def test_wrong_settings_name_their_field() -> None:
    with pytest.raises(VendorConfigError) as caught:
        vendor(chunk_ms=0)
    assert caught.value.field == "settings.chunk_ms"
