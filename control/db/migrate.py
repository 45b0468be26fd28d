"""Migrations: numbered files of plain SQL, in two halves.

``0007_name.sql`` only adds, so that the processes of the version before go on working: it is
applied before the new version starts. ``0007_name.after.sql``, where there is one, takes away what
only the old version used: ``voicecore migrate --finish`` applies it once no old process is left.

Who serves meanwhile is not held up: whoever wants a table that a migration waits for waits behind
it, so it waits only briefly, and tries again later.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import structlog

from control.db.database import API_ROLE, CONNECT_TIMEOUT_S, Connection
from control.db.migration_files import DIRECTORY, Migration, migrations
from control.db.migration_files import MigrationError as MigrationError

LOCK = 0x766F_6963  # "voic": of all processes that share a database, one migrates

LOCK_TIMEOUT_MS = 3000
"""So long a statement waits for a table, and whoever else wants it behind it: less than a request
waits for a connection."""
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between two attempts, in which those get in who waited."""
TURN_TIMEOUT_S = 300.0
"""So long another process may migrate."""
LOOK_EVERY_S = 0.5

_MAKE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_MAKE_ROLE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{API_ROLE}') THEN
        CREATE ROLE {API_ROLE} NOLOGIN;
    END IF;
    BEGIN
        GRANT {API_ROLE} TO CURRENT_USER;
    EXCEPTION WHEN insufficient_privilege THEN  -- somebody else made the role, and granted it
        IF NOT pg_has_role(CURRENT_USER, '{API_ROLE}', 'MEMBER') THEN RAISE; END IF;
    END;
END $$;
GRANT USAGE ON SCHEMA public TO {API_ROLE};
"""
ROLE_ATTEMPTS = 5
"""The role is the whole server's: who migrates another of its databases may be making it now."""
_SESSIONS = """
SELECT pid, application_name, host(client_addr) AS client, state,
       date_trunc('second', clock_timestamp() - xact_start) AS since
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND """
_HOLDERS = f"{_SESSIONS} pid = ANY (pg_blocking_pids($1))"
_MIGRATING = f"""{_SESSIONS} pid IN (
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid::bigint = $1)"""
_OLDER = f"""{_SESSIONS} application_name ~ '^voicecore(/[0-9]+)?$'
AND coalesce(substring(application_name FROM '/([0-9]+)$')::integer, 0) < $1 ORDER BY pid"""
_APPLIED = "SELECT name FROM schema_migrations"
_APPLY = "INSERT INTO schema_migrations (name) VALUES ($1)"

log = structlog.get_logger("control.migrate")


async def migrate(
    url: str, *, finish: bool = False, force: bool = False, directory: Path = DIRECTORY
) -> list[str]:
    """Apply what is missing; returns the names of what was applied. Processes that do so at the
    same time take turns.

    :param finish: also apply the second halves.
    :param force: apply them although processes are connected that may need what they take away.
    :raises MigrationError: one failed, tables were in use all the time, or such processes are
        connected.
    :raises OSError: nobody answers there."""
    wanted = [one for one in migrations(directory) if finish or not one.finishes]
    connection = await _connect(url)
    try:
        await _take_turn(connection)
        await connection.execute(_MAKE_TABLE)
        await _make_role(connection)
        applied = {row["name"] for row in await connection.fetch(_APPLIED)}
        missing = [one for one in wanted if one.name not in applied]
        if not force:
            await _check_none_is_older(connection, missing)
        if missing:
            await _apply_all(url, connection, missing)
        return [migration.name for migration in missing]
    finally:
        await connection.close()


async def missing(url: str, directory: Path = DIRECTORY) -> list[str]:
    """The first halves that are not applied."""
    connection = await _connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            applied = set()
        else:
            applied = {row["name"] for row in await connection.fetch(_APPLIED)}
        found = migrations(directory)
        return [one.name for one in found if not one.finishes and one.name not in applied]
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    settings = {"application_name": "voicecore migrate"}
    return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=settings)


