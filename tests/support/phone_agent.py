"""A tiny agent on a real socket, for the telephone to call: it greets, answers when the caller
falls silent, and stops when interrupted. Speaks Twilio's and Telnyx' dialects."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from media.audio.convert import convert_all
from media.audio.format import L16_8K, MULAW_8K
from media.phone.loudness import Loudness

QUIET_FRAMES = 10


def tone(ms: int, *, rate_hz: int = 8000, level: float = 8000.0) -> bytes:
    """A steady, audible sound: 16-bit samples."""
    time = np.arange(rate_hz * ms // 1000) / rate_hz
    return np.rint(level * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes()


def mulaw_tone(ms: int) -> bytes:
    return convert_all(tone(ms), L16_8K, MULAW_8K)


class PhoneAgent:
    """``goodbye_after`` replies it hangs up. ``messages`` is everything that came, decoded."""

    def __init__(
        self, *, greeting_ms: int = 200, reply_ms: int = 400, goodbye_after: int | None = None
    ) -> None:
        self.greeting_ms = greeting_ms
        self.reply_ms = reply_ms
        self.goodbye_after = goodbye_after
        self.messages: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.broken_ends = 0
        self.extra: list[str | bytes] = []

    def events(self, name: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == name]

    async def handle(self, socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        loudness = Loudness(MULAW_8K, -45.0)
        address: dict[str, str] = {}
        loud, quiet, replies, playing = 0, 0, 0, False

        async def speak(ms: int, mark: str) -> None:
            payload = base64.b64encode(mulaw_tone(ms)).decode()
            await socket.send(json.dumps({"event": "media", **address, "media": {"payload": payload}}))
            await socket.send(json.dumps({"event": "mark", **address, "mark": {"name": mark}}))

        try:
            async for text in socket:
                message = json.loads(text)
                self.messages.append(message)
                match message["event"]:
                    case "start":
                        if "streamSid" in message:
                            address["streamSid"] = message["streamSid"]
                        for extra in self.extra:
                            await socket.send(extra)
                        if self.greeting_ms:
                            playing = True
                            await speak(self.greeting_ms, "greeting")
                    case "mark":
                        playing = False
                        if replies == self.goodbye_after:
                            await socket.close()
                    case "media":
                        heard = loudness.audible(base64.b64decode(message["media"]["payload"]))
                        if any(heard):
                            loud, quiet = loud + 1, 0
                            if playing and loud == 3:
                                await socket.send(json.dumps({"event": "clear", **address}))
                        elif loud:
                            quiet += 1
                        if loud >= 3 and quiet == QUIET_FRAMES:
                            loud, quiet, playing = 0, 0, True
                            replies += 1
                            await speak(self.reply_ms, f"reply-{replies}")
        except ConnectionClosed:
            self.broken_ends += 1


@asynccontextmanager
async def listening(agent: PhoneAgent) -> AsyncIterator[str]:
    """The agent's URL, on loopback and a free port."""
    async with serve(agent.handle, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media"
        server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()
