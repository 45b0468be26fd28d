"""What nobody asks for any more, and who takes it away."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
import structlog

from control.db.database import AWAY, PLATFORM, Database

EVERY_S = 3600.0
KEYS_KEPT = timedelta(days=1)
"""Idempotency keys: a request that comes again comes sooner."""
TOKENS_KEPT = timedelta(days=7)
"""Expired ones: so long it is known that a refresh token was used before."""
COMING_KEPT = timedelta(hours=1)
"""Calls whose streams may come: each says itself when it counts no more."""

BATCH = 5000
"""Rows that are deleted at a time: so few that the deadline of statements is far, however many have
been left lying."""

_FORGET_KEYS = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < $1
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))"""
_FORGET_TOKENS = """
DELETE FROM tokens WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM tokens WHERE expires_at < $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"""
_FORGET_COMING = """
DELETE FROM coming_calls WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM coming_calls WHERE expires_at < $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"""

TABLES = {
    "idempotency_keys": (_FORGET_KEYS, KEYS_KEPT),
    "tokens": (_FORGET_TOKENS, TOKENS_KEPT),
    "coming_calls": (_FORGET_COMING, COMING_KEPT),
}
"""Each with what deletes a batch of its rows, and how long they are kept."""

log = structlog.get_logger("control.tidying")


async def tidy(database: Database, table: str, now: datetime) -> None:
    """Forget what is too old in one of ``TABLES``. Each batch is gone, whatever becomes of the
    next; rows that another process has are its."""
    statement, kept = TABLES[table]
    deleted = BATCH
    while deleted == BATCH:
        async with database.transaction(PLATFORM) as db:
            done = await db.execute(statement, now - kept, BATCH)
        deleted = int(done.removeprefix("DELETE "))


async def tidy_all(database: Database, now: datetime) -> None:
    """Tidy every table. One that fails is left for the next time."""
    for table in TABLES:
        try:
            await tidy(database, table, now)
        except (*AWAY, asyncpg.PostgresError) as error:  # a deadlock, say
            log.warning("not tidied", code="not_tidied", table=table, error=str(error))


async def tidy_always(database: Database, now: Callable[[], datetime]) -> None:
    """Tidy once an hour, for ever."""
    while True:
        await tidy_all(database, now())
        await asyncio.sleep(EVERY_S)
