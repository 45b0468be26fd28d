"""Hostile peers on both listeners: their socket is closed, and their neighbours never notice."""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import WSMsgType

from tests.support.answering import Server, answering
from tests.support.listeners import CAN_PICOWS, listeners
from tests.support.media_client import Stream, stream
from tests.support.waiting import until

FAST = {"vendor": "scripted", "settings": {"first_audio_ms": 0, "chunk_interval_ms": 0}}


@pytest.fixture(autouse=True)
def _no_long_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    if CAN_PICOWS:
        monkeypatch.setattr("control.http.media_port.CLOSE_TIMEOUT_S", 0.2)


class Scene:
    """A server with a neighbour's call on it, and a place for the culprit."""

    def __init__(self, server: Server, url: str, neighbour: Stream) -> None:
        self.server = server
        self.url = url
        self.neighbour = neighbour

    async def unharmed(self) -> None:
        """The neighbour's call lives, and another one is answered."""
        assert len(self.server.media.calls) == 1
        await self.neighbour.media()
        await self.neighbour.say({"event": "dtmf", "dtmf": {"digit": "#"}})
        assert not self.neighbour.socket.closed
        async with stream(self.url) as another:
            await another.start(9)
            await another.until_audio()


async def scene(
    tmp_path: Path, listener: str, play: Callable[[Scene], Awaitable[None]]
) -> list[Any]:
    """Play a scene; returns what was logged."""
    with structlog.testing.capture_logs() as logs:
        async with answering(tmp_path, tts=FAST) as server:
            port = server.port
            if listener == "media":
                port = await server.media.listen_for_media("127.0.0.1", 0)
            url = f"ws://127.0.0.1:{port}/media/twilio"
            async with stream(url) as neighbour:
                await neighbour.start(1)
                await neighbour.until_audio()
                here = Scene(server, url, neighbour)
                await play(here)
                await until(lambda: len(server.media.calls) <= 1)
                await here.unharmed()
    return logs


def codes(logs: list[Any]) -> list[str]:
    return [log["code"] for log in logs if log["event"] == "stream closed"]


MEDIA = '{"event":"media","media":{"track":"inbound","payload":"%s"}}'
BAD_TEXTS = {
    "no JSON": ("hello", "malformed_message"),
    "empty": ("", "malformed_message"),
    "no object": ("[1, 2, 3]", "malformed_message"),
    "no event": ('{"media": {}}', "malformed_message"),
    "no base64": (MEDIA % "?!", "malformed_payload"),
    "too deep": ("[" * 60_000, "malformed_message"),
    "a key that is none": ('{"event":"dtmf","dtmf":{"digit":"Z"}}', "malformed_message"),
}

# What is sent, and how it is called on the HTTP and on the media listener. picows closes a
# socket that breaks RFC 6455 without saying why.
NO_FRAMES = {
    "a reserved opcode": (
        b"\x83\x80\x00\x00\x00\x00",
        "malformed_frame",
        "closed_before_start",
    ),
    "a reserved bit": (b"\xc1\x80\x00\x00\x00\x00", "malformed_frame", "malformed_message"),
    "not masked": (b"\x81\x05hello", "malformed_message", "closed_before_start"),
    "nine exabytes": (
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
        "message_too_large",
        "closed_before_start",
    ),
    "the rest of nothing": (
        b"\x80\x80\x00\x00\x00\x00",
        "malformed_frame",
        "malformed_message",
    ),
    "a ping too long": (
        b"\x89\xfe\x01\x00\x00\x00\x00\x00" + b"x" * 256,
        "malformed_frame",
        "closed_before_start",
    ),
}


