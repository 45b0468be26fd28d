"""Migrations: numbered files of plain SQL, in two halves.

``0007_name.sql`` only adds, so that the processes of the version before go on working: it is
applied before the new version starts. ``0007_name.after.sql``, where there is one, takes away what
only the old version used: ``voicecore migrate --finish`` applies it once no old process is left.
"""

import asyncio
from pathlib import Path

import asyncpg

from control.db.database import API_ROLE, CONNECT_TIMEOUT_S, Connection
from control.db.migration_files import DIRECTORY, Migration, migrations
from control.db.migration_files import MigrationError as MigrationError

LOCK = 0x766F_6963  # "voic": of all processes that share a database, one migrates

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
_APPLIED = "SELECT name FROM schema_migrations"
_APPLY = "INSERT INTO schema_migrations (name) VALUES ($1)"


async def migrate(url: str, *, finish: bool = False, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing; returns the names of what was applied. Processes that do so at the
    same time wait for each other.

    :param finish: also apply the second halves.
    :raises MigrationError: one failed.
    :raises OSError: nobody answers there."""
    wanted = [one for one in migrations(directory) if finish or not one.finishes]
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(_MAKE_TABLE)
        await _make_role(connection)
        applied = {row["name"] for row in await connection.fetch(_APPLIED)}
        missing = [one for one in wanted if one.name not in applied]
        for migration in missing:
            await _apply(connection, migration)
        return [migration.name for migration in missing]
    finally:
        await connection.close()


async def missing(url: str, directory: Path = DIRECTORY) -> list[str]:
    """The first halves that are not applied."""
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            applied = set()
        else:
            applied = {row["name"] for row in await connection.fetch(_APPLIED)}
        found = migrations(directory)
        return [one.name for one in found if not one.finishes and one.name not in applied]
    finally:
        await connection.close()


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


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.path.read_text())
            await connection.execute(_APPLY, migration.name)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name}: {error}") from error
