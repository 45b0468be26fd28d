"""The driver of vendors' sockets, against small servers on loopback."""

import asyncio
import socket as sockets

from websockets.asyncio.server import ServerConnection

from tests.support.live_peer import Peer, connect, listening
from tests.support.vendor_calls import Call, timers_run
from voicecore.adapters.live_socket import LiveSocket, SocketOptions


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
        live, messages, failures = connect(call, url, close_timeout_ms=60_000)
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


async def test_keepalive_only_when_idle() -> None:
    peer = Peer()
    async with listening(peer) as url, Call() as call:
        live, _, failures = connect(call, url, keepalive=lambda: "alive", keepalive_idle_ms=60)
        await peer.got.until(lambda: peer.got.events.count("alive") >= 3)
        live.close()
        await call.settled()
        assert failures.events == []

    busy = Peer()
    now = asyncio.get_running_loop().time
    sent: list[float] = []
    idle: list[float] = []

    def alive() -> str:
        # What still waits to be written was not sent yet, so it puts nothing off.
        idle.append(now() - sent[live.sent_audio_bytes - 1])
        return "alive"

    async with listening(busy) as url, Call() as call:
        live, _, _ = connect(call, url, keepalive=alive, keepalive_idle_ms=60)
        for number in range(5):
            sent.append(now())
            live.send(b"\x00", droppable=True)
            await busy.got.until(lambda number=number: busy.got.events.count(b"\x00") > number)
            await timers_run(40)
        await busy.got.until(lambda: "alive" in busy.got.events)
        assert idle[0] >= 0.059, "never sooner after what was sent"


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
        await timers_run(0)
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
