"""The carrier's end of a media stream, by hand: every message is the test's own."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE_S = 10


def twilio_signature(auth_token: str, url: str, form: Mapping[str, str] | None = None) -> str:
    """``X-Twilio-Signature`` as Twilio makes it: the URL, then the form's sorted fields."""
    text = url + "".join(name + value for name, value in sorted((form or {}).items()))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), hashlib.sha1)).decode()


class Stream:
    """A WebSocket that speaks Twilio's dialect."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, message: Mapping[str, Any]) -> None:
        await self.socket.send_str(json.dumps(message))

    async def start(self, number: int = 0, **parameters: str) -> None:
        sid = f"MZ{number:032}"
        await self.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.say(
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": sid,
                "start": {
                    "accountSid": "AC0",
                    "streamSid": sid,
                    "callSid": f"CA{number:032}",
                    "tracks": ["inbound"],
                    "mediaFormat": {
                        "encoding": "audio/x-mulaw",
                        "sampleRate": 8000,
                        "channels": 1,
                    },
                    "customParameters": parameters,
                },
            }
        )

    async def media(self, payload: bytes = b"\xff" * 160) -> None:
        encoded = base64.b64encode(payload).decode()
        await self.say({"event": "media", "media": {"track": "inbound", "payload": encoded}})

    async def next(self) -> aiohttp.WSMessage:
        async with asyncio.timeout(PATIENCE_S):
            return await self.socket.receive()

    async def until_audio(self) -> None:
        """Wait until the server speaks."""
        while True:
            message = await self.next()
            assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
            if json.loads(message.data)["event"] == "media":
                return

    async def closed(self) -> int | None:
        """Wait until the server closes; its code."""
        while (await self.next()).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code


@asynccontextmanager
async def stream(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Stream]:
    """Connect. :raises aiohttp.WSServerHandshakeError: the upgrade was refused."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, headers=headers, max_msg_size=0) as socket,
    ):
        yield Stream(socket)


async def refused(url: str, headers: Mapping[str, str] | None = None) -> int:
    """The status with which an upgrade is refused; 101 if it is not."""
    try:
        async with stream(url, headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status
