"""Connections that make no request are closed in time, and no others are.

Time is short here, and what must not be cut is compared with a silent connection that came
later and was closed: no test waits for a time to pass.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientError, web

from control.http.http_port import HttpPort
from control.http.newcomers import HEAD_LIMIT_BYTES
from tests.support.answering import Server, answering
from tests.support.listeners import CAN_PICOWS, listeners
from tests.support.media_client import Stream, stream
from tests.support.waiting import until

PATIENCE_S = 10
FAST = {"vendor": "scripted", "settings": {"first_audio_ms": 0, "chunk_interval_ms": 0}}
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.http.http_port.HEAD_TIMEOUT_S", 0.1)
    if CAN_PICOWS:
        monkeypatch.setattr("control.http.media_port.HANDSHAKE_TIMEOUT_S", 0.1)


class Peer:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def until_closed(self) -> bytes:
        """What the server sent until it closed."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""

    async def response(self) -> tuple[bytes, bytes]:
        """The status line and the body of one response."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            (length,) = [
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ]
            return head.partition(b"\r\n")[0], await self.reader.readexactly(length)

    async def dribble(self, text: bytes) -> bool:
        """Send byte by byte until the server closes; False if it never does."""
        async with asyncio.timeout(PATIENCE_S):
            closed = asyncio.ensure_future(self.reader.read())
            for byte in text:
                with suppress(ConnectionError):
                    self.writer.write(bytes((byte,)))
                    await self.writer.drain()
                done, _ = await asyncio.wait([closed], timeout=0.005)
                if done:
                    return True
        return False


@asynccontextmanager
async def peer(port: int, first: bytes = b"") -> AsyncIterator[Peer]:
    """What it says ``first`` is there before the server takes the connection, and so before any
    deadline, however slow the machine is."""
    connected = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connected.sendall(first)
    connected.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def let_in(stack: AsyncExitStack, url: str) -> Stream:
    """Come again where the machine was too slow for the short time that an upgrade has."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(ClientError):
                return await stack.enter_async_context(stream(url))


async def deadline_passed(port: int) -> None:
    """Whoever was silent when this was called has been closed."""
    async with peer(port) as silent:
        assert await silent.until_closed() == b""


@asynccontextmanager
async def serving(tmp_path: Path, listener: str) -> AsyncIterator[tuple[Server, int]]:
    """A server, and the listener's port."""
    async with answering(tmp_path, tts=FAST) as server:
        port = server.port
        if listener == "media":
            port = await server.media.listen_for_media("127.0.0.1", 0)
        yield server, port


@asynccontextmanager
async def http_port(app: web.Application) -> AsyncIterator[tuple[HttpPort, int]]:
    opened = HttpPort(app)
    port = await opened.open("127.0.0.1", 0)
    try:
        yield opened, port
    finally:
        await opened.close()


def app_of(handler: object) -> web.Application:
    app = web.Application()
    app.router.add_get("/healthz", handler)  # type: ignore[arg-type]
    return app


async def hello(_: web.Request) -> web.Response:
    return web.Response(body=b"hello")


