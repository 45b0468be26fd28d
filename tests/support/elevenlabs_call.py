"""A call's speech at ElevenLabs, and what comes of it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from media.audio.format import (
    MULAW_8K,
    AudioFormat,
)
from tests.support.elevenlabs_server import KEY, ElevenLabsServer
from tests.support.vendor_calls import SpeechCall, SpeechRecorder, say_all
from voicecore.adapters.elevenlabs_tts import ElevenLabsTts
from voicecore.adapters.registry import VendorConfig

SECRETS = {"ELEVENLABS_API_KEY": KEY}


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
