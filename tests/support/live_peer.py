"""The other end of a ``LiveSocket``: small servers on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.vendor_calls import Call, Recorder
from voicecore.adapters.live_socket import LiveSocket, SocketOptions

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


async def deaf_peer(socket: ServerConnection) -> None:
    socket.transport.pause_reading()  # type: ignore[attr-defined]
    await socket.wait_closed()


class Armed:
    """What deadlines are armed, and how often each was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now: dict[str, int] = {}
        self.history: list[str] = []
        arm, disarm = LiveSocket.arm, LiveSocket.disarm

        def note_arm(socket: LiveSocket, code: str, after_ms: int, detail: str) -> None:
            self.now[code] = after_ms
            self.history.append(code)
            arm(socket, code, after_ms, detail)

        def note_disarm(socket: LiveSocket, code: str) -> None:
            self.now.pop(code, None)
            disarm(socket, code)

        monkeypatch.setattr(LiveSocket, "arm", note_arm)
        monkeypatch.setattr(LiveSocket, "disarm", note_disarm)
