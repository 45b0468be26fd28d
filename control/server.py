"""The whole server as one thing that starts, serves and stops."""

import asyncio
import fcntl
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO
from uuid import UUID, uuid4

import asyncpg
import structlog
from aiohttp import web

from control.agent_maker import AgentMaker
from control.agent_pool import MOST_IDLE
from control.api import ENDPOINTS
from control.call_server import CallServer
from control.clock import MonotonicClock
from control.db import routing
from control.db.database import PLATFORM, Database
from control.db.migrate import migrate
from control.db.place import why_away
from control.db.tidying import tidy_always
from control.http.api_app import add_api
from control.http.api_server import close_plane, open_plane
from control.http.carrier_hooks import CarrierHooks, signing_keys
from control.http.errors import error_form
from control.http.http_port import HttpPort
from control.http.media_app import add_streams
from control.left_behind import end_left_behind
from control.plane import Plane
from control.portal import address_of
from control.settings import Settings
from control.sink import CallSink
from control.stale_tickets import withdraw_always
from voicecore.tools.http import HttpToolRunner

LOADING_TIMEOUT_S = 120.0
"""Agents that are not loaded by then are loaded by their first calls."""
CALLS_CONNECTIONS = 3
"""To the database, for what calls leave and for carriers' webhooks."""

log = structlog.get_logger("control.server")


class DatabaseAway(Exception):
    """The database does not answer, or refuses us."""


class DataDirTaken(Exception):
    """Another server has the data directory."""


class Server:
    """Made by ``open``; ``listen`` takes connections; ``stop`` lets live calls end."""

    def __init__(
        self,
        plane: Plane,
        calls: CallServer,
        sink: CallSink,
        maker: AgentMaker,
        app: web.Application,
    ) -> None:
        self.plane = plane
        self.calls = calls
        self.sink = sink
        self._maker = maker
        self._port = HttpPort(app)

    @classmethod
    async def open(cls, settings: Settings, data_dir: Path, stack: AsyncExitStack) -> "Server":
        """Start the database if it is ours, migrate it, and start every part; ``stack`` stops
        them.

        :raises DataDirTaken: another server has the data directory.
        :raises DatabaseAway: it cannot be used.
        :raises MigrationError: it cannot be brought up to date.
        :raises SecretKeysError: the file of keys cannot be used.
        :raises OSError: the data directory cannot be written."""
        stack.callback((await asyncio.to_thread(_lock, data_dir)).close)
        url = await database_url(settings, data_dir, stack)
        try:
            await migrate(url)
            plane = await open_plane(settings, url, data_dir)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            configured = bool(settings.database_url.get_secret_value())
            raise DatabaseAway(why_away(error, url, configured=configured)) from error
        stack.push_async_callback(close_plane, plane)
        # Calls have connections of their own, however busy the API is.
        calls_db = await Database.open(url, connections=CALLS_CONNECTIONS)
        stack.push_async_callback(calls_db.close)
        sink = CallSink(calls_db, data_dir / "spill")
        sink.start()
        stack.push_async_callback(sink.stop)
        http_tools = HttpToolRunner(secrets={}, allow_private=False)  # lent by each agent
        await http_tools.start()
        stack.push_async_callback(http_tools.stop)
        clock = MonotonicClock(asyncio.get_running_loop())
        server_id = await asyncio.to_thread(_server_id, data_dir)
        calls = CallServer(
            settings,
            clock,
            sink,
            http_tools,
            data_dir / "calls",
            server_id,
            signing_key=signing_keys(plane.vault),
        )
        calls.metrics.watch(sink)
        for work in (
            end_left_behind(calls_db, sink, data_dir / "calls", server_id, plane.now()),
            tidy_always(calls_db, plane.now),
            plane.vault.refresh_always(calls_db),
            withdraw_always(calls.tickets, calls_db),
        ):
            stack.push_async_callback(_cancelled, asyncio.create_task(work))
        plane.calls = calls
        plane.agents = maker = AgentMaker(settings, plane.vault, calls_db)
        app = web.Application(middlewares=[error_form])
        add_api(app, plane, ENDPOINTS)
        add_streams(app, calls.entrance)
        CarrierHooks(plane, calls, maker, calls_db).add_to(app)
        return cls(plane, calls, sink, maker, app)

    async def listen(self, host: str, port: int) -> int:
        """Take connections, load the agents that answer numbers, and then take calls; returns the
        port, which is a free one for 0.

        :raises OSError: the address cannot be listened on."""
        bound = await self._port.open(host, port)
        self.plane.address = address_of(host, bound)
        async with self.plane.db.transaction(PLATFORM) as db:
            rows = await routing.live(db, MOST_IDLE)
        for row in rows:
            self.calls.pool.warm(*self._maker.plan(row))
        if rows:
            log.info("loading agents", count=len(rows), port=bound)
        await self.calls.pool.warmed(LOADING_TIMEOUT_S)
        self.calls.start()
        return bound

    async def stop(self, drain_timeout_s: float) -> None:
        """Take no more calls, let the live ones end, and close every connection."""
        await self.calls.stop(drain_timeout_s)
        await self._port.close()


def _lock(data_dir: Path) -> TextIO:
    """Have the data directory for us alone until the file is closed or this process ends: what is
    on its way into the database, and which calls were left behind, is one server's to know.

    :raises DataDirTaken: another server has it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / "server.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(20).strip()
        file.close()
        whose = f" (process {holder})" if holder else ""
        raise DataDirTaken(f"{data_dir} is another server's{whose}") from None
    except OSError:
        file.close()
        raise
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _server_id(data_dir: Path) -> UUID:
    """Whose calls are found when this data directory is served again."""
    file = data_dir / "server.id"
    try:
        return UUID(file.read_text().strip())
    except (FileNotFoundError, ValueError):
        made = uuid4()
        file.write_text(f"{made}\n")
        return made


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def database_url(settings: Settings, data_dir: Path, stack: AsyncExitStack) -> str:
    """Of the database that is configured, or of our own, which ``stack`` stops.

    :raises DatabaseAway: ours does not start."""
    configured = settings.database_url.get_secret_value()
    if configured:
        return configured
    from control.db.embedded import EmbeddedPostgres

    try:
        server = await asyncio.to_thread(EmbeddedPostgres, data_dir / "postgres")
    except Exception as error:  # the wheel's own kinds of failure are many
        raise DatabaseAway(f"the embedded PostgreSQL does not start: {error}") from error
    stack.push_async_callback(asyncio.to_thread, server.stop)
    return server.url