@pytest.mark.usefixtures("_short")
class TestTooLate:
    @listeners
    async def test_nothing_at_all(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (_, port), peer(port) as silent:
            assert await silent.until_closed() == b""

    @listeners
    @pytest.mark.parametrize(
        "part", [b"G", b"GET / HT", HEALTHZ[:-4], HEALTHZ[:-1], b"\r\n", b"\r\nGET /"]
    )
    async def test_half_a_head(self, tmp_path: Path, listener: str, part: bytes) -> None:
        async with serving(tmp_path, listener) as (_, port), peer(port, part) as slow:
            answer = await slow.until_closed()
            if listener == "http" and part.strip():
                assert answer.startswith(b"HTTP/1.1 408 ")
                body = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert body["error"]["code"] == "REQUEST_TIMEOUT"

    @listeners
    async def test_byte_by_byte(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (_, port), peer(port) as slow:
            assert await slow.dribble(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1500)

    async def test_the_next_head_byte_by_byte(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The keep-alive timeout, which is aiohttp's, counts for the whole head as well."""
        monkeypatch.setattr("control.http.http_port.KEEPALIVE_S", 0.1)
        async with http_port(app_of(hello)) as (_, port), peer(port, HEALTHZ) as slow:
            assert (await slow.response())[1] == b"hello"
            assert await slow.dribble(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1500)


@pytest.mark.usefixtures("_short")
class TestNotCut:
    async def test_a_connection_between_requests(self) -> None:
        async with http_port(app_of(hello)) as (_, port), peer(port, HEALTHZ) as kept:
            assert await kept.response() == (b"HTTP/1.1 200 OK", b"hello")
            for _ in range(2):
                await deadline_passed(port)
                kept.writer.write(HEALTHZ)
                assert await kept.response() == (b"HTTP/1.1 200 OK", b"hello")

    async def test_a_request_that_takes_long(self) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def slow(_: web.Request) -> web.Response:
            asked.set()
            await answer.wait()
            return web.Response(body=b"at last")

        async with http_port(app_of(slow)) as (_, port), peer(port, HEALTHZ) as patient:
            await asked.wait()
            await deadline_passed(port)
            answer.set()
            assert (await patient.response())[1] == b"at last"

    @listeners
    async def test_a_websocket(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (_, port), AsyncExitStack() as stack:
            call = await let_in(stack, f"ws://127.0.0.1:{port}/media/twilio")
            await deadline_passed(port)
            await call.start()
            await call.until_audio()

    async def test_those_that_go_by_themselves_leave_nothing(self) -> None:
        async with http_port(app_of(hello)) as (opened, port):
            async with peer(port):
                await until(lambda: opened.newcomers == 1)
            await until(lambda: opened.newcomers == 0)


class TestHandedOver:
    """What aiohttp's protocol gets is what was sent."""

    @pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
    async def test_a_request_in_pieces(self, step: int) -> None:
        async def echo(request: web.Request) -> web.Response:
            return web.Response(body=await request.read())

        app = web.Application()
        app.router.add_post("/", echo)
        request = b"\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\r\n\r\nab"
        async with http_port(app) as (opened, port), peer(port) as client:
            for start in range(0, len(request), step):
                client.writer.write(request[start : start + step])
                await client.writer.drain()
                await asyncio.sleep(0)
            assert await client.response() == (b"HTTP/1.1 200 OK", b"\r\n\r\nab")
            assert opened.newcomers == 0

    async def test_two_requests_at_once(self) -> None:
        async with http_port(app_of(hello)) as (_, port), peer(port) as client:
            client.writer.write(HEALTHZ * 2)
            assert (await client.response())[1] == b"hello"
            assert (await client.response())[1] == b"hello"

    @pytest.mark.parametrize(
        ("request_", "status", "code"),
        [
            (b"GET / HTTP/9.9\r\n\r\n", 400, "BAD_REQUEST"),
            (b"GET /\x00 HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),
            (b"\x16\x03\x01", 400, "BAD_REQUEST"),
            (b"get", 400, "BAD_REQUEST"),
            (b"A" * HEAD_LIMIT_BYTES + b"A", 431, "HEAD_TOO_LARGE"),
        ],
    )
    async def test_what_is_no_request(
        self, caplog: pytest.LogCaptureFixture, request_: bytes, status: int, code: str
    ) -> None:
        async with http_port(app_of(hello)) as (opened, port), peer(port) as client:
            client.writer.write(request_)
            line, body = await client.response()
            assert line.split()[1] == str(status).encode()
            assert json.loads(body)["error"]["code"] == code
            assert await client.until_closed() == b""
            assert opened.newcomers == 0
        assert not caplog.records, "a peer's nonsense is no trouble of ours"


class TestCrowds:
    async def test_the_first_of_too_many_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("control.http.http_port.MAX_NEWCOMERS", 2)
        dropped: list[str] = []
        opened = HttpPort(app_of(hello), on_dropped=dropped.append)
        port = await opened.open("127.0.0.1", 0)
        async with peer(port) as first, peer(port) as second:
            await until(lambda: opened.newcomers == 2)
            async with peer(port) as third:
                assert await first.until_closed() == b""
                assert (opened.newcomers, dropped) == (2, ["too_many_waiting"])
                for other in (second, third):
                    other.writer.write(HEALTHZ)
                    assert (await other.response())[1] == b"hello"
        await opened.close()

    async def test_those_who_wait_are_closed_with_the_port(self) -> None:
        opened = HttpPort(app_of(hello))
        port = await opened.open("127.0.0.1", 0)
        async with peer(port) as silent:
            await until(lambda: opened.newcomers == 1)
            await opened.close()
            assert await silent.until_closed() == b""
            assert opened.newcomers == 0

    @listeners
    async def test_hundreds_beside_a_call(
        self, tmp_path: Path, listener: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("control.http.http_port.MAX_NEWCOMERS", 50)
        if listener == "media":
            monkeypatch.setattr("control.http.media_port.HANDSHAKE_TIMEOUT_S", 1.0)
        async with serving(tmp_path, listener) as (server, port):
            url = f"ws://127.0.0.1:{port}/media/twilio"
            async with stream(url) as neighbour:
                await neighbour.start(1)
                await neighbour.until_audio()
                peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
                async with stream(url) as another:
                    await another.start(2)
                    await another.until_audio()
                shed = peers[:200] if listener == "http" else peers
                for reader, writer in shed:
                    assert await Peer(reader, writer).until_closed() == b""
                assert not neighbour.socket.closed
                await neighbour.media()
                for _, writer in peers:
                    writer.close()
            await until(lambda: not len(server.media.calls))
