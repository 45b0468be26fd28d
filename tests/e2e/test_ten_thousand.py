"""Ten thousand connections that say nothing, beside a call that goes on."""

import asyncio
import resource
import socket
from pathlib import Path

import pytest

from control.http import http_port
from tests.control.test_newcomers import serving
from tests.support.listeners import listeners
from tests.support.media_client import stream
from tests.support.waiting import until

pytestmark = pytest.mark.e2e

CONNECTIONS = 10_000
WAVES = 4
"""On the media port each wave times out before the next: both ends' sockets are this process's."""


async def silent(port: int) -> socket.socket:
    peer = socket.socket()
    peer.setblocking(False)
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
    return peer


async def wave(port: int, count: int) -> list[socket.socket]:
    peers: list[socket.socket] = []
    while len(peers) < count:
        peers += await asyncio.gather(*(silent(port) for _ in range(100)))
    return peers


async def closed(peer: socket.socket) -> None:
    try:
        async with asyncio.timeout(30):
            assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
    except ConnectionError:
        pass  # reset: closed as well
    finally:
        peer.close()


@listeners
async def test_beside_a_call(
    tmp_path: Path, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Fewer only where the system allows no more open files (`ulimit -Hn`).
    count = min(CONNECTIONS, most - 3000 if listener == "http" else (most - 1000) // 2 * WAVES)
    assert count > 0, "needs some thousands of open files"
    monkeypatch.setattr("control.http.media_port.HANDSHAKE_TIMEOUT_S", 1.0)
    async with serving(tmp_path, listener) as (server, port):
        url = f"ws://127.0.0.1:{port}/media/twilio"
        async with stream(url) as neighbour:
            await neighbour.start(1)
            await neighbour.until_audio()
            if listener == "http":  # who is silent the longest makes room for the next
                peers = await wave(port, count)
                for peer in peers[: -http_port.MAX_NEWCOMERS]:
                    await closed(peer)
                for peer in peers[-http_port.MAX_NEWCOMERS :]:
                    peer.close()
            else:
                for _ in range(WAVES):
                    for peer in await wave(port, count // WAVES):
                        await closed(peer)
            assert not neighbour.socket.closed
            await neighbour.media()
            async with stream(url) as another:
                await another.start(2)
                await another.until_audio()
        await until(lambda: not len(server.media.calls))
