"""Deepgram speech, Aura and Flux, against our strict server."""

import asyncio
from typing import Any, Literal

import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat, Encoding
from tests.support.deepgram_server import DeepgramServer
from tests.support.deepgram_voice import SECRETS, open_session, voice
from tests.support.fixtures import running
from tests.support.vendor_calls import Call, SpeechRecorder, say_all
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsWords
from voicecore.providers.words import Word

server = running(DeepgramServer)
call = running(Call)


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


class _HeldAfter(asyncio.Event):
    """A gate that lets so many chunks pass before it is set."""

    def __init__(self, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks

    async def wait(self) -> Literal[True]:
        if not self.chunks:
            return await super().wait()
        self.chunks -= 1
        return True


async def test_a_reply_cut_in_the_middle(server: DeepgramServer, call: Call) -> None:
    server.plan.chunk_ms = 20
    server.plan.gate = _HeldAfter(2)
    session = open_session(server, call)
    sink = SpeechRecorder()
    reply = session.reply(sink)
    reply.say("A rather long sentence to be cut short.")
    await sink.count(2)
    reply.cancel()
    heard = len(sink.events)
    server.plan.gate.set()  # the rest comes before the vendor has read that it is unwanted
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