async def _take_turn(connection: Connection) -> None:
    """:raises MigrationError: another process does not end."""
    clock = asyncio.get_running_loop().time
    began_s, is_told = clock(), False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        others = await _sessions(connection, _MIGRATING, LOCK)
        if clock() - began_s > TURN_TIMEOUT_S:
            raise MigrationError(
                f"another process has been migrating for {TURN_TIMEOUT_S:.0f} s: {others}; wait "
                "for it, or end it with SELECT pg_terminate_backend(pid), and try again"
            )
        if not is_told:
            log.warning("another process migrates", code="migration_waits_for_turn", by=others)
            is_told = True
        await asyncio.sleep(LOOK_EVERY_S)


async def _check_none_is_older(connection: Connection, wanted: Sequence[Migration]) -> None:
    """:raises MigrationError: a process is connected that may use what would be taken away."""
    newest = max((one.number for one in wanted if one.finishes), default=0)
    older = await _sessions(connection, _OLDER, newest)
    if older:
        raise MigrationError(
            f"processes of an earlier version than migration {newest:04} are connected, and may "
            f"need what would be taken away: {older}; stop them first, or give --force"
        )


async def _sessions(connection: Connection, statement: str, value: int) -> str:
    """Those that it finds, in words; empty if there are none."""
    return ", ".join(
        f"pid {row['pid']} ({row['application_name'] or 'no application_name'}, "
        f"{row['client'] or 'local'}, {row['state']}"
        + (")" if row["since"] is None else f" for {row['since']})")
        for row in await connection.fetch(statement, value)
    )


async def _make_role(connection: Connection) -> None:
    """:raises MigrationError: the user may not."""
    for attempt in range(1, ROLE_ATTEMPTS + 1):
        try:
            await connection.execute(_MAKE_ROLE)
        except (asyncpg.UniqueViolationError, asyncpg.InternalServerError) as error:
            if attempt == ROLE_ATTEMPTS:
                raise MigrationError(f"the role {API_ROLE} cannot be made: {error}") from error
            await asyncio.sleep(0.1 * attempt)
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationError(
                f"{error}: the user needs CREATEROLE, or have an administrator run "
                f"CREATE ROLE {API_ROLE} NOLOGIN; GRANT {API_ROLE} TO this user"
            ) from error
        else:
            return


async def _apply_all(url: str, connection: Connection, missing: Sequence[Migration]) -> None:
    """With another connection, which sees what the first one waits for."""
    watcher = await _connect(url)
    try:
        for migration in missing:
            await _apply(connection, watcher, migration)
    finally:
        await watcher.close()


async def _apply(connection: Connection, watcher: Connection, migration: Migration) -> None:
    """:raises MigrationError: it fails, or cannot have its tables."""
    for pause_s in (*PAUSES_S, None):
        holders = await _attempt(connection, watcher, migration)
        if holders is None:
            return
        if pause_s is None:
            raise MigrationError(
                f"{migration.name}: the tables it changes were in use at each of "
                f"{len(PAUSES_S) + 1} attempts, by {holders}; end what they do, or end them with "
                "SELECT pg_terminate_backend(pid), and try again"
            )
        log.warning(
            "a migration waits for tables in use",
            code="migration_waits_for_tables",
            migration=migration.name,
            by=holders,
            again_in_s=pause_s,
        )
        await asyncio.sleep(pause_s)


async def _attempt(connection: Connection, watcher: Connection, migration: Migration) -> str | None:
    """None: it is applied. Else it was undone, since these sessions had its tables.

    :raises MigrationError: it fails."""
    pid, holders = connection.get_server_pid(), "nobody knows whom"
    work = asyncio.create_task(_transact(connection, migration))
    try:
        while not (await asyncio.wait((work,), timeout=LOOK_EVERY_S))[0]:
            holders = await _sessions(watcher, _HOLDERS, pid) or holders
        await work
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return holders
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name}: {error}") from error
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return None


async def _transact(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.execute(migration.path.read_text())
        await connection.execute(_APPLY, migration.name)
