"""The driver of vendors' sockets, against small servers on loopback."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.vendor_calls import Call, Recorder
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.providers.errors import VendorError

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, **options: object) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, close_timeout=0.5, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


class Peer:
    """A server's side: what came in, and what to do about it."""

    def __init__(self) -> None:
        self.got = Recorder()
        self.closed: asyncio.Future[tuple[int | None, str | None]] = asyncio.Future()
        self.socket: asyncio.Future[ServerConnection] = asyncio.Future()

    async def __call__(self, socket: ServerConnection) -> None:
        self.socket.set_result(socket)
        try:
            async for message in socket:
                self.got(message)
        except ConnectionClosed:
            pass
        finally:
            self.closed.set_result((socket.close_code, socket.close_reason))


def connect(call: Call, url: str, **more: object) -> tuple[LiveSocket, Recorder, Recorder]:
    messages, failures = Recorder(), Recorder()
    callbacks = {
        name: more.pop(name) for name in ("keepalive", "on_open", "on_dropped") if name in more
    }
    options = SocketOptions(vendor="acme", url=url, **more)  # type: ignore[arg-type]
    live = LiveSocket(
        options,
        spawn=call.spawn,
        on_message=messages,
        on_failed=failures,
        **callbacks,  # type: ignore[arg-type]
    )
    return live, messages, failures


async def test_what_is_sent_before_the_connection_arrives_in_order() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, messages, failures = connect(call, url, headers={"X-Key": "secret"})
        live.send("hello")
        live.send(b"\x01\x02", droppable=True)
        live.send("bye")
        await peer.got.count(3)
        assert peer.got.events == ["hello", b"\x01\x02", "bye"]
        server_side = await peer.socket
        assert server_side.request is not None
        assert server_side.request.headers["X-Key"] == "secret"
        assert "Sec-WebSocket-Extensions" not in server_side.request.headers
        await server_side.send("text")
        await server_side.send(b"\x03")
        await messages.count(2)
        assert messages.events == ["text", b"\x03"]
        assert failures.events == []
        assert live.sent_audio_bytes == 2


async def test_a_key_is_not_in_the_options_text() -> None:
    assert "secret" not in repr(SocketOptions("acme", "ws://x", {"Authorization": "secret"}))


async def test_close_says_the_last_word_and_ends_the_task() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, messages, failures = connect(call, url)
        live.send("one")
        await peer.got.count(1)
        live.close("last")
        live.close("never")
        live.send("never")
        await call.settled()
        assert peer.got.events == ["one", "last"]
        assert await peer.closed == (1000, "")
        assert live.closed
        assert not live.connected
        assert messages.events == failures.events == []


async def test_nothing_arrives_after_close() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, messages, failures = connect(call, url)
        server_side = await peer.socket
        live.close()
        for number in range(20):
            await server_side.send(str(number))
        await server_side.close(1011, "boom")
        await call.settled()
        assert messages.events == failures.events == []


async def test_close_within_a_callback_silences_the_rest() -> None:
    async def burst(socket: ServerConnection) -> None:
        for number in range(5):
            await socket.send(str(number))
        await socket.wait_closed()

    async with listening(burst) as url, Call() as call:
        got: list[str | bytes] = []

        def first_only(message: str | bytes) -> None:
            got.append(message)
            live.close()

        live = LiveSocket(
            SocketOptions("acme", url),
            spawn=call.spawn,
            on_message=first_only,
            on_failed=lambda error: got.append(str(error)),
        )
        await asyncio.sleep(0)
        await call.settled()
        assert got == ["0"]


async def test_close_while_connecting_ends_at_once() -> None:
    with sockets.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"ws://127.0.0.1:{deaf.getsockname()[1]}/"
        async with Call() as call:
            live, _, failures = connect(call, url, connect_timeout_ms=60_000)
            await asyncio.sleep(0)
            live.close("final")
            await call.settled(1.0)
            assert failures.events == []


async def test_the_calls_end_is_the_sockets_end() -> None:
    peer = Peer()
    async with listening(peer) as url:
        async with Call() as call:
            live, _, failures = connect(call, url)
            await peer.socket
        await asyncio.wait_for(peer.closed, 2)
        assert live.closed
        assert failures.events == []


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
    with sockets.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
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


async def test_the_oldest_audio_goes_and_control_stays() -> None:
    peer = Peer()
    dropped: list[int] = []
    async with listening(peer) as url, Call() as call:
        live, _, _ = connect(call, url, max_audio_bytes=10, on_dropped=dropped.append)
        live.send("first")
        for number in range(6):
            live.send(bytes([number]) * 4, droppable=True)
            assert live.waiting_audio_bytes <= 10
        live.send("second")
        await peer.got.count(4)
        assert peer.got.events == ["first", b"\x04" * 4, b"\x05" * 4, "second"]
        assert dropped == [4] * 4


async def deaf_peer(socket: ServerConnection) -> None:
    socket.transport.pause_reading()  # type: ignore[attr-defined]
    await socket.wait_closed()


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
            assert [e.code for e in failures.events] == ["stalled"]
            await asyncio.sleep(0)
            await call.settled()


async def test_unanswered_pings_are_a_stall() -> None:
    async with listening(deaf_peer) as url, Call() as call:
        _, _, failures = connect(call, url, ping_interval_ms=50, ping_timeout_ms=50)
        await failures.count(1)
    assert [(e.code, e.retryable) for e in failures.events] == [("stalled", True)]


async def test_keepalive_only_when_idle() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, _, failures = connect(call, url, keepalive=lambda: "alive", keepalive_idle_ms=60)
        await peer.got.until(lambda: peer.got.events.count("alive") >= 3)
        live.close()
        await call.settled()
        assert failures.events == []

    busy = Peer()
    async with listening(busy) as url, Call() as call:
        live, _, _ = connect(call, url, keepalive=lambda: "alive", keepalive_idle_ms=400)
        for _ in range(10):
            live.send(b"\x00", droppable=True)
            await asyncio.sleep(0.01)
        await busy.got.count(10)
        assert "alive" not in busy.got.events


async def test_a_watchdog_fails_once_unless_disarmed_or_armed_again() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, _, failures = connect(call, url)
        live.arm("first_output_timeout", 20, "never heard from")
        live.disarm("first_output_timeout")
        live.arm("stalled", 60_000, "long")
        live.arm("stalled", 20, "short")
        await failures.count(1)
        await call.settled()
        live.arm("stalled", 0, "dead already")
        await asyncio.sleep(0.05)
    assert [(e.code, e.detail, e.retryable) for e in failures.events] == [
        ("stalled", "short", True)
    ]


async def test_arming_again_moves_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    async with listening(Peer()) as url, Call() as call:
        live, _, failures = connect(call, url)
        start = loop.time()
        live.arm("stalled", 30, "first")
        live.arm("stalled", 150, "second")
        await failures.count(1)
        assert loop.time() - start >= 0.145
        assert failures.events[0].detail == "second"


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
