"""Connections to PostgreSQL, and whose rows a transaction may see.

Every connection has the role ``voicecore_api``, which owns no table, so that row-level security
binds it. Whose rows it sees is said anew each time it is used: in the same message that begins a
transaction, by the statement that finds the bearer of a token, or before the first statement of
somebody who only reads.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import msgspec
import orjson

from control.db.migration_files import application_name

if TYPE_CHECKING:
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool
Row = asyncpg.Record

AWAY = (
    OSError,  # with TimeoutError
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What a database raises that does not answer now, but may soon."""

API_ROLE = "voicecore_api"
COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 5.0
"""So long a request waits for a connection while all are taken."""


class Unsafe(asyncpg.InterfaceError):
    """What is there in place of PostgreSQL, or before it, would not keep tenants apart."""


class Sight(msgspec.Struct, frozen=True):
    """Whose rows are seen: everybody's, or those of some workspaces, and those about a person."""

    platform: bool = False
    workspaces: frozenset[UUID] = frozenset()
    person: UUID | None = None

    @property
    def seen(self) -> list[UUID] | None:
        """The workspaces, for a statement's WHERE; None: all."""
        return None if self.platform else sorted(self.workspaces)

    @property
    def begin(self) -> str:
        """The statement that begins a transaction."""
        return f"BEGIN; {self._set(for_transaction='true')}"

    @property
    def look(self) -> str:
        """The statement that only says whose rows are seen."""
        return self._set(for_transaction="false")

    def _set(self, for_transaction: str) -> str:
        """All that is put into it are UUIDs."""
        shown = ",".join(str(workspace) for workspace in self.workspaces)
        person = "" if self.person is None else str(self.person)
        platform = "on" if self.platform else ""
        return (
            f"SELECT set_config('voicecore.platform', '{platform}', {for_transaction}),"
            f" set_config('voicecore.workspaces', '{{{shown}}}', {for_transaction}),"
            f" set_config('voicecore.person', '{person}', {for_transaction})"
        )


NOBODY = Sight()
PLATFORM = Sight(platform=True)


def of_workspaces(workspaces: Iterable[UUID], person: UUID | None = None) -> Sight:
    return Sight(workspaces=frozenset(workspaces), person=person)


class Database:
    """A pool of connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, connections: int) -> "Database":
        """Connect to a database that is migrated.

        :raises OSError: nobody answers there.
        :raises asyncpg.PostgresError: the server refuses.
        :raises Unsafe: tenants would not be kept apart there."""
        session = {"role": API_ROLE, "application_name": application_name()}
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            init=_prepare,
            reset=_keep,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=CONNECT_TIMEOUT_S,
            server_settings=session,
        )
        try:
            other = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=session)
            try:
                async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as one:
                    await check_sessions(one, other)
            finally:
                await other.close(timeout=CLOSE_TIMEOUT_S)
        except BaseException:
            pool.terminate()
            raise
        return cls(pool)

    async def close(self) -> None:
        """Close every connection, when what they are doing is done or the deadline has come."""
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(self, sight: Sight) -> AsyncIterator[Connection]:
        """A transaction, which is kept if the block ends, and undone if it raises.

        :raises TimeoutError: every connection is taken for too long."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            try:
                await connection.execute(sight.begin)
                yield connection
                await connection.execute("COMMIT")
            except BaseException:  # cancelled while it begins or ends, too
                await _undo(connection)
                raise

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection by itself, of which nobody knows whose rows it sees: see ``look``.

        :raises TimeoutError: every connection is taken for too long."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self, sight: Sight) -> AsyncIterator[Connection]:
        """For statements that change nothing.

        :raises TimeoutError: every connection is taken for too long."""
        async with self.connection() as connection:
            await look(connection, sight)
            yield connection


async def look(connection: Connection, sight: Sight) -> None:
    """See these rows from now on, without a transaction, which would cost two more messages. Each
    statement sees what was committed when it began, as in a transaction."""
    await connection.execute(sight.look)


async def _undo(connection: Connection) -> None:
    if not connection.is_closed():
        await connection.execute("ROLLBACK")


_WHO = """
SELECT current_user AS name, rolsuper OR rolbypassrls AS sees_all
FROM pg_roles WHERE rolname = current_user"""
_SET_PROBE = "SELECT set_config('voicecore.probe', $1, false)"
_PROBE = "SELECT current_setting('voicecore.probe', true)"


async def _check_role(connection: Connection) -> None:
    """:raises Unsafe: row-level security does not bind it."""
    who = await connection.fetchrow(_WHO)
    if who is None or who["name"] != API_ROLE or who["sees_all"]:
        raise Unsafe(
            f"connections must have the role {API_ROLE}, which sees what it may see; this one has "
            f"{who and who['name']}. Does a pooler ignore the startup parameter role? "
            "Connect directly"
        )


async def check_sessions(one: Connection, other: Connection) -> None:
    """:raises Unsafe: what is said on a connection does not stay with it, as where a pooler gives
    another one to each transaction."""
    for _ in range(2):
        for connection, name in ((one, "one"), (other, "other")):
            await connection.execute(_SET_PROBE, name)
        if (await one.fetchval(_PROBE), await other.fetchval(_PROBE)) != ("one", "other"):
            raise Unsafe(
                "a pooler gives each transaction another connection, so that callers would see "
                "each other's rows: connect directly, or let it pool sessions"
            )


async def _prepare(connection: Connection) -> None:
    await _check_role(connection)
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )


async def _keep(connection: Connection) -> None:
    """Nothing outlasts a transaction: a connection needs no cleaning between two."""


_ALSO_SEE = """
SELECT set_config('voicecore.workspaces', array_append(seen_workspaces(), $1)::text, true)"""


async def also_see(connection: Connection, workspace_id: UUID) -> None:
    """Let the transaction see a workspace that it is about to make."""
    await connection.execute(_ALSO_SEE, workspace_id)
