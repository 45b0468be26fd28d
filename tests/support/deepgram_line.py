"""A call's stream at Deepgram and the server's end of it."""

from typing import Any

import pytest

from media.audio.format import MULAW_8K, AudioFormat
from tests.support.deepgram_server import KEY, Connection, DeepgramServer
from tests.support.vendor_calls import Call, Recorder
from voicecore.adapters import deepgram_common
from voicecore.adapters.registry import VendorConfig, make_stt
from voicecore.providers.stt import SttStream

FRAME = b"\xff" * 160
SECRETS = {"DEEPGRAM_API_KEY": KEY}


class Line:
    """A stream with its sink. ``model`` is a Nova if it is empty."""

    def __init__(
        self,
        server: DeepgramServer,
        call: Call,
        *,
        model: str = "",
        audio: AudioFormat = MULAW_8K,
        **settings: Any,
    ) -> None:
        self.server = server
        self.sink = Recorder()
        settings = {"base_url": server.url, **settings}
        stt = make_stt(VendorConfig("deepgram", model=model, settings=settings), SECRETS)
        self.stream: SttStream = stt.open(audio, sink=self.sink, spawn=call.spawn)

    def speak(self, duration_ms: int) -> None:
        for _ in range(duration_ms // 20):
            self.stream.push(FRAME)

    async def heard(self, duration_ms: int, number: int = 0) -> Connection:
        """The server's connection, once it got that much audio."""
        there = await self.server.connection(number)
        await there.until(lambda: len(there.audio) >= duration_ms * 8)
        return there

    async def said(self, *types: str, number: int = 0) -> Connection:
        """The server's connection, once it got messages of these types."""
        there = await self.server.connection(number)
        await there.until(lambda: all(t in there.types for t in types))
        return there


def change_sockets(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Have the adapters open their sockets with other options."""
    real = deepgram_common.SocketOptions
    monkeypatch.setattr(
        deepgram_common, "SocketOptions", lambda **options: real(**{**options, **changed})
    )
