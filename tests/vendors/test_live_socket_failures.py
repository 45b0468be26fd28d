"""What goes wrong with a vendor's socket, and what its owner is told."""

import asyncio
import socket as sockets

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.support.live_peer import Peer, connect, deaf_peer, listening
from tests.support.refusing import refusing_port
from tests.support.vendor_calls import Call
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.providers.errors import VendorError


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth_failed", False),
        (402, "quota_exceeded", False),
        (403, "auth_failed", False),
        (429, "rate_limited", True),
        (301, "bad_request", False),
        (503, "vendor_error", True),
    ],
)
async def test_a_refused_upgrade_is_named(status: int, code: str, retryable: bool) -> None:
    def refuse(_: ServerConnection, __: Request) -> Response:
        headers = Headers([("Location", "ws://127.0.0.1:1/"), ("Connection", "close")])
        return Response(status, "No", headers, b"the reason")

    async with listening(Peer(), process_request=refuse) as url, Call() as call:
        _, _, failures = connect(call, url)
        await failures.count(1)
        await call.settled()
    [error] = failures.events
    assert isinstance(error, VendorError)
    assert (error.vendor, error.code, error.retryable) == ("acme", code, retryable)
    assert "the reason" in error.detail


async def test_nobody_listens() -> None:
    with refusing_port() as port:
        async with Call() as call:
            _, _, failures = connect(call, f"ws://127.0.0.1:{port}/")
            await failures.count(1)
    assert [(e.code, e.retryable) for e in failures.events] == [("connect_failed", True)]


async def test_a_wrong_address_is_not_tried_again() -> None:
    async with Call() as call:
        _, _, failures = connect(call, "http://127.0.0.1/")
        await failures.count(1)
    assert [(e.code, e.retryable) for e in failures.events] == [("connect_failed", False)]


async def test_no_answer_to_the_upgrade() -> None:
    with sockets.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        async with Call() as call:
            url = f"ws://127.0.0.1:{deaf.getsockname()[1]}/"
            _, _, failures = connect(call, url, connect_timeout_ms=100)
            await failures.count(1)
    assert [(e.code, e.retryable) for e in failures.events] == [("connect_timeout", True)]


async def test_an_answer_that_is_not_http() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-what\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, Call() as call:
        _, _, failures = connect(call, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await failures.count(1)
    assert failures.events[0].code == "garbage"


@pytest.mark.parametrize(
    ("code", "retryable"), [(1000, True), (1011, True), (1012, True), (1008, False), (1009, False)]
)
async def test_the_peers_close_code_decides_about_a_retry(code: int, retryable: bool) -> None:
    async def hang_up(socket: ServerConnection) -> None:
        await socket.close(code, "NET-0001")

    async with listening(hang_up) as url, Call() as call:
        live, _, failures = connect(call, url)
        await failures.count(1)
        await call.settled()
        assert (live.close_code, live.close_reason) == (code, "NET-0001")
    [error] = failures.events
    assert (error.code, error.retryable) == ("disconnected", retryable)
    assert error.detail == f"{code} NET-0001"


async def test_a_broken_connection() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        _, _, failures = connect(call, url)
        (await peer.socket).transport.abort()
        await failures.count(1)
        await call.settled()
    [error] = failures.events
    assert (error.code, error.retryable) == ("disconnected", True)


async def test_an_oversized_message_is_garbage() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        _, messages, failures = connect(call, url, max_message_bytes=1000)
        await (await peer.socket).send(b"x" * 2000)
        await failures.count(1)
    assert messages.events == []
    assert [e.code for e in failures.events] == ["garbage"]


async def test_a_peer_that_never_reads_costs_bounded_memory_and_time() -> None:
    async with listening(deaf_peer) as url, Call() as call:
        live, _, failures = connect(call, url, max_audio_bytes=50_000, send_timeout_ms=300)
        waiting = 0
        async with asyncio.timeout(5):
            while not failures.events:
                live.send(b"\x00" * 50_000, droppable=True)
                waiting = max(waiting, live.waiting_audio_bytes)
                await asyncio.sleep(0.001)
        assert waiting <= 50_000
        await call.settled()
        assert live.waiting_audio_bytes == 0
    assert [(e.code, e.retryable) for e in failures.events] == [("stalled", True)]


async def test_control_that_piles_up_is_a_stall() -> None:
    with sockets.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        async with Call() as call:
            url = f"ws://127.0.0.1:{deaf.getsockname()[1]}/"
            live, _, failures = connect(call, url, max_control_bytes=100)
            for _ in range(30):
                live.send("0123456789")
            assert live.closed
            assert failures.events == [], "not within the owner's own call"
            await failures.count(1)
            assert [e.code for e in failures.events] == ["stalled"]
            await call.settled()


async def test_close_before_the_news_of_a_stall_keeps_it() -> None:
    async with listening(Peer()) as url, Call() as call:
        live, _, failures = connect(call, url, max_control_bytes=5)
        live.send("0123456789")
        live.close()
        await call.settled()
        assert failures.events == []


@pytest.mark.parametrize("host", ["a..b", "x" * 80])
async def test_a_name_that_no_host_has_fails_the_socket_and_not_the_call(host: str) -> None:
    async with Call() as call:
        _, _, failures = connect(call, f"ws://{host}/")
        await failures.count(1)
        await call.settled()
    assert [(e.code, e.retryable) for e in failures.events] == [("connect_failed", False)]


async def test_unanswered_pings_are_a_stall() -> None:
    async with listening(deaf_peer) as url, Call() as call:
        _, _, failures = connect(call, url, ping_interval_ms=50, ping_timeout_ms=50)
        await failures.count(1)
    assert [(e.code, e.retryable) for e in failures.events] == [("stalled", True)]


async def test_a_bug_in_a_callback_reaches_the_call() -> None:
    async def greet(socket: ServerConnection) -> None:
        await socket.send("hello")
        await socket.wait_closed()

    def broken(_: str | bytes) -> None:
        raise ZeroDivisionError

    async with listening(greet) as url:
        tasks: list[asyncio.Task[None]] = []
        LiveSocket(
            SocketOptions("acme", url),
            spawn=lambda work: tasks.append(asyncio.create_task(work)),
            on_message=broken,
            on_failed=lambda error: None,
        )
        with pytest.raises(BaseExceptionGroup) as raised:
            await asyncio.wait_for(tasks[0], 3)
        assert raised.group_contains(ZeroDivisionError)