class TestTexts:
    @listeners
    @pytest.mark.parametrize("case", BAD_TEXTS)
    async def test_in_a_call(self, tmp_path: Path, listener: str, case: str) -> None:
        text, code = BAD_TEXTS[case]

        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                await culprit.start(2)
                await culprit.until_audio()
                await culprit.socket.send_str(text)
                assert await culprit.closed() == 1002

        assert codes(await scene(tmp_path, listener, play)) == [code]

    @listeners
    @pytest.mark.parametrize(
        ("messages", "code"),
        [
            ([MEDIA % "AAAA"], "audio_before_start"),
            (['{"event":"stop"}'], "stop_before_start"),
            (["hello"], "malformed_message"),
        ],
    )
    async def test_before_the_start(
        self, tmp_path: Path, listener: str, messages: list[str], code: str
    ) -> None:
        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                for text in messages:
                    await culprit.socket.send_str(text)
                assert await culprit.closed() == 1002

        assert codes(await scene(tmp_path, listener, play)) == [code]

    @listeners
    async def test_two_starts(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                await culprit.start(2)
                await culprit.start(3)
                assert await culprit.closed() == 1002

        assert codes(await scene(tmp_path, listener, play)) == ["duplicate_start"]


class TestFrames:
    @listeners
    async def test_a_megabyte(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                await culprit.start(2)
                await culprit.until_audio()
                await culprit.socket.send_str("x" * 1_000_000)
                assert await culprit.closed() in (1002, 1009)

        told = codes(await scene(tmp_path, listener, play))
        # picows closes the socket, and hands over what comes whole within a moment after that.
        assert told == ["message_too_large"] or (listener == "media" and told == [])

    @listeners
    async def test_a_frame_that_announces_more_than_anybody_sends(
        self, tmp_path: Path, listener: str
    ) -> None:
        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            raw.upgrade()
            raw.socket.sendall(b"\x81\xff" + (200_000_000).to_bytes(8, "big") + bytes(4))

            def flood() -> None:
                with pytest.raises(OSError):
                    raw.socket.sendall(bytes(50_000_000))

            await asyncio.to_thread(flood)
            raw.socket.close()

        assert len(codes(await scene(tmp_path, listener, play))) == 1

    @listeners
    async def test_a_megabyte_in_fragments(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            raw.upgrade()
            raw.frame(b"x" * 8000, opcode=1, fin=False)
            for _ in range(120):
                try:
                    raw.frame(b"x" * 8000, opcode=0, fin=False)
                except OSError:
                    break
            await raw.until_closed()

        assert codes(await scene(tmp_path, listener, play)) == ["message_too_large"]

    @listeners
    async def test_a_binary_frame(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                await culprit.start(2)
                await culprit.socket.send_bytes(b"\x00\x01\x02")
                assert await culprit.closed() == 1002

        assert codes(await scene(tmp_path, listener, play)) == ["malformed_message"]

    @listeners
    async def test_text_that_is_no_utf8(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            async with stream(here.url) as culprit:
                await culprit.start(2)
                await culprit.socket._writer.send_frame(b"\xff\xfe{}", WSMsgType.TEXT)
                assert await culprit.closed() in (1002, 1007)

        assert len(codes(await scene(tmp_path, listener, play))) == 1

    @listeners
    async def test_a_message_in_two_fragments_is_one(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            raw.upgrade()
            text = b'{"event":"connected","protocol":"Call","version":"1.0.0"}'
            raw.frame(text[:20], opcode=1, fin=False)
            raw.frame(text[20:], opcode=0, fin=True)
            await raw.until_read()
            assert here.server.media.entrance.waiting == 1
            raw.socket.close()
            await until(lambda: here.server.media.entrance.waiting == 0)

        assert codes(await scene(tmp_path, listener, play)) == ["closed_before_start"]

    @listeners
    @pytest.mark.parametrize("case", NO_FRAMES)
    async def test_frames_that_are_none(self, tmp_path: Path, listener: str, case: str) -> None:
        junk, *expected = NO_FRAMES[case]

        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            raw.upgrade()
            raw.socket.sendall(junk)
            raw.frame(b"hello", opcode=1)
            await raw.until_closed()
            await until(lambda: here.server.media.entrance.waiting == 0)

        logs = await scene(tmp_path, listener, play)
        assert codes(logs) == [expected[0 if listener == "http" else 1]]

    @listeners
    async def test_a_peer_that_vanishes_without_a_word(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            raw.upgrade()
            await until(lambda: here.server.media.entrance.waiting == 1)
            linger = struct.pack("ii", 1, 0)
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raw.socket.close()
            await until(lambda: here.server.media.entrance.waiting == 0)

        assert codes(await scene(tmp_path, listener, play)) == ["closed_before_start"]


class TestHttp:
    @listeners
    @pytest.mark.parametrize(
        "request_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /media/twilio HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
            b"A" * 100_000,
        ],
    )
    async def test_what_is_no_http(self, tmp_path: Path, listener: str, request_: bytes) -> None:
        async def play(here: Scene) -> None:
            raw = Raw(here.url)
            with suppress(ConnectionError):  # what was not read resets the connection
                raw.socket.sendall(request_ + b"\r\n\r\n")
            answer = await raw.until_closed()
            assert not answer or re.match(rb"HTTP/1\.[01] 4\d\d ", answer)

        await scene(tmp_path, listener, play)

    @listeners
    async def test_a_path_that_leads_nowhere(self, tmp_path: Path, listener: str) -> None:
        async def play(here: Scene) -> None:
            for path in ("/media/nobody", "/", "/media/twiliox", "/media/%00"):
                base = here.url.removesuffix("/media/twilio")
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    async with stream(base + path):
                        pass
                assert caught.value.status == 404

        await scene(tmp_path, listener, play)


class Raw:
    """A TCP connection, for what a WebSocket client would not send."""

    def __init__(self, url: str) -> None:
        port = int(url.split(":")[2].split("/")[0])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def upgrade(self) -> None:
        self.socket.sendall(
            b"GET /media/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def frame(self, payload: bytes, *, opcode: int, fin: bool = True) -> None:
        """A frame masked with zeros."""
        size = len(payload)
        head = bytes((opcode | 0x80 * fin,))
        if size < 126:
            head += bytes((0x80 | size,))
        else:
            head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
        self.socket.sendall(head + bytes(4) + payload)

    async def until_read(self) -> None:
        """The server answers a ping when it has taken what was sent before.

        :raises AssertionError: it closes instead."""
        self.frame(b"so far?", opcode=9)

        def read() -> None:
            received = b""
            while b"so far?" not in received:
                chunk = self.socket.recv(65_536)
                assert chunk, received
                received += chunk

        await asyncio.to_thread(read)

    async def until_closed(self) -> bytes:
        """The server closes within the socket's patience; what it sent before.

        :raises TimeoutError: it does not."""

        def read() -> bytes:
            received = bytearray()
            try:
                while chunk := self.socket.recv(65_536):
                    received += chunk
            except ConnectionError:
                pass
            finally:
                self.socket.close()
            return bytes(received)

        return await asyncio.to_thread(read)
