"""What goes wrong with Deepgram speech, and what becomes of the reply."""

import pytest

from tests.support.deepgram_line import change_sockets
from tests.support.deepgram_server import DeepgramServer
from tests.support.deepgram_voice import open_session, voice
from tests.support.fixtures import running
from tests.support.live_peer import Armed
from tests.support.vendor_calls import Call, SpeechRecorder, say_all, timers_run
from voicecore.providers.tts import TtsDone, TtsFailed, TtsWords

server = running(DeepgramServer)
call = running(Call)


async def test_an_unconfirmed_clear_costs_the_socket_not_the_reply(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicecore.adapters.deepgram_tts_session._CLEAR_TIMEOUT_MS", 50)
    server.plan.confirm_clear = False
    server.plan.gate.clear()
    session = open_session(server, call)
    there = await server.connection()
    reply = session.reply(SpeechRecorder())
    reply.say("Old.")
    await there.until(lambda: "Flush" in there.types)
    reply.cancel()
    server.plan.gate.set()
    new = say_all(session, "New.")
    await new.ended()
    assert new.audio == voice("New.")
    assert len(server.connections) == 2
    assert there.types[:3] == ["Speak", "Flush", "Clear"]
    assert [m["text"] for m in there.texts if m["type"] == "Speak"] == ["Old."]


async def test_a_socket_closed_between_replies_is_opened_again(
    server: DeepgramServer, call: Call
) -> None:
    session = open_session(server, call)
    first = await server.connection()
    await first.socket.close(1011, "NET-0001")
    await call.settled()
    assert len(server.connections) == 1, "not before it is needed"
    sink = say_all(session, "Hello.")
    await sink.ended()
    assert sink.audio == voice("Hello.")
    assert len(server.connections) == 2


async def test_a_connection_lost_before_any_sound_is_replaced(
    server: DeepgramServer, call: Call
) -> None:
    server.plan.gate.clear()
    session = open_session(server, call)
    there = await server.connection()
    sink = say_all(session, "Hello.", "World.")
    await there.until(lambda: there.types.count("Flush") == 2)
    await there.drop()
    server.plan.gate.set()
    await sink.ended()
    assert sink.audio == voice("Hello.") + voice("World.")
    assert isinstance(sink.events[-1], TtsDone)


async def test_a_connection_lost_amid_a_sentence_fails_the_reply(
    server: DeepgramServer, call: Call
) -> None:
    server.plan.drop_after = 800
    session = open_session(server, call)
    sink = say_all(session, "A long enough sentence.")
    await sink.ended()
    [failed] = sink.of(TtsFailed)
    assert (failed.error.code, failed.error.retryable) == ("disconnected", True)
    assert 0 < len(sink.audio) <= 800
    server.plan.drop_after = None
    again = say_all(session, "Back.")
    await again.ended()
    assert again.audio == voice("Back.")


@pytest.mark.parametrize(
    ("status", "code"), [(401, "auth_failed"), (429, "rate_limited"), (503, "vendor_error")]
)
async def test_a_refused_connection_fails_the_reply(
    server: DeepgramServer, call: Call, status: int, code: str
) -> None:
    server.refuse = [status, status]
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await sink.ended()
    assert [failed.error.code for failed in sink.events] == [code]
    reply.finish()
    assert len(sink.events) == 1


async def test_a_refusal_before_the_first_reply_is_found_by_it(
    server: DeepgramServer, call: Call
) -> None:
    server.refuse = [401, 401]
    session = open_session(server, call)
    await call.settled()
    sink = SpeechRecorder()
    session.reply(sink).say("Hello.")
    await sink.ended()
    assert [failed.error.code for failed in sink.events] == ["auth_failed"]


async def test_no_first_sound(server: DeepgramServer, call: Call) -> None:
    server.plan.gate.clear()
    session = open_session(server, call, first_audio_timeout_ms=200)
    sink = SpeechRecorder()
    session.reply(sink).say("Hello.")
    await sink.ended()
    [failed] = sink.events
    assert (failed.error.code, failed.error.retryable) == ("first_output_timeout", True)


async def test_a_stall_amid_a_reply(server: DeepgramServer, call: Call) -> None:
    server.plan.confirm_flush = False
    session = open_session(server, call, stall_timeout_ms=200)
    sink = SpeechRecorder()
    session.reply(sink).say("Hello.")
    await sink.ended()
    assert sink.events[-1].error.code == "stalled"


async def test_a_pause_between_sentences_is_no_stall(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = Armed(monkeypatch)
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    assert armed.now.keys() == {"first_output_timeout"}
    await sink.first(TtsWords)
    assert armed.now == {}, "however long the pause is"
    reply.say("World.")
    reply.finish()
    await sink.ended()
    assert isinstance(sink.events[-1], TtsDone)
    assert len(server.connections) == 1


async def test_garbage_and_errors(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call)
    there = await server.connection()
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for message in ("{", "5", '{"no":"type"}', '{"type":"Flushed","x":' + "[" * 100_000):
        await there.send(message)
    await there.send({"type": "Flushed", "sequence_id": 0})
    await there.send({"type": "Cleared", "sequence_id": 0})
    await there.send({"type": "Warning", "code": "W", "description": "d"})
    await there.send(b"\x01" * 80)  # sound that nobody asked for
    await (await there.socket.ping())
    reply.say("Hello.")
    reply.finish()
    await sink.ended()
    assert sink.audio == voice("Hello.")
    sink = SpeechRecorder()
    session.reply(sink)
    await there.send({"type": "Error", "code": "C", "description": "bad"})
    await sink.ended()
    assert [failed.error.detail for failed in sink.events] == ["C bad"]


@pytest.mark.parametrize("kind", ["aura", "flux"])
async def test_more_text_puts_no_deadline_off(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    armed = Armed(monkeypatch)
    server.plan.gate.clear()
    session = open_session(server, call, voice=kind)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for _ in range(5):
        reply.say("Hello.")
    assert armed.history == ["first_output_timeout"]
    reply.finish()
    server.plan.gate.set()
    await sink.ended()
    assert isinstance(sink.events[-1], TtsDone)
    assert armed.now == {}


async def test_a_piece_without_sound_is_no_silence(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = Armed(monkeypatch)
    server.plan.ms_per_char = 0
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hm.")
    await sink.first(TtsWords)
    assert armed.now == {}, "nothing is owed until there is more text"
    reply.finish()
    assert sink.events[-1] == TtsDone(characters=3)


async def test_an_interruption_while_connecting_leaves_the_connection_its_time(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicecore.adapters.deepgram_tts_session._CLEAR_TIMEOUT_MS", 50)
    server.upgrade.clear()
    session = open_session(server, call)
    reply = session.reply(SpeechRecorder())
    reply.say("Old.")
    reply.cancel()
    new = say_all(session, "New.")
    await timers_run(50)
    server.upgrade.set()
    await new.ended()
    assert new.audio == voice("New.")
    assert len(server.connections) == 1


async def test_text_that_waits_is_bounded(server: DeepgramServer, call: Call) -> None:
    server.plan.confirm_clear = False
    server.plan.gate.clear()
    session = open_session(server, call)
    there = await server.connection()
    old = session.reply(SpeechRecorder())
    old.say("Old.")
    await there.until(lambda: "Flush" in there.types)
    old.cancel()  # until that is confirmed, text waits
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for _ in range(200):
        reply.say("word " * 200)
    assert len(reply.waiting) < 110  # type: ignore[attr-defined]
    assert sink.events == [], "not within the owner's own call"
    error = await sink.failed()
    assert (error.code, error.retryable) == ("bad_request", False)
    reply.finish()
    assert len(sink.events) == 1


async def test_a_vendor_that_reads_no_text_fails_the_reply_and_not_the_call(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_sockets(monkeypatch, max_control_bytes=300)
    session = open_session(server, call)
    there = await server.connection()
    await (await there.socket.ping())
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for _ in range(12):
        reply.say("A sentence of some length.")
    reply.finish()
    error = await sink.failed()
    assert error.code == "stalled"
    assert len(sink.events) == 1
    new = say_all(session, "Next.")
    await new.ended()
    assert new.audio == voice("Next.")
    assert [word.text for word in new.words] == ["Next."]
