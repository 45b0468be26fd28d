"""A call's speech through the OpenAI route, and what comes of it."""

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from media.audio.format import MULAW_8K
from tests.support.openai_server import End, OpenAiServer, Seen, Step
from tests.support.vendor_calls import SpeechCall, SpeechRecorder, say_all
from voicecore.adapters.openai_tts import OpenAiTts
from voicecore.adapters.registry import VendorConfig

SECOND = bytes(48_000)


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


def wav(audio: bytes, rate_hz: int = 24_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate_hz)
        written.writeframes(audio)
    return file.getvalue()
