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
        self, *, greeting_ms: int = 60, reply_ms: int = 100, goodbye_after: int | None = None
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
        conversation = _Conversation(self, socket)
        try:
            async for text in socket:
                message = json.loads(text)
                self.messages.append(message)
                await conversation.receive(message)
        except ConnectionClosed:
            self.broken_ends += 1


class _Conversation:
    def __init__(self, agent: PhoneAgent, socket: ServerConnection) -> None:
        self.agent = agent
        self.socket = socket
        self.address: dict[str, str] = {}
        self.loudness = Loudness(MULAW_8K, -45.0)
        self.loud = self.quiet = self.replies = 0
        self.playing = False

    async def receive(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "start":
                if "streamSid" in message:
                    self.address["streamSid"] = message["streamSid"]
                for extra in self.agent.extra:
                    await self.socket.send(extra)
                if self.agent.greeting_ms:
                    await self.speak(self.agent.greeting_ms, "greeting")
            case "mark":
                self.playing = False
                if self.replies == self.agent.goodbye_after:
                    await self.socket.close(4001, "goodbye")
            case "media":
                await self.hear(base64.b64decode(message["media"]["payload"]))

    async def hear(self, payload: bytes) -> None:
        if any(self.loudness.audible(payload)):
            self.loud, self.quiet = self.loud + 1, 0
            if self.playing and self.loud == 3:
                await self.send({"event": "clear"})
        elif self.loud:
            self.quiet += 1
        if self.loud >= 3 and self.quiet == QUIET_FRAMES:
            self.loud = self.quiet = 0
            self.replies += 1
            await self.speak(self.agent.reply_ms, f"reply-{self.replies}")

    async def speak(self, ms: int, mark: str) -> None:
        self.playing = True
        payload = base64.b64encode(mulaw_tone(ms)).decode()
        await self.send({"event": "media", "media": {"payload": payload}})
        await self.send({"event": "mark", "mark": {"name": mark}})

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps({**message, **self.address}))


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
