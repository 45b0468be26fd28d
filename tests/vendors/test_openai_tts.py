"""The speech route's adapter against a loopback server, through the real SDK."""

import asyncio
import contextlib
import io
import itertools
import wave
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio.format import L16_8K, L16_24K, MULAW_8K
from tests.support.openai_server import Drop, End, Head, OpenAiServer, Seen, Status, Step, Wait
from tests.support.vendor_calls import SpeechCall, SpeechRecorder, say_all
from voicecore.adapters import openai_tts
from voicecore.adapters.openai_tts import OpenAiTts
from voicecore.adapters.openai_wav import WavHead
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import spread_words

SECOND = bytes(48_000)


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as running:
        yield running


@contextlib.asynccontextmanager
async def calling(server: OpenAiServer, **settings: Any) -> AsyncIterator[SpeechCall]:
    config = VendorConfig(
        "openai", "m", voice="v", settings={"base_url": server.base_url, **settings}
    )
    tts = OpenAiTts(config, {"OPENAI_API_KEY": "test-key"})
    await tts.start()
    call = SpeechCall(tts, MULAW_8K)
    try:
        yield call
        call.session.close()
        await call.settled()
    finally:
        await tts.stop()


def spoken(audio: bytes) -> list[Step]:
    return [audio, End()]


async def say(
    server: OpenAiServer, plans: list[list[Step]], *texts: str, **settings: Any
) -> SpeechRecorder:
    server.plans.extend(plans)
    async with calling(server, **settings) as call:
        sink = say_all(call.session, *texts)
        await sink.ended()
    return sink


async def within(waited: Awaitable[Any]) -> None:
    await asyncio.wait_for(waited, 3)


async def gone(seen: Seen) -> None:
    await within(seen.gone.wait())


async def came(server: OpenAiServer, count: int) -> bool:
    """Whether so many requests come within the time that a loopback request needs."""
    try:
        await asyncio.wait_for(server.requests(count), 0.15)
    except TimeoutError:
        return False
    return True


async def test_speaks_sentences_in_order_with_words(server: OpenAiServer) -> None:
    one, two = b"\x01\x00" * 24_000, b"\x02\x00" * 12_000
    sink = await say(server, [spoken(one), spoken(two)], "Good day to you.", "Bye.")
    assert sink.audio == one + two
    assert sink.words == [
        *spread_words("Good day to you.", 0, 1000),
        *spread_words("Bye.", 1000, 1500),
    ]
    assert sink.events[-1] == TtsDone(20)
    assert [seen.body for seen in server.seen] == [
        {"model": "m", "voice": "v", "input": text, "response_format": "pcm"}
        for text in ("Good day to you.", "Bye.")
    ]


async def test_words_come_with_the_end_of_their_sentence(server: OpenAiServer) -> None:
    sink = await say(server, [spoken(SECOND), spoken(SECOND)], "One.", "Two.")
    kinds = [type(event) for event in sink.events]
    assert kinds.count(TtsWords) == 2
    first = kinds.index(TtsWords)
    assert sum(len(e.payload) for e in sink.events[:first] if isinstance(e, TtsAudio)) == 48_000


async def test_format_is_what_the_server_makes(server: OpenAiServer) -> None:
    async with calling(server) as call:
        assert call.session.audio == L16_24K
    async with calling(server, rate_hz=8000) as call:
        assert call.session.audio == L16_8K


async def test_settings_are_sent(server: OpenAiServer) -> None:
    await say(
        server,
        [spoken(SECOND)],
        "Hi.",
        speed=1.25,
        instructions="Calmly.",
    )
    body = server.seen[0].body
    assert (body["speed"], body["instructions"]) == (1.25, "Calmly.")


async def test_samples_are_kept_whole(server: OpenAiServer) -> None:
    pieces = [b"\x01", b"\x02\x03\x04", b"\x05", b"\x06\x07"]
    plan: list[Step] = []
    for piece in pieces:
        plan += [piece, wait := Wait()]
        wait.gate.set()
    sink = await say(server, [plan, spoken(b"\x08\x09")], "One.", "Two.")
    assert all(len(e.payload) % 2 == 0 for e in sink.events if isinstance(e, TtsAudio))
    assert sink.audio == b"\x01\x02\x03\x04\x05\x06\x08\x09"


