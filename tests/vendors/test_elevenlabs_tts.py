"""The ElevenLabs adapter against a loopback server of its protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.audio.format import (
    ALAW_8K,
    L16_8K,
    L16_16K,
    L16_24K,
    MULAW_8K,
    AudioFormat,
    Encoding,
)
from tests.support.elevenlabs_server import KEY, Connection, ElevenLabsServer, aligned
from tests.support.vendor_calls import SpeechCall, SpeechRecorder, say_all
from voicecore.adapters import elevenlabs_contexts, elevenlabs_session
from voicecore.adapters.elevenlabs_messages import (
    Alignment,
    ServerMessage,
    read_alignment,
    read_message,
)
from voicecore.adapters.elevenlabs_session import ElevenLabsTtsSession
from voicecore.adapters.elevenlabs_tts import ElevenLabsTts
from voicecore.adapters.elevenlabs_words import WordTimes
from voicecore.adapters.live_socket import LiveSocket
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords
from voicecore.providers.words import Word

SECRETS = {"ELEVENLABS_API_KEY": KEY}


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as running:
        yield running


def make(server: ElevenLabsServer, model: str = "eleven_flash_v2_5", **given: Any) -> ElevenLabsTts:
    own = {"base_url": server.base_url, **given}
    return ElevenLabsTts(VendorConfig("elevenlabs", model, "v/1", "en-GB", own), SECRETS)


@contextlib.asynccontextmanager
async def calling(
    server: ElevenLabsServer, wanted: AudioFormat = MULAW_8K, **given: Any
) -> AsyncIterator[SpeechCall]:
    tts = make(server, **given)
    await tts.start()
    call = SpeechCall(tts, wanted)
    try:
        yield call
    finally:
        call.session.close()
        await call.settled()
        await tts.stop()
    assert [connection.fault for connection in server.connections if connection.fault] == []


async def say(server: ElevenLabsServer, *texts: str, **given: Any) -> SpeechRecorder:
    async with calling(server, **given) as call:
        sink = say_all(call.session, *texts)
        await sink.ended()
    return sink


def each_character(text: str) -> list[tuple[str, int, int]]:
    """Words and times as the server speaks them: 20 ms a character and one for the space."""
    placed, at = [], 0
    for word in text.split():
        placed.append((word, at * 20, (at + len(word)) * 20))
        at += len(word) + 1
    return placed


async def test_speaks_with_word_times(server: ElevenLabsServer) -> None:
    sink = await say(server, "Hello there, caller.", "How are you?")
    text = "Hello there, caller. How are you?"
    assert len(sink.audio) == (len(text) + 1) * 20 * 8
    assert [(word.text, word.start_ms, word.end_ms) for word in sink.words] == each_character(text)
    assert sink.events[-1] == TtsDone(len(text) - 1)
    assert server.connections[0].most_contexts <= 2


async def test_words_come_with_their_audio(server: ElevenLabsServer) -> None:
    sink = await say(server, "Hello there, caller.")
    kinds = [type(event) for event in sink.events]
    assert kinds.index(TtsWords) < len(kinds) - 1 - kinds[::-1].index(TtsAudio)


async def test_what_is_sent(server: ElevenLabsServer) -> None:
    voice = {"stability": 0.4, "speed": 1.1}
    await say(server, "Hi.", voice_settings=voice, apply_text_normalization="on", seed=7)
    connection = server.connections[0]
    assert connection.voice == "v/1"
    assert connection.query == {
        "model_id": "eleven_flash_v2_5",
        "output_format": "ulaw_8000",
        "auto_mode": "true",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
        "language_code": "en",
        "apply_text_normalization": "on",
        "seed": "7",
    }
    assert connection.received[:4] == [
        {"text": " ", "context_id": "c1", "voice_settings": voice},
        {"text": "Hi. ", "context_id": "c1"},
        {"context_id": "c1", "flush": True},
        {"context_id": "c1", "close_context": True},
    ]


@pytest.mark.parametrize(
    ("wanted", "made", "name"),
    [
        (MULAW_8K, MULAW_8K, "ulaw_8000"),
        (ALAW_8K, ALAW_8K, "alaw_8000"),
        (L16_8K, L16_16K, "pcm_16000"),
        (L16_16K, L16_16K, "pcm_16000"),
        (L16_24K, L16_24K, "pcm_24000"),
        (AudioFormat(Encoding.L16, 48_000), L16_24K, "pcm_24000"),
        (AudioFormat(Encoding.MULAW, 16_000), L16_16K, "pcm_16000"),
    ],
)
async def test_formats(
    server: ElevenLabsServer, wanted: AudioFormat, made: AudioFormat, name: str
) -> None:
    async with calling(server, wanted) as call:
        assert call.session.audio == made
        assert (await server.connection()).query["output_format"] == name


@pytest.mark.parametrize(
    ("model", "language", "own", "sent"),
    [
        ("eleven_turbo_v2_5", "de-AT", {}, "de"),
        ("eleven_multilingual_v2", "de", {}, None),
        ("eleven_multilingual_v2", "de", {"language_code": "fr"}, "fr"),
        ("eleven_flash_v2_5", "multi", {}, None),
    ],
)
async def test_language(
    server: ElevenLabsServer, model: str, language: str, own: dict[str, Any], sent: str | None
) -> None:
    config = VendorConfig("elevenlabs", model, "v", language, {"base_url": server.base_url, **own})
    call = SpeechCall(ElevenLabsTts(config, SECRETS), MULAW_8K)
    assert (await server.connection()).query.get("language_code") == sent
    call.session.close()
    await call.settled()


async def test_the_session_is_warm_before_the_first_text(server: ElevenLabsServer) -> None:
    async with calling(server):
        connection = await server.connection()
        await connection.until(lambda: connection.received == [{"text": " ", "context_id": "c1"}])


async def test_one_socket_and_a_context_for_each_reply(server: ElevenLabsServer) -> None:
    async with calling(server) as call:
        for number in range(8):
            sink = say_all(call.session, f"Reply {number}.")
            assert await sink.ended() == TtsDone(8)
            assert sink.words[0].start_ms == 0
    assert len(server.connections) == 1
    assert server.connections[0].most_contexts <= 2


async def test_text_said_while_connecting_is_spoken(server: ElevenLabsServer) -> None:
    server.handshake = asyncio.Event()
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Early bird.")
        reply.finish()
        server.handshake.set()
        assert await sink.ended() == TtsDone(11)


async def test_the_context_is_closed_only_after_audio(server: ElevenLabsServer) -> None:
    """The server drops a context that is closed before its first audio."""
    gate = asyncio.Event()
    server.speech.before = lambda context, chunk: gate.wait()
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One two three four.")
        reply.finish()
        connection = await server.connection()
        await connection.until(lambda: {"context_id": "c1", "flush": True} in connection.received)
        closing = {"context_id": "c1", "close_context": True}
        assert closing not in connection.received
        gate.set()
        await connection.until(lambda: closing in connection.received)
        assert isinstance(await sink.ended(), TtsDone)
    assert len(sink.audio) == 20 * 20 * 8


async def test_a_lost_turn_is_a_failure(server: ElevenLabsServer) -> None:
    server.speech.mute = True
    sink = SpeechRecorder()
    async with calling(server) as call:
        call.session.reply(sink).say("Hi.")
        connection = await server.connection()
        await connection.until(lambda: len(connection.received) == 2)
        await connection.send({"isFinal": True, "contextId": "c1"})
        error = await sink.failed()
    assert (error.code, error.retryable) == ("vendor_error", True)


async def test_last_text_without_audio_does_not_hang(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs_session, "_CLOSE_GRACE_S", 0.05)
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Hello.")
        await sink.first(TtsAudio)
        connection = await server.connection()
        await connection.until(lambda: not connection.contexts["c1"].work.qsize())
        server.speech.mute = True
        reply.say("8)")
        reply.finish()
        assert await sink.ended() == TtsDone(8)
    assert [word.text for word in sink.words] == ["Hello.", "8)"]


@pytest.mark.parametrize("texts", [[], [""], ["  "], ["...", "—"]])
async def test_nothing_to_say(server: ElevenLabsServer, texts: list[str]) -> None:
    sink = await say(server, *texts)
    assert sink.events[-1] == TtsDone(0)
    assert sink.audio == b""
    marks = [mark for text in texts for mark in text.split()]
    assert [word.text for word in sink.words] == marks


async def test_marks_travel_with_the_next_text(server: ElevenLabsServer) -> None:
    sink = await say(server, "One.", "—", "Two.", "!")
    assert [word.text for word in sink.words] == ["One.", "—", "Two.", "!"]
    texts = [
        each["text"] for each in server.connections[0].received if each.get("text", " ") != " "
    ]
    assert texts == ["One. ", "— Two. "]


@pytest.mark.parametrize("style", ["snake_case", "nameless"])
async def test_other_spellings(server: ElevenLabsServer, style: str) -> None:
    setattr(server.speech, style, True)
    sink = await say(server, "Hello there.")
    assert sink.events[-1] == TtsDone(12)
    assert [word.text for word in sink.words] == ["Hello", "there."]


def test_both_spellings_are_read() -> None:
    for final, name in (("isFinal", "contextId"), ("is_final", "context_id")):
        message = read_message(msgspec.json.encode({final: True, name: "c9"}).decode())
        assert (message.context_id, message.final) == ("c9", True)
    camel = aligned("a b")["alignment"]
    snake = {
        "chars": camel["chars"],
        "char_start_times_ms": camel["charStartTimesMs"],
        "char_durations_ms": camel["charDurationsMs"],
    }
    assert read_alignment(snake) == read_alignment(camel) is not None


async def test_the_alignment_of_normalised_text_serves_too(server: ElevenLabsServer) -> None:
    server.speech.align = lambda text: aligned(text, "normalizedAlignment")
    sink = await say(server, "Hello there.")
    assert [(word.text, word.start_ms, word.end_ms) for word in sink.words] == each_character(
        "Hello there."
    )


async def test_without_alignment_words_come_with_the_end(server: ElevenLabsServer) -> None:
    server.speech.align = lambda text: {"alignment": None}
    sink = await say(server, "Hello there.")
    assert [word.text for word in sink.words] == ["Hello", "there."]
    assert sink.words[-1].end_ms == 13 * 20


async def test_samples_are_kept_whole(server: ElevenLabsServer) -> None:
    sink = SpeechRecorder()
    server.speech.mute = True
    async with calling(server, L16_16K) as call:
        call.session.reply(sink).say("Hi.")
        connection = await server.connection()
        await connection.until(lambda: len(connection.received) == 2)
        for encoded in ("AQID", "BAUG", "Bw=="):
            await connection.send({"audio": encoded, "contextId": "c1"})
        await connection.send({"isFinal": True, "contextId": "c1"})
        await sink.until(lambda: sink.audio == b"\x01\x02\x03\x04\x05\x06")
    assert all(len(e.payload) % 2 == 0 for e in sink.events if isinstance(e, TtsAudio))


async def test_cancel_closes_the_context_and_drops_late_audio(server: ElevenLabsServer) -> None:
    release = asyncio.Event()

    async def before(context: str, chunk: int) -> None:
        if context == "c1" and chunk >= 1:
            await release.wait()

    server.speech.before = before
    server.speech.late = 3
    first, second = SpeechRecorder(), SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(first)
        reply.say("A rather long sentence to interrupt.")
        await first.first(TtsAudio)
        reply.cancel()
        reply.cancel()
        count = len(first.events)
        connection = await server.connection()
        await connection.until(
            lambda: {"context_id": "c1", "close_context": True} in connection.received
        )
        reply.say("More.")
        reply.finish()
        release.set()
        other = call.session.reply(second)
        other.say("Hello.")
        other.finish()
        await second.ended()
        await connection.until(lambda: "c1" not in connection.contexts)
    assert len(first.events) == count
    assert second.events[-1] == TtsDone(6)
    assert len(second.audio) == 7 * 20 * 8
    late = [each for each in server.connections[0].sent if each.get("contextId") == "c1"]
    assert len(late) > 3
    assert len(server.connections) == 1


async def test_cancel_after_finish_and_before_any_text(server: ElevenLabsServer) -> None:
    gate = asyncio.Event()
    server.speech.before = lambda context, chunk: gate.wait()
    async with calling(server) as call:
        unsaid = SpeechRecorder()
        call.session.reply(unsaid).cancel()
        ended = SpeechRecorder()
        empty = call.session.reply(ended)
        empty.finish()
        empty.cancel()
        flushed = SpeechRecorder()
        reply = call.session.reply(flushed)
        reply.say("Hello.")
        reply.finish()
        connection = await server.connection()
        await connection.until(lambda: {"context_id": "c1", "flush": True} in connection.received)
        reply.cancel()
        gate.set()
        await connection.until(lambda: "c1" not in connection.contexts)
        assert unsaid.events == ended.events == flushed.events == []
        assert connection.seen == {"c1", "c2"}, "an unused context is kept"


async def test_cancel_from_within_the_sink(server: ElevenLabsServer) -> None:
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        sink.hook = lambda event: reply.cancel()
        reply.say("Hello there, caller.")
        await sink.first(TtsAudio)
        connection = await server.connection()
        await connection.until(lambda: "c1" not in connection.contexts)
    assert len(sink.events) == 1


async def test_quick_interruptions_never_open_a_sixth_context(server: ElevenLabsServer) -> None:
    """The server holds on to every closed context; a new socket takes over in time."""
    server.speech.confirm = False
    async with calling(server) as call:
        for number in range(12):
            sink = SpeechRecorder()
            reply = call.session.reply(sink)
            reply.say(f"Reply {number}.")
            assert isinstance(await sink.first(TtsAudio, TtsFailed), TtsAudio)
            reply.cancel()
    assert 2 <= len(server.connections) <= 3
    assert all(connection.most_contexts <= 5 for connection in server.connections)


async def test_old_contexts_stop_counting(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs_contexts, "_CLOSING_MS", -1000)
    server.speech.confirm = False
    async with calling(server) as call:
        for _ in range(3):
            reply = call.session.reply(SpeechRecorder())
            reply.say("Hi.")
            reply.cancel()
            assert len(call.session._contexts._known) <= 2


def broken_by(message: dict[str, Any] | str | bytes) -> Callable[[Connection], Any]:
    return lambda connection: connection.send(message)


def closed_with(code: int, reason: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.close(code, reason)


async def _drop(connection: Connection) -> None:
    connection.drop()


def _error(name: str) -> dict[str, Any]:
    return {"message": "no", "error": name, "code": 1008}


BROKEN: list[tuple[Callable[[Connection], Any], str, bool]] = [
    (_drop, "disconnected", True),
    (closed_with(1000, ""), "disconnected", True),
    (closed_with(1011, "internal"), "disconnected", True),
    (closed_with(1009, "message too big"), "bad_request", False),
    (closed_with(1008, "We are sorry, something went wrong."), "vendor_error", True),
    (closed_with(1008, "Have not received a new text input within"), "disconnected", True),
    (closed_with(1008, "This request exceeds your quota of 10000."), "quota_exceeded", False),
    (closed_with(1008, "voice settings only in first message"), "bad_request", False),
    (closed_with(1008, "Invalid API key"), "auth_failed", False),
    (closed_with(1008, "A model with model ID x does not exist"), "model_not_found", False),
    (closed_with(1008, ""), "bad_request", False),
    (broken_by(_error("max_active_conversations")), "overloaded", True),
    (broken_by(_error("too_many_concurrent_requests")), "rate_limited", True),
    (broken_by(_error("system_busy")), "overloaded", True),
    (broken_by(_error("quota_exceeded")), "quota_exceeded", False),
    (broken_by("{"), "garbage", True),
    (broken_by("7"), "garbage", True),
    (broken_by(b"\x00"), "garbage", True),
    (broken_by('{"audio": 7}'), "garbage", True),
    (broken_by('{"audio": "***", "contextId": "c1"}'), "garbage", True),
    (broken_by("[" * 5000), "garbage", True),
]


@pytest.mark.parametrize(("breaks", "code", "retryable"), BROKEN)
async def test_failures_mid_reply(
    server: ElevenLabsServer, breaks: Callable[[Connection], Any], code: str, retryable: bool
) -> None:
    gate = asyncio.Event()

    async def before(context: str, chunk: int) -> None:
        if chunk == 1 and context == "c1":
            await gate.wait()

    server.speech.before = before
    sink, after = SpeechRecorder(), SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Hello there, caller.")
        await sink.first(TtsAudio)
        await breaks(await server.connection())
        error = await sink.failed()
        assert (error.vendor, error.code, error.retryable) == ("elevenlabs", code, retryable)
        reply.say("Nobody hears this.")
        reply.finish()
        gate.set()
        again = call.session.reply(after)
        again.say("Hello again.")
        again.finish()
        assert await after.ended() == TtsDone(12), "the next reply gets a new socket"
    assert isinstance(sink.events[-1], TtsFailed)
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth_failed", False),
        (402, "quota_exceeded", False),
        (403, "auth_failed", False),
        (429, "rate_limited", True),
        (503, "vendor_error", True),
    ],
)
async def test_refused_upgrade(
    server: ElevenLabsServer, status: int, code: str, retryable: bool
) -> None:
    server.refusal = status
    error = await (await say(server, "Hi.")).failed()
    assert (error.code, error.retryable) == (code, retryable)


async def test_connect_failures(server: ElevenLabsServer, unused_tcp_port: int) -> None:
    base_url = f"ws://127.0.0.1:{unused_tcp_port}"
    assert (await (await say(server, "Hi.", base_url=base_url)).failed()).code == "connect_failed"
    server.handshake = asyncio.Event()
    error = await (await say(server, "Hi.", connect_timeout_ms=50)).failed()
    assert (error.code, error.retryable) == ("connect_timeout", True)
    server.handshake.set()


async def test_first_audio_timeout(server: ElevenLabsServer) -> None:
    server.speech.mute = True
    error = await (await say(server, "Hi.", first_audio_timeout_ms=60)).failed()
    assert (error.code, error.retryable) == ("first_output_timeout", True)


async def test_a_quiet_reply_waits_for_its_text(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No audio is due while the model thinks."""
    armed: set[str] = set()
    count = 0
    arm, disarm = LiveSocket.arm, LiveSocket.disarm

    def note_arm(socket: LiveSocket, code: str, after_ms: int, detail: str) -> None:
        nonlocal count
        count += 1
        armed.add(code)
        arm(socket, code, after_ms, detail)

    def note_disarm(socket: LiveSocket, code: str) -> None:
        armed.discard(code)
        disarm(socket, code)

    monkeypatch.setattr(LiveSocket, "arm", note_arm)
    monkeypatch.setattr(LiveSocket, "disarm", note_disarm)
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        assert armed == {"first_output_timeout"}
        await sink.first(TtsWords)
        assert armed == set()
        reply.say("Two.")
        reply.say("Three.")
        assert armed == {"first_output_timeout"}
        assert count == 2, "more text puts the time-out off no further"
        reply.finish()
        assert await sink.ended() == TtsDone(14)
        assert armed == set()


