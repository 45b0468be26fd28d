"""What calls leave, on its way into the database. A call never waits for it.

Facts wait in memory for a moment, so that many are written at once. When the database does not
answer they go to disk, and from there into the database when it is back: in order, nothing lost,
and nothing twice, because every statement may be repeated.
"""

import asyncio
from collections import deque
from pathlib import Path

import asyncpg
import structlog

from control.call_facts import CallFact, decode_facts, encode_facts
from control.db.call_writes import write
from control.db.database import AWAY, PLATFORM, Database
from control.spill import Spill

FLUSH_S = 0.1
BATCH = 500
MOST_WAITING = 50_000
"""Facts in memory: reached only if neither the database nor the disk takes any."""
RETRY_S = 1.0
WRITE_TIMEOUT_S = 10.0

log = structlog.get_logger("control.sink")


class CallSink:
    """One per process."""

    def __init__(self, database: Database, directory: Path) -> None:
        """:raises OSError: nothing can be written there."""
        self._database = database
        self._spill = Spill(directory)
        self._waiting: deque[CallFact] = deque()
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self.dropped = 0
        """Facts that nobody took."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="call sink")

    def put(self, fact: CallFact) -> None:
        """Have it written, soon. Returns at once."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            if self.dropped == 1:
                log.error("facts of calls are lost", code="sink_full")
            return
        self._waiting.append(fact)
        self._idle.clear()
        self._something.set()

    async def stop(self) -> None:
        """Write what waits, into the database or onto the disk."""
        self._stopping = True
        self._something.set()
        if self._task is not None:
            await self._task

    async def flushed(self) -> None:
        """Wait until everything is in the database."""
        await self._idle.wait()

    async def _run(self) -> None:
        while True:
            if not self._waiting and self._spill.empty:
                if self._stopping:
                    return
                self._idle.set()
                self._something.clear()
                await self._something.wait()
            if not self._stopping:
                await asyncio.sleep(FLUSH_S)
            while self._waiting:
                most = min(BATCH, len(self._waiting))
                await self._take([self._waiting.popleft() for _ in range(most)])
            if not self._spill.empty and not await self._brought_home():
                if self._stopping:
                    return
                await asyncio.sleep(RETRY_S)

    async def _take(self, batch: list[CallFact]) -> None:
        """Into the database, if nothing older is on disk; else onto the disk."""
        if self._spill.empty and await self._written(batch):
            return
        try:
            await asyncio.to_thread(self._spill.append, encode_facts(batch))
        except OSError as error:
            log.error("the disk takes no facts", code="spill_failed", error=str(error))
            if self._stopping:
                self.dropped += len(batch)
                return
            self._waiting.extendleft(reversed(batch))
            await asyncio.sleep(RETRY_S)

    async def _brought_home(self) -> bool:
        """Write the oldest segment on disk into the database; False: it does not answer."""
        try:
            lines = await asyncio.to_thread(self._spill.first)
        except OSError as error:
            log.error("facts on disk cannot be read", code="spill_unreadable", error=str(error))
            return False
        facts, wrong = decode_facts(lines)
        if wrong:
            log.error("lines on disk were cut off", code="spill_cut", count=wrong)
        for start in range(0, len(facts), BATCH):
            if not await self._written(facts[start : start + BATCH]):
                return False
        await asyncio.to_thread(self._spill.drop_first)
        return True

    async def _written(self, facts: list[CallFact]) -> bool:
        """False: the database is away."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                async with self._database.transaction(PLATFORM) as db:
                    await write(db, facts)
        except AWAY as error:
            if not self._away:
                log.error("the database is away", code="database_away", error=str(error))
            self._away = True
            return False
        except (asyncpg.PostgresError, ValueError) as error:
            if len(facts) > 1:  # one of them is to blame
                return all([await self._written([fact]) for fact in facts])
            log.error("the database refuses a fact", code="sink_refused", error=str(error))
            await asyncio.to_thread(self._spill.refuse, encode_facts(facts))
        if self._away:
            log.info("the database is back")
            self._away = False
        return True