async def test_audio_is_passed_on_as_it_comes(server: OpenAiServer) -> None:
    wait = Wait()
    server.plans.append([b"\x01\x00" * 10, wait, b"\x02\x00" * 10])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Hi.")
        reply.finish()
        await sink.first(TtsAudio)
        assert sink.audio == b"\x01\x00" * 10
        wait.gate.set()
        await sink.ended()


async def test_next_request_starts_while_the_former_streams(server: OpenAiServer) -> None:
    first, held, second = Wait(), Wait(), Wait()
    server.plans.extend([[first, b"\x01\x00", held], [b"\x02\x00", second], spoken(b"\x03\x00")])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for text in ("One.", "Two.", "Three."):
            reply.say(text)
        reply.finish()
        await within(first.reached.wait())
        assert not await came(server, 2), "the second waits for the first's audio"
        first.gate.set()
        await within(second.reached.wait())
        await within(held.reached.wait())
        assert not await came(server, 3), "the third waits for the first's end"
        held.gate.set()
        await server.requests(3)
        second.gate.set()
        assert await sink.ended() == TtsDone(14)
    assert sink.audio == b"\x01\x00\x02\x00\x03\x00"


async def test_a_sentence_said_late_is_spoken(server: OpenAiServer) -> None:
    server.plans.extend([spoken(SECOND), spoken(SECOND)])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        await sink.first(TtsWords)
        reply.say("Two.")
        reply.finish()
        await sink.ended()
    assert [word.text for word in sink.words] == ["One.", "Two."]


async def test_nothing_said(server: OpenAiServer) -> None:
    sink = await say(server, [], "  ", "")
    assert sink.events == [TtsDone(0)]


async def test_marks_alone_are_not_sent_but_counted_as_words(server: OpenAiServer) -> None:
    sink = await say(server, [spoken(SECOND), spoken(SECOND)], "One.", "—", "Two.")
    assert [(word.text, word.start_ms, word.end_ms) for word in sink.words] == [
        ("One.", 0, 1000),
        ("—", 1000, 1000),
        ("Two.", 1000, 2000),
    ]
    assert len(server.seen) == 2
    assert sink.events[-1] == TtsDone(8)


async def test_long_text_is_cut_between_words(server: OpenAiServer) -> None:
    text = " ".join(["word"] * 1500) + " " + "x" * 5000
    sink = await say(server, [spoken(b"\x01\x00") for _ in range(4)], text)
    inputs = [seen.body["input"] for seen in server.seen]
    assert max(map(len, inputs)) <= 4096
    assert " ".join(inputs[:2]).startswith("word word")
    assert "".join(inputs).replace(" ", "") == text.replace(" ", "")
    assert isinstance(sink.events[-1], TtsDone)


FAILURES: list[tuple[str, list[Step], str, bool]] = [
    ("unauthorised", [Status(401)], "auth_failed", False),
    ("payment", [Status(402)], "quota_exceeded", False),
    ("no such model", [Status(404, "model_not_found")], "model_not_found", False),
    ("too many", [Status(429)], "rate_limited", True),
    ("quota", [Status(429, "insufficient_quota")], "quota_exceeded", False),
    ("server error", [Status(500)], "vendor_error", True),
    ("busy", [Status(503)], "overloaded", True),
    ("dropped at once", [Drop()], "disconnected", True),
    ("dropped mid-stream", [b"\x01\x00", Drop()], "disconnected", True),
    ("no audio", [End()], "vendor_error", True),
    ("an error with 200", [Head(Content_Type="application/json"), b"{}"], "garbage", True),
    ("mp3", [Head(Content_Type="audio/mpeg"), b"\xff\xfb"], "garbage", True),
]


