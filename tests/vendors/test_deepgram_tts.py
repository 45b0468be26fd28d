"""Deepgram speech, Aura and Flux, against our strict server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat, Encoding
from tests.support.deepgram_server import KEY, DeepgramServer, spoken
from tests.support.vendor_calls import Call, SpeechRecorder, say_all
from voicecore.adapters import deepgram_speak
from voicecore.adapters.deepgram_speak import MAX_SPEAK_CHARS, FlushBudget
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.adapters.tts_pieces import split_text
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsSession, TtsWords
from voicecore.providers.words import Word

SECRETS = {"DEEPGRAM_API_KEY": KEY}
VOICES = {"aura": "aura-2-thalia-en", "flux": "flux-haven-en"}


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with DeepgramServer() as running:
        yield running


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with Call() as running:
        yield running


def open_session(
    server: DeepgramServer,
    call: Call,
    audio: AudioFormat = MULAW_8K,
    voice: str = "aura",
    **settings: Any,
) -> TtsSession:
    config = VendorConfig(
        "deepgram", voice=VOICES[voice], settings={"base_url": server.url, **settings}
    )
    return make_tts(config, SECRETS).open(audio, spawn=call.spawn)


def voice(text: str) -> bytes:
    """What the server says for a text at 10 ms a character, 8 kHz, one byte a sample."""
    return spoken(text, len(text.strip()) * 80)


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({}, "aura-2-thalia-en"),
        ({"voice": "aura-asteria-en"}, "aura-asteria-en"),
        ({"voice": "nestor", "language": "es-ES"}, "aura-2-nestor-es"),
        ({"model": "aura-2-helena-en"}, "aura-2-helena-en"),
    ],
)
async def test_the_request(
    server: DeepgramServer, call: Call, config: dict[str, str], model: str
) -> None:
    settings = {"base_url": server.url, "speed": 1.1}
    tts = make_tts(VendorConfig("deepgram", settings=settings, **config), SECRETS)
    session = tts.open(ALAW_8K, spawn=call.spawn)
    there = await server.connection()
    assert session.audio == ALAW_8K
    assert there.path == "/v1/speak"
    assert there.query == {
        "model": [model],
        "encoding": ["alaw"],
        "sample_rate": ["8000"],
        "speed": ["1.1"],
    }


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        (MULAW_8K, MULAW_8K),
        (L16_16K, L16_16K),
        (AudioFormat(Encoding.L16, 44_000), AudioFormat(Encoding.L16, 48_000)),
        (AudioFormat(Encoding.MULAW, 24_000), AudioFormat(Encoding.MULAW, 16_000)),
    ],
)
async def test_the_nearest_format_is_made(
    server: DeepgramServer, call: Call, wanted: AudioFormat, made: AudioFormat
) -> None:
    assert open_session(server, call, wanted).audio == made


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"model": "nova-3"}, "model"),
        ({"model": "flux"}, "voice"),
        ({"settings": {"speed": 9}}, "settings.speed"),
        ({"settings": {"pitch": 1}}, "settings.pitch"),
        ({"settings": {"tag": ["a"]}}, "settings.tag"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as wrong:
        make_tts(VendorConfig("deepgram", **config), SECRETS)
    assert wrong.value.field == field


async def test_a_missing_key_is_named() -> None:
    with pytest.raises(VendorError, match="DEEPGRAM_API_KEY"):
        await make_tts(VendorConfig("deepgram"), {}).start()
    await make_tts(VendorConfig("deepgram"), SECRETS).start()


async def test_a_reply(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call)
    there = await server.connection()
    assert there.texts == []
    sink = say_all(session, "Hello there.", "  ", "Good day.")
    await sink.ended()
    assert there.types == ["Speak", "Flush", "Speak", "Flush"]
    assert sink.audio == voice("Hello there.") + voice("Good day.")
    assert [words.words for words in sink.of(TtsWords)] == [
        (Word("Hello", 0, 55), Word("there.", 55, 120)),
        (Word("Good", 120, 165), Word("day.", 165, 210)),
    ]
    assert sink.events[-1] == TtsDone(characters=21)


async def test_the_first_sentence_is_spoken_before_the_reply_is_complete(
    server: DeepgramServer, call: Call
) -> None:
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await sink.first(TtsWords)
    assert sink.audio == voice("Hello.")
    reply.finish()
    assert sink.events[-1] == TtsDone(characters=6)


async def test_an_empty_reply_is_done_at_once(server: DeepgramServer, call: Call) -> None:
    sink = SpeechRecorder()
    open_session(server, call).reply(sink).finish()
    assert sink.events == [TtsDone()]


async def test_replies_follow_one_another_on_one_socket(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call)
    for text in ("One.", "Two, three.", "Four."):
        sink = say_all(session, text)
        await sink.ended()
        assert sink.audio == voice(text)
        assert sink.of(TtsWords)[0].words[0].start_ms == 0
    assert len(server.connections) == 1


@pytest.mark.parametrize("kind", ["aura", "flux"])
async def test_a_cancelled_reply_leaves_no_sound_behind(
    server: DeepgramServer, call: Call, kind: str
) -> None:
    server.plan.gate.clear()
    server.plan.late = b"\x77" * 800
    session = open_session(server, call, voice=kind)
    there = await server.connection()
    old = SpeechRecorder()
    reply = session.reply(old)
    reply.say("This is never heard.")
    reply.finish()
    await there.until(lambda: "Flush" in there.types)
    reply.cancel()
    reply.cancel()
    reply.say("Nor is this.")
    reply.finish()
    new = say_all(session, "Fresh.")
    server.plan.gate.set()
    await new.ended()
    assert old.events == []
    assert new.audio == voice("Fresh.")
    clear = "Clear" if kind == "aura" else "Interrupt"
    assert there.types == ["Speak", "Flush", clear, "Speak", "Flush"]


async def test_a_reply_cut_in_the_middle(server: DeepgramServer, call: Call) -> None:
    server.plan.chunk_ms = 20
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("A rather long sentence to be cut short.")
    await sink.count(2)
    reply.cancel()
    heard = len(sink.events)
    new = SpeechRecorder()
    session.reply(new).finish()
    there = await server.connection()
    await there.until(lambda: "Clear" in there.types)
    await new.ended()
    assert len(sink.events) == heard
    assert new.events == [TtsDone()]


async def test_a_cancel_after_the_last_sound_needs_no_clear(
    server: DeepgramServer, call: Call
) -> None:
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await sink.first(TtsWords)
    reply.cancel()
    new = say_all(session, "Next.")
    await new.ended()
    assert "Clear" not in (await server.connection()).types
    assert new.audio == voice("Next.")


async def test_a_new_reply_ends_the_old_one(server: DeepgramServer, call: Call) -> None:
    server.plan.gate.clear()
    session = open_session(server, call)
    old, new = SpeechRecorder(), SpeechRecorder()
    session.reply(old).say("Old.")
    answer = session.reply(new)
    answer.say("New.")
    answer.finish()
    server.plan.gate.set()
    await new.ended()
    assert old.events == []
    assert new.audio == voice("New.")


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


async def test_a_pause_between_sentences_is_no_stall(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call, stall_timeout_ms=200, first_audio_timeout_ms=200)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await sink.first(TtsWords)
    await asyncio.sleep(0.25)
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
    for message in ("{", "5", '{"no":"type"}'):
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


async def test_linear_audio_comes_in_whole_samples(server: DeepgramServer, call: Call) -> None:
    server.plan.gate.clear()
    session = open_session(server, call, L16_16K)
    there = await server.connection()
    sink = say_all(session, "Hi.")
    await there.until(lambda: "Flush" in there.types)
    await there.send(b"\x01\x02\x03")
    await there.send(b"\x04")
    server.plan.gate.set()
    await sink.ended()
    assert [len(event.payload) % 2 for event in sink.of(TtsAudio)].count(1) == 0
    assert sink.audio.startswith(b"\x01\x02\x03\x04")


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
    server.plan.flush_window_s = 0.3
    session = open_session(server, call)
    there = await server.connection()
    for _ in range(21):
        sink = say_all(session, "Hi.")
        await sink.ended()
        assert sink.audio == voice("Hi."), there.types
    assert there.types.count("Flush") == 21


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


async def test_a_flux_reply(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call, voice="flux")
    there = await server.connection()
    assert there.path == "/v2/speak"
    for _ in range(2):
        sink = say_all(session, "Hello there.", "Good day.")
        await sink.ended()
        text = "Hello there. Good day."
        assert sink.audio == voice(text)
        [words] = sink.of(TtsWords)
        assert [word.text for word in words.words] == text.split()
        assert words.words[-1].end_ms == len(text) * 10
    assert there.types == ["Speak", "Speak", "Flush"] * 2


async def test_flux_interrupted_after_its_turn_ended(server: DeepgramServer, call: Call) -> None:
    """The turn's end and the interruption cross: the vendor warns instead of confirming."""
    session = open_session(server, call, voice="flux")
    there = await server.connection()
    server.plan.gate.clear()
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await there.until(lambda: "Speak" in there.types)
    there._buffer = ""
    reply.cancel()
    server.plan.gate.set()
    new = say_all(session, "Next.")
    await new.ended()
    assert new.audio == voice("Next.")
    assert sink.events == []


async def test_nothing_after_close(server: DeepgramServer, call: Call) -> None:
    server.plan.gate.clear()
    session = open_session(server, call)
    there = await server.connection()
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("Hello.")
    await there.until(lambda: "Flush" in there.types)
    session.close()
    session.close()
    server.plan.gate.set()
    reply.say("More.")
    reply.finish()
    reply.cancel()
    await call.settled()
    assert sink.events == []
    await there.closed.wait()
    assert there.types[-1] == "Close"
    after = SpeechRecorder()
    session.reply(after).finish()
    assert after.events == []


async def test_the_sink_may_cancel(server: DeepgramServer, call: Call) -> None:
    session = open_session(server, call)
    got: list[object] = []

    def once(event: object) -> None:
        got.append(event)
        reply.cancel()

    reply = session.reply(once)
    reply.say("A sentence of some length.")
    reply.finish()
    there = await server.connection()
    await there.until(lambda: "Clear" in there.types)
    new = say_all(session, "Next.")
    await new.ended()
    assert len(got) == 1
    assert new.audio == voice("Next.")
