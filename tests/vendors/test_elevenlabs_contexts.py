"""The contexts of one ElevenLabs socket: opened, kept, interrupted, counted."""

import asyncio
import contextlib

import msgspec
import pytest

from media.audio.format import (
    MULAW_8K,
)
from tests.support.elevenlabs_call import calling
from tests.support.elevenlabs_server import ElevenLabsServer, aligned
from tests.support.fixtures import running
from tests.support.vendor_calls import SpeechRecorder, say_all
from voicecore.adapters import elevenlabs_contexts, elevenlabs_session
from voicecore.adapters.elevenlabs_messages import (
    ServerMessage,
    read_message,
)
from voicecore.adapters.elevenlabs_session import ElevenLabsTtsSession
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords
from voicecore.providers.words import Word

server = running(ElevenLabsServer)


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
        await connection.until(lambda: "c1" not in connection.contexts and "c2" in connection.seen)
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
        server.speech.confirm = False  # it is said here, and c1 stays: one may be on its way to it
        connection.contexts["c1"].work.put_nowait(None)
        await connection.send({"isFinal": True, "contextId": "c1"})
        await connection.until(lambda: {"text": "", "context_id": "c2"} in connection.received)
        opening = {"text": " ", "context_id": "c2", "voice_settings": {"speed": 1.0}}
        assert alive not in connection.received[connection.received.index(opening) :]
        reply.finish()
        await sink.ended()
        opened = [each for each in connection.received if each.get("text") == " "]
        assert all(each["voice_settings"] == {"speed": 1.0} for each in opened)