async def test_stalled(server: ElevenLabsServer) -> None:
    never = asyncio.Event()

    async def before(context: str, chunk: int) -> None:
        if chunk == 1:
            await never.wait()

    server.speech.before = before
    sink = await say(server, "Hello there, caller.", stall_timeout_ms=60)
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "stalled"


async def test_a_missing_final_after_all_audio_is_forgiven(server: ElevenLabsServer) -> None:
    server.speech.confirm = False
    sink = await say(server, "Hello there, caller.", stall_timeout_ms=300)
    assert sink.events[-1] == TtsDone(20)


async def test_a_context_that_times_out_is_followed_by_another(server: ElevenLabsServer) -> None:
    server.speech.align = lambda text: aligned(text.strip())
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        await sink.first(TtsWords)
        connection = await server.connection()
        connection.contexts["c1"].work.put_nowait(None)
        # The next context is opened when the news has come.
        await connection.until(lambda: {"text": " ", "context_id": "c2"} in connection.received)
        assert reply.context is None
        reply.say("Two.")
        reply.finish()
        assert await sink.ended() == TtsDone(8)
    assert sink.words == [Word("One.", 0, 80), Word("Two.", 100, 180)]


async def test_an_unused_context_that_times_out_is_replaced(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = asyncio.Event()

    def read(data: str | bytes) -> ServerMessage:
        heard.set()
        return read_message(data)

    monkeypatch.setattr(elevenlabs_session, "read_message", read)
    sink = SpeechRecorder()
    async with calling(server) as call:
        connection = await server.connection()
        await connection.until(lambda: "c1" in connection.contexts)
        connection.contexts["c1"].work.put_nowait(None)
        async with asyncio.timeout(3):
            await heard.wait()
        reply = call.session.reply(sink)
        reply.say("Hello.")
        reply.finish()
        assert await sink.ended() == TtsDone(6)


async def test_keepalives_hold_an_open_context(server: ElevenLabsServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        call = await stack.enter_async_context(calling(server, voice_settings={"speed": 1.0}))
        call.session.close()
        quick = msgspec.structs.replace(call.session._options, keepalive_idle_ms=20)
        call.session = ElevenLabsTtsSession(MULAW_8K, call.session.speech, quick, call.spawn)
        connection = await server.connection(1)
        alive = {"text": "", "context_id": "c1"}
        await connection.until(lambda: connection.received.count(alive) >= 2)
        sink = SpeechRecorder()
        reply = call.session.reply(sink)
        reply.say("One.")
        await sink.first(TtsWords)
        count = connection.received.count(alive)
        await connection.until(lambda: connection.received.count(alive) >= count + 2)
        await connection.send({"isFinal": True, "contextId": "c1"})
        del connection.contexts["c1"]
        await connection.until(lambda: {"text": "", "context_id": "c2"} in connection.received)
        reply.finish()
        await sink.ended()
        opened = [each for each in connection.received if each.get("text") == " "]
        assert all(each["voice_settings"] == {"speed": 1.0} for each in opened)


async def test_an_idle_break_is_mended_ahead(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs_session, "_SETTLED_S", 0.0)
    async with calling(server) as call:
        connection = await server.connection()
        await connection.until(lambda: bool(connection.received))
        sink = SpeechRecorder()
        reply = call.session.reply(sink)
        monkeypatch.setattr(elevenlabs_session, "_SETTLED_S", 0.0)
        connection.drop()
        again = await server.connection(2)
        await again.until(lambda: bool(again.received))
        monkeypatch.setattr(elevenlabs_session, "_SETTLED_S", 60.0)
        reply.say("Still here.")
        reply.finish()
        assert await sink.ended() == TtsDone(11)
        assert len(server.connections) == 2


async def test_nothing_after_close(server: ElevenLabsServer) -> None:
    gate = asyncio.Event()

    async def before(context: str, chunk: int) -> None:
        if chunk == 1:
            await gate.wait()

    server.speech.before = before
    sink, late = SpeechRecorder(), SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Hello there, caller.")
        await sink.first(TtsAudio)
        call.session.close()
        call.session.close()
        count = len(sink.events)
        gate.set()
        reply.say("More.")
        reply.finish()
        reply = call.session.reply(late)
        reply.say("More.")
        reply.finish()
        connection = await server.connection()
        async with asyncio.timeout(3):
            await connection.closed.wait()
        await call.settled()
    assert connection.received[-1] == {"close_socket": True}
    assert len(sink.events) == count
    assert late.events == []


async def test_a_reply_without_text_is_over_with_its_session(server: ElevenLabsServer) -> None:
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        call.session.close()
        reply.finish()
        await call.settled()
        await asyncio.sleep(0)
    assert sink.events == []


async def test_memory_is_bounded_where_the_server_never_reads(server: ElevenLabsServer) -> None:
    server.handshake = asyncio.Event()
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for _ in range(1000):
            reply.say("word " * 200)
        error = await sink.failed()
        server.handshake.set()
    assert (error.code, error.retryable) == ("stalled", True)


async def test_without_a_key() -> None:
    config = VendorConfig("elevenlabs", "eleven_flash_v2_5", "v")
    for secrets in ({}, {"ELEVENLABS_API_KEY": " "}, {"ELEVENLABS_API_KEY": "sk\nx"}):
        with pytest.raises(VendorError, match="ELEVENLABS_API_KEY") as caught:
            await ElevenLabsTts(config, secrets).start()
        assert (caught.value.code, caught.value.retryable) == ("auth_failed", False)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"stability": 1}}, "settings.stability"),
    ({"settings": {"voice_settings": {"speed": 2}}}, "settings.voice_settings.speed"),
    ({"settings": {"base_url": "https://x"}}, "settings.base_url"),
    ({"settings": {"inactivity_timeout_s": 181}}, "settings.inactivity_timeout_s"),
    ({"settings": {"language_code": "english"}}, "settings.language_code"),
    ({"model": "eleven_v3"}, "model"),
    ({"model": "eleven_v4_turbo"}, "model"),
    ({"model": ""}, "model"),
    ({"voice": ""}, "voice"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_wrong_settings_are_named(change: dict[str, Any], field: str) -> None:
    given = {"vendor": "elevenlabs", "model": "m", "voice": "v", **change}
    with pytest.raises(VendorConfigError) as caught:
        make_tts(VendorConfig(**given), {})
    assert caught.value.field == field


def chunks_of(text: str, *sizes: int) -> list[Alignment]:
    made, at = [], 0
    for size in (*sizes, len(text)):
        piece, at = text[at : at + size], at + size
        alignment = read_alignment(aligned(piece)["alignment"])
        if alignment is not None:
            made.append(alignment)
    return made


def placed(text: str, spoken: list[Alignment], audio_ms: int) -> list[Word]:
    times = WordTimes()
    times.expect(text)
    words: list[Word] = []
    for alignment in spoken:
        words += times.place(alignment, 0)
    return [*words, *times.rest(audio_ms)]


def test_normalised_text_keeps_the_words_of_the_reply() -> None:
    spoken = chunks_of("I have forty two cats and dogs ", 8, 5)
    words = placed("I have 42 cats & dogs", spoken, 620)
    assert [word.text for word in words] == ["I", "have", "42", "cats", "&", "dogs"]
    assert words[2] == Word("42", 120, 340)
    assert words[3] == Word("cats", 340, 420)


def test_sentences_joined_without_a_space_are_told_apart() -> None:
    assert placed("No. Yes.", chunks_of("No.Yes."), 900) == [
        Word("No.", 0, 60),
        Word("Yes.", 60, 140),
    ]


def test_another_context_counts_from_where_it_begins() -> None:
    times = WordTimes()
    times.expect("one two")
    (first,), (second,) = chunks_of("one tw"), chunks_of("two ")
    assert times.place(first, 0) == (Word("one", 0, 60),)
    times.restart(400)
    assert times.place(second, 400) == (Word("two", 400, 460),)


def test_without_alignment_words_are_spread() -> None:
    assert placed("One two", [], 800) == [Word("One", 0, 400), Word("two", 400, 800)]


def test_lost_alignments_are_made_up_for() -> None:
    times = WordTimes()
    times.expect("one two three")
    (alignment,) = chunks_of("three ")
    assert times.place(alignment, 5000) == (
        Word("one", 0, 2500),
        Word("two", 2500, 5000),
        Word("three", 5000, 5100),
    )


TEXT = st.lists(st.text("abA.,! &", max_size=8), max_size=5).map(" ".join)
ALIGNMENTS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab. AB!"), st.integers(0, 400), st.integers(0, 99))),
    max_size=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab cd.", min_size=1, max_size=40), st.lists(st.integers(1, 9), max_size=8))
def test_words_cut_anywhere_are_joined(text: str, sizes: list[int]) -> None:
    spoken = " ".join(text.split()) + " "
    words = placed(text, chunks_of(spoken, *sizes), len(spoken) * 20)
    assert [(word.text, word.start_ms, word.end_ms) for word in words] == each_character(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, ALIGNMENTS)
def test_each_word_comes_once_in_order_whatever_the_alignment(
    text: str, rows: list[list[tuple[str, int, int]]]
) -> None:
    spoken = []
    for row in rows:
        given = {
            "chars": [character for character, _, _ in row],
            "charStartTimesMs": [start for _, start, _ in row],
            "charDurationsMs": [duration for _, _, duration in row],
        }
        alignment = read_alignment(given)
        assert (alignment is None) == (not row)
        spoken += [alignment] if alignment is not None else []
    words = placed(text, spoken, 3000)
    assert [word.text for word in words] == text.split()
    edges = [edge for word in words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)


JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        1e300,
        "x",
        "",
        [],
        [7],
        ["a"],
        {},
        {"chars": ["a"], "charStartTimesMs": [0]},
        {"chars": ["a"], "charStartTimesMs": [True], "charDurationsMs": [1]},
        {"chars": ["a"], "charStartTimesMs": [1.5], "charDurationsMs": [1]},
        {"chars": [3], "charStartTimesMs": [0], "charDurationsMs": [1]},
    ]
)
NAMES = [
    "audio",
    "alignment",
    "normalizedAlignment",
    "contextId",
    "context_id",
    "isFinal",
    "is_final",
    "error",
    "message",
    "code",
    "other",
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), JUNK) | JUNK | st.binary(max_size=20))
def test_any_message_is_read_or_garbage(message: Any) -> None:
    data = message if isinstance(message, bytes) else msgspec.json.encode(message).decode()
    try:
        read = read_message(data)
    except VendorError as error:
        read = None
        code = error.code
    assert read is not None or code == "garbage"


