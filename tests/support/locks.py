"""Two requests at once, without guessing when: one holds its locks, the other is seen to wait."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from control.db.database import PLATFORM, Connection
from tests.support.api import Api

_WAITS = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()"""


class Behind:
    """What is asked while a transaction is open, and answered when it has ended."""

    def __init__(self, api: Api, db: Connection) -> None:
        self.db = db
        self.waited = False
        self._api = api
        self._asked: list[asyncio.Task[Any]] = []

    async def ask(self, request: Coroutine[None, None, Any]) -> None:
        """Begin it; return when it waits for a lock, or has been answered."""
        asked = asyncio.create_task(request)
        self._asked.append(asked)
        while not asked.done():
            if (await self._api.run(_WAITS))[0]["count"] >= len(self._asked):
                self.waited = True
                return

    async def answer(self) -> Any:
        """Of the one that was asked last."""
        replies = await asyncio.gather(*self._asked)
        return replies[-1]


@asynccontextmanager
async def first(api: Api) -> AsyncIterator[Behind]:
    """A transaction that is kept when the block ends. Read ``answer`` of it afterwards."""
    async with api.plane.db.transaction(PLATFORM) as db:
        yield Behind(api, db)
