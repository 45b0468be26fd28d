"""What goes wrong at ElevenLabs, and what becomes of the reply."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.elevenlabs_call import calling, say
from tests.support.elevenlabs_server import Connection, ElevenLabsServer
from tests.support.fixtures import running
from tests.support.live_peer import Armed
from tests.support.refusing import refusing_port
from tests.support.vendor_calls import SpeechRecorder, say_all
from voicecore.adapters import elevenlabs_session
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords

server = running(ElevenLabsServer)


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


async def test_connect_failures(server: ElevenLabsServer) -> None:
    with refusing_port() as port:
        refused = await say(server, "Hi.", base_url=f"ws://127.0.0.1:{port}")
    assert (await refused.failed()).code == "connect_failed"
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
    armed = Armed(monkeypatch)
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        assert armed.now.keys() == {"first_output_timeout"}
        await sink.first(TtsWords)
        assert armed.now == {}
        reply.say("Two.")
        reply.say("Three.")
        assert armed.now.keys() == {"first_output_timeout"}
        assert len(armed.history) == 2, "more text puts the time-out off no further"
        reply.finish()
        assert await sink.ended() == TtsDone(14)
        assert armed.now == {}


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


async def test_a_failure_amid_text_leaves_no_deadline_behind(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket that takes over is not blamed for the silence of the one before it."""
    monkeypatch.setattr(elevenlabs_session, "_SETTLED_S", 0.0)
    server.handshake = asyncio.Event()
    sink = SpeechRecorder()
    async with calling(server) as call:
        call.session._options = msgspec.structs.replace(
            call.session._options, max_control_bytes=300
        )
        call.session.socket.close()
        reply = call.session.reply(sink)
        reply.say("word " * 100)
        error = await sink.failed()
        assert error.code == "stalled"
        assert call.session.socket._watches == {}
        server.handshake.set()
        again = say_all(call.session, "Hello again.")
        assert await again.ended() == TtsDone(12)