def test_our_messages_and_the_servers_fit_the_sdks_types() -> None:
    """The vendor's own types accept what we send and what our server sends."""
    from elevenlabs.types import (
        AudioOutputMulti,
        CloseContext,
        CloseSocket,
        FinalOutputMulti,
        FlushContext,
        InitializeConnectionMulti,
        KeepContextAlive,
        SendTextMulti,
        WebsocketTtsClientMessageMulti,
    )

    def fits(kind: Any, message: dict[str, Any]) -> Any:
        known = {field.alias or name for name, field in kind.model_fields.items()}
        assert message.keys() <= known | {"context_id"}
        return kind.model_validate(message)

    async def messages() -> Connection:
        async with ElevenLabsServer() as server:
            await say(server, "Hello there.", voice_settings={"stability": 0.5, "style": 0.1})
            return server.connections[0]

    connection = asyncio.run(messages())
    opening, text, flush, close = connection.received[:4]
    fits(InitializeConnectionMulti, opening)
    fits(SendTextMulti, text)
    fits(FlushContext, flush)
    fits(CloseContext, close)
    fits(CloseSocket, connection.received[-1])
    fits(KeepContextAlive, {"text": "", "context_id": "c1"})
    for message in connection.received:
        fits(WebsocketTtsClientMessageMulti, message)
    *audio, final = connection.sent
    assert fits(FinalOutputMulti, final).is_final is True
    for message in audio:
        parsed = fits(AudioOutputMulti, message)
        assert (parsed.context_id, parsed.alignment.chars) == ("c1", message["alignment"]["chars"])
