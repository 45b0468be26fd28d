"""A PostgreSQL of the test run's own: started once a process, with a fresh database per test."""

import asyncio
import atexit
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

import asyncpg

from control.db.embedded import EmbeddedPostgres
from control.db.migrate import migrate

_TEMPLATE = "migrated"
_numbers = itertools.count(1)


@lru_cache(1)
def postgres() -> EmbeddedPostgres:
    """The server, with a migrated database to copy."""
    directory = Path(tempfile.mkdtemp(prefix="voicecore-pg-"))
    server = EmbeddedPostgres(directory / "data")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)  # runs first
    return server


_migrated = False


async def _migrated_template() -> None:
    global _migrated
    if _migrated:
        return
    server = await asyncio.to_thread(postgres)
    await _run(f"CREATE DATABASE {_TEMPLATE}")
    await migrate(server.url_of(_TEMPLATE))
    _migrated = True


@asynccontextmanager
async def fresh_database() -> AsyncIterator[str]:
    """The URL of a migrated database that nobody else uses."""
    await _migrated_template()
    name = f"test_{next(_numbers)}"
    await _run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    try:
        yield postgres().url_of(name)
    finally:
        await _run(f"DROP DATABASE {name} WITH (FORCE)")


async def _run(statement: str) -> None:
    connection = await asyncpg.connect(postgres().url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
