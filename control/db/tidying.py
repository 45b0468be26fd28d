"""What nobody asks for any more, and who takes it away."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
import structlog

from control.db.database import AWAY, PLATFORM, Connection, Database

EVERY_S = 3600.0
KEYS_KEPT = timedelta(days=1)
"""Idempotency keys: a request that comes again comes sooner."""
TOKENS_KEPT = timedelta(days=7)
"""Expired ones: so long it is known that a refresh token was used before."""
COMING_KEPT = timedelta(hours=1)
"""Calls whose streams may come: each says itself when it counts no more."""

_FORGET_KEYS = "DELETE FROM idempotency_keys WHERE created_at < $1"
_FORGET_TOKENS = "DELETE FROM tokens WHERE expires_at < $1"
_FORGET_COMING = "DELETE FROM coming_calls WHERE expires_at < $1"

log = structlog.get_logger("control.tidying")


async def tidy(db: Connection, now: datetime) -> None:
    """Forget what is too old."""
    await db.execute(_FORGET_KEYS, now - KEYS_KEPT)
    await db.execute(_FORGET_TOKENS, now - TOKENS_KEPT)
    await db.execute(_FORGET_COMING, now - COMING_KEPT)


async def tidy_always(database: Database, now: Callable[[], datetime]) -> None:
    """Tidy once an hour, for ever."""
    while True:
        try:
            async with database.transaction(PLATFORM) as db:
                await tidy(db, now())
        except (*AWAY, asyncpg.PostgresError) as error:  # a deadlock, say: the next time
            log.warning("not tidied", code="not_tidied", error=str(error))
        await asyncio.sleep(EVERY_S)
