"""Aura's flushes are few, and its texts short."""

import asyncio

import pytest

from tests.support.deepgram_server import DeepgramServer
from tests.support.deepgram_voice import open_session, voice
from tests.support.fixtures import running
from tests.support.vendor_calls import Call, SpeechRecorder, say_all
from voicecore.adapters import deepgram_speak
from voicecore.adapters.deepgram_speak import MAX_SPEAK_CHARS, FlushBudget
from voicecore.adapters.tts_pieces import split_text
from voicecore.providers.tts import TtsDone, TtsWords

server = running(DeepgramServer)
call = running(Call)


async def test_flushes_are_spared_when_they_run_out(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(server, call)
    there = await server.connection()
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for number in range(30):
        reply.say(f"Sentence {number}.")
    reply.finish()
    await sink.ended()
    limit = deepgram_speak.FLUSH_LIMIT - deepgram_speak.FLUSH_RESERVE
    assert there.types.count("Flush") == limit + 1
    assert there.types.count("Speak") == 30
    said = [word.text for words in sink.of(TtsWords) for word in words.words]
    assert said == [part for n in range(30) for part in ("Sentence", f"{n}.")]
    assert isinstance(sink.events[-1], TtsDone)


async def test_a_spent_budget_delays_the_end(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram_speak, "FLUSH_WINDOW_MS", 400)
    # The server counts from when a flush arrives, which may be much later than it was sent.
    server.plan.flush_window_s = 0.0
    now = asyncio.get_running_loop().time
    session = open_session(server, call)
    there = await server.connection()
    began = now()
    for _ in range(21):
        sink = say_all(session, "Hi.")
        await sink.ended()
        assert sink.audio == voice("Hi."), there.types
    assert there.types.count("Flush") == 21
    assert now() - began >= 0.399, "the last one waits until the first is forgotten"


def test_the_budget() -> None:
    budget = FlushBudget()
    assert [budget.take(1000 + n, reserve=6) for n in range(15)] == [True] * 14 + [False]
    assert [budget.take(2000) for _ in range(7)] == [True] * 6 + [False]
    assert budget.wait_ms(2000) == 60_000
    assert budget.take(62_000)
    assert not budget.take(62_000)


def test_long_text_is_split_between_words() -> None:
    text = "word " * 700
    pieces = split_text(text, MAX_SPEAK_CHARS)
    assert all(len(piece) <= 1500 for piece in pieces)
    assert " ".join(pieces) == text.strip()
    assert [len(piece) for piece in split_text("x" * 3200, 1500)] == [1500, 1500, 200]
    assert split_text("  ", 1500) == []


async def test_text_between_flushes_stays_below_the_limit(
    server: DeepgramServer, call: Call
) -> None:
    server.plan.ms_per_char = 0
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for _ in range(14):
        reply.say("Short.")
    for _ in range(5):
        reply.say("long " * 200)  # the server closes at 2,000 characters between flushes
    reply.finish()
    await sink.ended()
    assert sink.events[-1] == TtsDone(characters=14 * 6 + 5 * 999)
