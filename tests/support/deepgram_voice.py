"""A call's speech at Deepgram."""

from typing import Any

from media.audio.format import MULAW_8K, AudioFormat
from tests.support.deepgram_server import KEY, DeepgramServer
from tests.support.deepgram_wire import spoken
from tests.support.vendor_calls import Call
from voicecore.adapters.registry import VendorConfig, make_tts
from voicecore.providers.tts import TtsSession

SECRETS = {"DEEPGRAM_API_KEY": KEY}


VOICES = {"aura": "aura-2-thalia-en", "flux": "flux-haven-en"}


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
