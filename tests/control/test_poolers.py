"""What stands between the server and PostgreSQL must not let callers see each other's rows."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from control.db.database import API_ROLE, Database, Unsafe, check_sessions
from tests.support.postgres import fresh_database, postgres

SSL_REQUEST = 80877103


class Pooler:
    """Hands everything on, but leaves out a startup parameter, as PgBouncer does those in its
    ``ignore_startup_parameters``."""

    def __init__(self, url: str, *, leaves_out: str) -> None:
        self._socket = str(next(Path(parse_qs(urlsplit(url).query)["host"][0]).glob(".s.PGSQL.*")))
        self._leaves_out = leaves_out

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            parameters = await self._startup(reader, writer)
            from_server, to_server = await asyncio.open_unix_connection(self._socket)
            body = struct.pack("!i", 196608) + parameters
            to_server.write(struct.pack("!i", len(body) + 4) + body)
            await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            (size,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(size - 4)
            if struct.unpack("!i", body[:4]) != (SSL_REQUEST,):
                break
            writer.write(b"N")
        words = body[4:].rstrip(b"\0").decode().split("\0")
        kept = [
            f"{name}\0{value}\0"
            for name, value in zip(words[::2], words[1::2], strict=True)
            if name != self._leaves_out
        ]
        return "".join(kept).encode() + b"\0"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()


@asynccontextmanager
async def pooled(url: str, *, leaves_out: str) -> AsyncIterator[str]:
    pooler = Pooler(url, leaves_out=leaves_out)
    server = await asyncio.start_server(pooler.client, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}"
    finally:
        server.close()


async def test_one_that_leaves_the_role_out_is_refused() -> None:
    async with fresh_database() as url, pooled(url, leaves_out="role") as between:
        with pytest.raises(Unsafe, match=API_ROLE):
            await Database.open(between, connections=2)


async def test_one_that_hands_everything_on_is_taken() -> None:
    async with fresh_database() as url, pooled(url, leaves_out="nothing") as between:
        database = await Database.open(between, connections=2)
        async with database.connection() as db:
            assert await db.fetchval("SELECT current_user") == API_ROLE
        await database.close()


async def test_one_that_mixes_sessions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients' statements reach one connection, as where transactions are pooled."""
    async with fresh_database() as url:
        one = await asyncpg.connect(url)
        with pytest.raises(Unsafe, match="pool sessions"):
            await check_sessions(one, one)
        other = await asyncpg.connect(url)
        await check_sessions(one, other)
        await other.close()
        await one.close()

        async def refused(*_: object) -> None:
            raise Unsafe("mixed")

        monkeypatch.setattr("control.db.database.check_sessions", refused)
        with pytest.raises(Unsafe):
            await Database.open(url, connections=2)


async def test_a_role_that_sees_everything_is_refused() -> None:
    async with fresh_database() as url:
        owner = await asyncpg.connect(postgres().url)
        await owner.execute(f"ALTER ROLE {API_ROLE} BYPASSRLS")
        try:
            with pytest.raises(Unsafe, match=API_ROLE):
                await Database.open(url, connections=2)
        finally:
            await owner.execute(f"ALTER ROLE {API_ROLE} NOBYPASSRLS")
            await owner.close()
