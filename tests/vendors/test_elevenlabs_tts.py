"""The ElevenLabs adapter against a loopback server of its protocol."""

import asyncio
from typing import Any

import pytest

from media.audio.format import (
    ALAW_8K,
    L16_8K,
    L16_16K,
    L16_24K,
    MULAW_8K,
    AudioFormat,
    Encoding,
)
from tests.support.elevenlabs_call import SECRETS, calling, each_character, say
from tests.support.elevenlabs_server import ElevenLabsServer, aligned
from tests.support.fixtures import running
from tests.support.vendor_calls import SpeechCall, SpeechRecorder
from voicecore.adapters import elevenlabs_session
from voicecore.adapters.elevenlabs_tts import ElevenLabsTts
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsWords

server = running(ElevenLabsServer)


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


async def test_text_said_while_connecting_is_spoken(server: ElevenLabsServer) -> None:
    server.handshake = asyncio.Event()
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Early bird.")
        reply.finish()
        server.handshake.set()
        assert await sink.ended() == TtsDone(11)


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