@pytest.mark.parametrize(
    ("plan", "code", "retryable"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
async def test_failures(server: OpenAiServer, plan: list[Step], code: str, retryable: bool) -> None:
    sink = await say(server, [plan], "Hi.")
    failed = sink.events[-1]
    assert isinstance(failed, TtsFailed)
    assert (failed.error.code, failed.error.retryable) == (code, retryable)
    assert len(server.seen) == 1


async def test_connect_failed(unused_tcp_port: int) -> None:
    server = OpenAiServer()
    server.base_url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    sink = await say(server, [], "Hi.")
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "connect_failed"


@pytest.mark.parametrize("before", [[], [Head(), b""]])
async def test_first_audio_timeout(server: OpenAiServer, before: list[Step]) -> None:
    sink = await say(server, [[*before, Wait()]], "Hi.", first_audio_timeout_ms=60)
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "first_output_timeout"
    await gone(server.seen[0])


async def test_stalled(server: OpenAiServer) -> None:
    sink = await say(server, [[b"\x01\x00", Wait()]], "Hi.", stall_timeout_ms=60)
    assert [type(event) for event in sink.events] == [TtsAudio, TtsFailed]
    assert isinstance(sink.events[-1], TtsFailed)
    assert (sink.events[-1].error.code, sink.events[-1].error.retryable) == ("stalled", True)
    await gone(server.seen[0])


async def test_a_later_sentence_fails_after_the_earlier_is_delivered(server: OpenAiServer) -> None:
    held = Wait()
    server.plans.extend([[b"\x01\x00" * 10, held, b"\x02\x00" * 10], [Status(500)]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        await server.requests(2)
        await within(server.seen[1].answered.wait())
        held.gate.set()
        await sink.ended()
    assert len(sink.audio) == 40
    assert [type(event) for event in sink.events[-2:]] == [TtsWords, TtsFailed]


async def test_cancel_closes_both_requests_at_once(server: OpenAiServer) -> None:
    server.plans.extend([[b"\x01\x00", Wait()], [b"\x01\x00", Wait()]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        await server.requests(2)
        await sink.first(TtsAudio)
        reply.cancel()
        reply.cancel()
        count = len(sink.events)
        await gone(server.seen[0])
        await gone(server.seen[1])
        await call.settled()
        reply.say("Three.")
        reply.finish()
    assert len(sink.events) == count
    assert len(server.seen) == 2


async def test_cancel_before_anything_and_from_within_the_sink(server: OpenAiServer) -> None:
    server.plans.append([SECOND, SECOND, Wait()])
    async with calling(server) as call:
        silent = SpeechRecorder()
        reply = call.session.reply(silent)
        reply.say("Never.")
        reply.cancel()
        events: list[TtsEvent] = []

        def cancelling(event: TtsEvent) -> None:
            events.append(event)
            reply.cancel()

        reply = call.session.reply(cancelling)
        reply.say("Hi.")
        await server.requests(1)
        await gone(server.seen[0])
        await call.settled()
        assert len(events) == 1
        assert silent.events == []


async def test_close_ends_the_reply_and_later_ones_are_silent(server: OpenAiServer) -> None:
    server.plans.append([SECOND, Wait()])
    sink, late = SpeechRecorder(), SpeechRecorder()
    async with calling(server) as call:
        call.session.reply(sink).say("One.")
        await sink.first(TtsAudio)
        call.session.close()
        count = len(sink.events)
        reply = call.session.reply(late)
        reply.say("Two.")
        reply.finish()
        await gone(server.seen[0])
        await call.settled()
    assert len(sink.events) == count
    assert late.events == []


async def test_the_calls_end_cancels_the_request(server: OpenAiServer) -> None:
    server.plans.append([SECOND, Wait()])
    sink = SpeechRecorder()
    async with calling(server) as call:
        call.session.reply(sink).say("One.")
        await sink.first(TtsAudio)
        (task,) = call.tasks
        call.tasks.clear()
        task.cancel()
        await gone(server.seen[0])
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_bug_in_the_sink_is_not_swallowed(server: OpenAiServer) -> None:
    server.plans.append(spoken(SECOND))
    async with calling(server) as call:

        def broken(event: TtsEvent) -> None:
            raise ZeroDivisionError

        call.session.reply(broken).say("One.")
        with pytest.raises(ExceptionGroup) as caught:
            await call.settled()
        assert caught.value.subgroup(ZeroDivisionError)
        call.tasks.clear()


async def test_queued_text_is_bounded(server: OpenAiServer) -> None:
    server.plans.append([Wait()])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for _ in range(200):
            reply.say("." * 1000)
        reply.finish()
        failed = await sink.ended()
    assert isinstance(failed, TtsFailed)
    assert failed.error.code == "bad_request"


async def test_text_that_was_spoken_waits_no_more(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_tts, "_MAX_QUEUED_CHARACTERS", 10)
    server.plans.extend(spoken(SECOND) for _ in range(4))
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for number in range(4):
            reply.say(f"No. {number}.")
            await server.requests(number + 1)
        reply.finish()
        assert await sink.ended() == TtsDone(24)


async def test_audio_ahead_is_bounded(server: OpenAiServer) -> None:
    """The second sentence's server is held back while the first is not through."""
    held, flood = Wait(), Wait()
    big = bytes(64 * 1024)
    server.plans.extend([[b"\x01\x00", held], [*([big] * 400), flood, End()]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        reply.finish()
        await server.requests(2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood.reached.wait(), 0.3)
        assert len(sink.audio) == 2
        held.gate.set()
        flood.gate.set()
        await sink.ended()
    assert len(sink.audio) == 2 + 400 * len(big)


def wav(audio: bytes, rate_hz: int = 24_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate_hz)
        written.writeframes(audio)
    return file.getvalue()


async def test_wav_is_unwrapped(server: OpenAiServer) -> None:
    audio = b"\x01\x02" * 500
    plans = [[Head(Content_Type="audio/wav"), wav(audio), b"LIST\x02\x00\x00\x00xx"]]
    sink = await say(server, plans, "Hi.", response_format="wav")
    assert sink.audio == audio
    assert server.seen[0].body["response_format"] == "wav"


async def test_wav_of_another_rate_fails(server: OpenAiServer) -> None:
    sink = await say(server, [[wav(SECOND, rate_hz=44_100)]], "Hi.")
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "garbage"
    assert "44100" in sink.events[-1].error.detail


@settings(deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_any_cut_of_a_wav_gives_the_same_samples(
    audio: bytes, cuts: list[int], unknown_size: bool
) -> None:
    audio = audio[: len(audio) // 2 * 2]
    whole = wav(audio)
    if unknown_size:
        whole = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    head = WavHead(24_000, required=True)
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    assert b"".join(head.strip(piece) for piece in pieces) == audio


@settings(deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_samples_or_a_vendor_error(data: bytes, riff: bool) -> None:
    head = WavHead(24_000)
    with contextlib.suppress(VendorError):
        for _ in range(200):
            head.strip(b"RIFF" + data if riff else data)
    assert len(head._head) < 8192


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"speed": 9}}, "settings.speed"),
    ({"settings": {"rate_hz": 44_100}}, "settings.rate_hz"),
    ({"settings": {"response_format": "mp3"}}, "settings.response_format"),
    ({"settings": {"extra_body": {"voice": "x"}}}, "settings.extra_body"),
    ({"settings": {"voice_id": "x"}}, "settings.voice_id"),
    ({"model": ""}, "model"),
    ({"voice": ""}, "voice"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_wrong_settings_are_named(change: dict[str, Any], field: str) -> None:
    given = {"vendor": "openai", "model": "m", "voice": "v", **change}
    with pytest.raises(VendorConfigError) as caught:
        make_tts(VendorConfig(**given), {})
    assert caught.value.field == field


async def test_without_a_key() -> None:
    tts = OpenAiTts(VendorConfig("openai", "m", voice="v"), {})
    with pytest.raises(VendorError, match="OPENAI_API_KEY"):
        await tts.start()
