import asyncio
import functools
from typing import Any

import pytest

from media.audio.format import L16_16K, MULAW_8K
from tests.support.scripted import Timed, no_spawn
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_stt
from voicecore.adapters.scripted_faults import CONTROL_TEXT, HUGE_TEXT, VENDOR
from voicecore.adapters.scripted_stt import UNSURE
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import (
    SttEager,
    SttFailed,
    SttFinal,
    SttInterim,
    SttResumed,
    SttStream,
)


def vendor(**settings: Any) -> Any:
    return make_stt(VendorConfig(VENDOR, settings=settings), {})


async def speak(stream: SttStream, duration_ms: int) -> None:
    """Pushes speech in real (virtual) time, then finalizes."""
    stream.speech_started()
    for _ in range(duration_ms // 20):
        await asyncio.sleep(0.02)
        stream.push(bytes(160))
    stream.finalize()


async def one_turn(duration_ms: int = 1000, after_ms: int = 1000, **settings: Any) -> Timed:
    sink = Timed()
    stream = vendor(**settings).open(MULAW_8K, sink=sink, spawn=no_spawn)
    await speak(stream, duration_ms)
    await asyncio.sleep(after_ms / 1000)
    stream.close()
    await asyncio.sleep(5)
    return sink


def test_of_some_utterances_it_is_not_sure() -> None:
    async def three_turns() -> Timed:
        sink = Timed()
        settings = {"utterances": ["one two"], "unsure_every": 2}
        stream = vendor(**settings).open(MULAW_8K, sink=sink, spawn=no_spawn)
        for _ in range(3):
            await speak(stream, 400)
            await asyncio.sleep(1)
        stream.close()
        return sink

    sink = run_virtual(three_turns)
    assert [final.confidence for final in sink.of(SttFinal)] == [1.0, UNSURE, 1.0]
    assert [interim.confidence for interim in sink.of(SttInterim)] == [1.0, UNSURE, 1.0]


def test_interims_come_while_speech_lasts_and_the_final_on_the_next_turn() -> None:
    sink = run_virtual(lambda: one_turn(utterances=["one two three four"]))
    assert [(at, event.text) for at, event in sink.events] == [
        (300, "one"),
        (600, "one two"),
        (900, "one two three"),
        (1000, "one two three four"),
    ]
    final = sink.of(SttFinal)[0]
    assert final.flushed
    assert not final.end_of_turn
    assert (final.words[0].start_ms, final.words[-1].end_ms) == (0, 1000)
    assert [word.text for word in final.words] == ["one", "two", "three", "four"]


def test_final_is_not_emitted_inside_finalize() -> None:
    async def check() -> None:
        sink = Timed()
        stream = vendor().open(MULAW_8K, sink=sink, spawn=no_spawn)
        stream.finalize()
        assert sink.events == []
        await asyncio.sleep(0)
        assert sink.of(SttFinal) == [SttFinal("", flushed=True)]

    run_virtual(check)


def test_final_delay_and_own_end_of_turn() -> None:
    sink = run_virtual(lambda: one_turn(final_ms=250, end_of_turn=True))
    assert sink.times(SttFinal) == [1250]
    assert sink.of(SttFinal)[0].end_of_turn


def test_interims_end_with_the_utterance() -> None:
    sink = run_virtual(lambda: one_turn(1400, utterances=["yes please"]))
    texts = [event.text for event in sink.of(SttInterim)]
    assert texts == ["yes", "yes please"]


def test_speech_that_is_reported_twice_began_once() -> None:
    async def check() -> None:
        sink = Timed()
        stream = vendor().open(MULAW_8K, sink=sink, spawn=no_spawn)
        stream.speech_started()
        await asyncio.sleep(0.2)
        stream.speech_started()
        await asyncio.sleep(0.5)
        assert sink.times(SttInterim) == [300, 600]
        stream.close()

    run_virtual(check)


def test_word_times_count_from_the_first_sample_of_the_stream() -> None:
    async def check() -> None:
        sink = Timed()
        stream = vendor(utterances=["a b"]).open(MULAW_8K, sink=sink, spawn=no_spawn)
        for _ in range(100):
            stream.push(bytes(160))
        await speak(stream, 400)
        await asyncio.sleep(0)
        words = sink.of(SttFinal)[0].words
        assert (words[0].start_ms, words[1].end_ms) == (2000, 2400)

    run_virtual(check)


def test_each_stream_hears_the_utterances_from_the_first_on() -> None:
    async def check() -> None:
        stt = vendor(utterances=["first", "second"])
        for _ in range(2):
            sink = Timed()
            stream = stt.open(MULAW_8K, sink=sink, spawn=no_spawn)
            for _ in range(3):
                await speak(stream, 100)
                await asyncio.sleep(0)
            assert [final.text for final in sink.of(SttFinal)] == ["first", "second", "first"]
            stream.close()

    run_virtual(check)


def test_random_order_repeats_with_the_seed_and_changes_with_it() -> None:
    async def heard(seed: int) -> list[list[str]]:
        stt = vendor(utterances=[str(n) for n in range(20)], order="random", seed=seed)
        streams = []
        for _ in range(2):
            sink = Timed()
            stream = stt.open(MULAW_8K, sink=sink, spawn=no_spawn)
            for _ in range(20):
                await speak(stream, 20)
                await asyncio.sleep(0)
            streams.append([final.text for final in sink.of(SttFinal)])
        return streams

    first, again, other = (run_virtual(functools.partial(heard, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first[0] != first[1]
    assert sorted(first[0], key=int) == [str(n) for n in range(20)]


def test_echo_reports_the_audio_that_came() -> None:
    sink = run_virtual(lambda: one_turn(640, echo=True))
    assert sink.of(SttFinal)[0].text == "heard 640 ms"


def test_eager_and_resumed() -> None:
    sink = run_virtual(
        lambda: one_turn(utterances=["a b"], eager_after_ms=400, resumed_after_ms=500)
    )
    assert sink.events[1:3] == [(400, SttEager("a b")), (500, SttResumed())]


def test_accepts_any_format_or_the_one_it_is_set_to() -> None:
    assert vendor().accepts(MULAW_8K) == MULAW_8K
    only = vendor(audio={"encoding": "l16", "rate_hz": 16000})
    assert only.accepts(MULAW_8K) == L16_16K


def test_nothing_after_close_and_close_twice() -> None:
    async def check() -> None:
        sink = Timed()
        stream = vendor(final_ms=100).open(MULAW_8K, sink=sink, spawn=no_spawn)
        stream.speech_started()
        await asyncio.sleep(0.4)
        stream.finalize()
        stream.close()
        stream.close()
        stream.push(b"x")
        stream.speech_started()
        stream.finalize()
        await asyncio.sleep(5)
        assert [at for at, _ in sink.events] == [300]

    run_virtual(check)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"fail_at": "open"}, [(0, "failed")]),
        ({"fail_at": "first_output"}, [(300, "failed")]),
        ({"fail_at": "mid", "mid_after": 2}, [(300, "a"), (600, "a b"), (900, "failed")]),
        ({"fail_after_ms": 450}, [(300, "a"), (450, "failed")]),
        ({"never_answers": True}, []),
        ({"stall_after": 1}, [(300, "a")]),
        ({"delay_ms": 2500}, []),
    ],
)
def test_failures(faults: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    sink = run_virtual(lambda: one_turn(utterances=["a b c"], faults=faults))
    seen = [(at, "failed" if isinstance(e, SttFailed) else e.text) for at, e in sink.events]
    assert seen == expected


def test_cut_inside_a_word() -> None:
    sink = run_virtual(
        lambda: one_turn(
            utterances=["yes absolutely"], faults={"fail_at": "mid_word", "mid_after": 2}
        )
    )
    assert [event.text for event in sink.of(SttInterim)] == ["yes", "yes absol"]
    assert len(sink.of(SttFailed)) == 1


@pytest.mark.parametrize(
    ("garbage", "text"), [("empty", ""), ("control", CONTROL_TEXT), ("huge", HUGE_TEXT)]
)
def test_garbage_text(garbage: str, text: str) -> None:
    sink = run_virtual(lambda: one_turn(faults={"garbage": garbage}))
    assert {event.text for _, event in sink.events} == {text}


def test_odd_word_times() -> None:
    sink = run_virtual(lambda: one_turn(faults={"garbage": "odd"}))
    assert all(word.end_ms < 0 <= word.start_ms for word in sink.of(SttFinal)[0].words)


def test_misbehaviour_after_close_reaches_the_sink() -> None:
    sink = run_virtual(lambda: one_turn(after_ms=0, faults={"misbehave_after_cancel": True}))
    assert sink.of(SttFinal)[-1].text == "said after the close"


def test_jitter_keeps_the_order_and_repeats() -> None:
    async def run() -> list[tuple[int, Any]]:
        return (await one_turn(2000, utterances=["a b c d e f"], faults={"jitter_ms": 900})).events

    first, again = run_virtual(run), run_virtual(run)
    assert first == again
    texts = [event.text for _, event in first]
    assert texts == sorted(texts, key=len)
    assert [at for at, _ in first] != [300, 600, 900, 1200, 1500, 1800, 2000]


def test_only_some_streams_are_faulty() -> None:
    async def failing(**faults: Any) -> list[bool]:
        stt = vendor(faults={"fail_at": "open", **faults})
        seen = []
        for _ in range(40):
            sink = Timed()
            stt.open(MULAW_8K, sink=sink, spawn=no_spawn)
            await asyncio.sleep(0.01)
            seen.append(bool(sink.of(SttFailed)))
        return seen

    assert run_virtual(lambda: failing(every=3))[:6] == [False, False, True, False, False, True]
    assert run_virtual(lambda: failing(first=2))[:4] == [True, True, False, False]
    some = run_virtual(lambda: failing(probability=0.5))
    assert 5 < sum(some) < 35
    assert some == run_virtual(lambda: failing(probability=0.5))


def test_the_error_carries_its_code() -> None:
    faults = {"fail_at": "open", "code": "auth_failed"}
    error = run_virtual(lambda: one_turn(faults=faults)).of(SttFailed)[0].error
    assert (error.vendor, error.code, error.retryable) == (VENDOR, "auth_failed", False)
    retryable = {"fail_at": "open", "code": "overloaded"}
    assert run_virtual(lambda: one_turn(faults=retryable)).of(SttFailed)[0].error.retryable


async def test_start_fails_on_demand() -> None:
    with pytest.raises(VendorError, match="model_not_found"):
        await vendor(faults={"fail_at": "start", "code": "model_not_found"}).start()
    await vendor().start()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"unknown": 1}, "settings.unknown"),
        ({"final_ms": -1}, "settings.final_ms"),
        ({"interim_every_ms": 0}, "settings.interim_every_ms"),
        ({"utterances": []}, "settings.utterances"),
        ({"utterances": [3]}, "settings.utterances[0]"),
        ({"faults": {"code": "nonsense"}}, "settings.faults.code"),
        ({"faults": {"probability": 2}}, "settings.faults.probability"),
        ({"audio": {"encoding": "opus", "rate_hz": 8000}}, "settings.audio.encoding"),
    ],
)
def test_wrong_settings_name_their_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as caught:
        vendor(**settings)
    assert caught.value.field == field
