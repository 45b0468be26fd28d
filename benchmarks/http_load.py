"""Requests over keep-alive connections: as many as the server answers, or so many a second."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

import msgspec

ANSWER_TIMEOUT_S = 10.0


class Load(msgspec.Struct):
    """What came of it. Latencies of a paced load count from when the request was due."""

    seconds: float
    latencies_ms: list[float]
    failed: int

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds


class _Connection:
    """One, that asks one thing after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> bool:
        """Whether the answer was a good one."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return head.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        self._writer.close()


def request(path: str, token: str) -> bytes:
    """A GET, as bytes."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    return head.encode()


Client = Callable[[_Connection, int, Load], Coroutine[None, None, None]]


async def as_fast_as_possible(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float
) -> Load:
    """Each connection asks again as soon as it is answered."""
    until_s = time.perf_counter() + seconds

    async def client(connection: _Connection, place: int, load: Load) -> None:
        turn = place
        while (began_s := time.perf_counter()) < until_s:
            await _count(connection, requests[turn % len(requests)], began_s, load)
            turn += connections

    return await _run(port, connections, client)


async def paced(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float, per_s: float
) -> Load:
    """So many a second, whether the server keeps up or not."""
    began_s = time.perf_counter()
    every_s = connections / per_s

    async def client(connection: _Connection, place: int, load: Load) -> None:
        due_s, turn = began_s + every_s * place / connections, place
        while due_s < began_s + seconds:
            await asyncio.sleep(max(due_s - time.perf_counter(), 0))
            await _count(connection, requests[turn % len(requests)], due_s, load)
            due_s, turn = due_s + every_s, turn + connections

    return await _run(port, connections, client)


async def _count(connection: _Connection, asked: bytes, since_s: float, load: Load) -> None:
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        good = await connection.ask(asked)
    if good:
        load.latencies_ms.append((time.perf_counter() - since_s) * 1000)
    else:
        load.failed += 1


async def _run(port: int, connections: int, client: Client) -> Load:
    opened = [
        _Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(connections)
    ]
    load = Load(0.0, [], 0)
    began_s = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for place, connection in enumerate(opened):
                group.create_task(client(connection, place, load))
    finally:
        for connection in opened:
            connection.close()
    load.seconds = time.perf_counter() - began_s
    return load
