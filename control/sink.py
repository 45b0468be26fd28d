"""What calls leave, on its way into the database. A call never waits for it.

Facts wait in memory for a moment, so that many are written at once. When the database does not
answer they go to disk, and from there into the database when it is back: in order, nothing lost,
and nothing twice, because every statement may be repeated.
"""

import asyncio
from collections import deque
from pathlib import Path

import asyncpg
import msgspec
import structlog

from control.call_facts import CallFact, decode_facts, encode_facts
from control.db.call_writes import write
from control.db.database import AWAY, PLATFORM, Database
from control.spill import Spill

FLUSH_S = 0.1
BATCH = 500
MOST_WAITING = 50_000
"""Facts in memory. Only where neither the database nor the disk takes any for long are there more,
and then they are lost."""
RETRY_S = 1.0
WRITE_TIMEOUT_S = 10.0

_CONDEMNING = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
)
"""What says that the values themselves are wrong, and will be again."""

_NO_JSON = (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError)
"""What a fact raises that cannot be a line."""

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
        self.refused = 0
        """Facts that the database never takes, and lines on disk that are none: they are kept in
        ``refused.txt``."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="call sink")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A bug must not end the sink: what waits is still there."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the sink has failed", code="sink_failed", exc_info=error)
            if not self._stopping:
                asyncio.get_running_loop().call_later(RETRY_S, self._start_again)

    def _start_again(self) -> None:
        if not self._stopping:
            self.start()

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
            await asyncio.wait([self._task])
        if self._waiting:  # a bug ended the task
            batch = list(self._waiting)
            self._waiting.clear()
            await self._spilled(batch)

    @property
    def waiting(self) -> int:
        """Facts in memory."""
        return len(self._waiting)

    @property
    def spilled(self) -> int:
        """Files of facts on disk that the database has not taken yet."""
        return len(self._spill)

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
                batch = [self._waiting.popleft() for _ in range(most)]
                try:
                    taken = await self._taken(batch)
                except BaseException:  # a bug loses none; those that were written may come twice
                    self._waiting.extendleft(reversed(batch))
                    raise
                if not taken:
                    break
            if not self._spill.empty and not await self._brought_home():
                if not self._stopping:
                    await asyncio.sleep(RETRY_S)
                elif not self._waiting:  # more may have come meanwhile
                    return

    async def _taken(self, batch: list[CallFact]) -> bool:
        """Into the database, if nothing older is on disk; else onto the disk. False: neither."""
        if self._spill.empty and await self._written(batch):
            return True
        return await self._spilled(batch)

    async def _spilled(self, batch: list[CallFact]) -> bool:
        lines, fit = [], []
        for fact in batch:
            line, is_fact = _line(fact)
            if is_fact:
                lines.append(line)
                fit.append(fact)
            else:
                await self._refuse(line)
        try:
            if lines:
                await asyncio.to_thread(self._spill.append, b"".join(lines))
        except OSError as error:
            log.error("the disk takes no facts", code="spill_failed", error=str(error))
            if self._stopping:
                self.dropped += len(fit)
                return True
            self._waiting.extendleft(reversed(fit))
            await asyncio.sleep(RETRY_S)
            return False
        return True

    async def _brought_home(self) -> bool:
        """Write the oldest segment on disk into the database; False: it does not answer."""
        try:
            lines = await asyncio.to_thread(self._spill.first)
        except OSError as error:
            log.error("facts on disk cannot be read", code="spill_unreadable", error=str(error))
            return False
        facts, wrong = decode_facts(lines)
        if wrong:
            log.error("lines on disk are no facts", code="spill_cut", bytes=len(wrong))
            await self._refuse(wrong)
        for start in range(0, len(facts), BATCH):
            if not await self._written(facts[start : start + BATCH]):
                return False
        try:
            await asyncio.to_thread(self._spill.drop_first)
        except OSError as error:
            log.error("facts on disk cannot be removed", code="spill_stays", error=str(error))
            return False
        return True

    async def _written(self, facts: list[CallFact]) -> bool:
        """False: the database does not take them now."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                async with self._database.transaction(PLATFORM) as db:
                    await write(db, facts)
        except _CONDEMNING as error:
            if len(facts) > 1:  # one of them is to blame
                return all([await self._written([fact]) for fact in facts])
            log.error("the database refuses a fact", code="sink_refused", error=str(error))
            await self._refuse(b"".join(_line(fact)[0] for fact in facts))
        except (*AWAY, asyncpg.PostgresError) as error:
            # Whatever else it says, a wrong password or a missing table, is not the facts' fault.
            if not self._away:
                log.error("the database is away", code="database_away", error=str(error))
            self._away = True
            return False
        if self._away:
            log.info("the database is back")
            self._away = False
        return True

    async def _refuse(self, lines: bytes) -> None:
        self.refused += lines.count(b"\n")
        try:
            await asyncio.to_thread(self._spill.refuse, lines)
        except OSError as error:
            self.dropped += lines.count(b"\n")
            log.error("a refused fact is lost", code="spill_failed", error=str(error))


def _line(fact: CallFact) -> tuple[bytes, bool]:
    """The fact as a line for the disk, and whether it can be read again: what is no JSON is only
    shown. One such fact takes none with it."""
    try:
        return encode_facts([fact]), True
    except _NO_JSON as error:
        log.error("a fact cannot be written", code="sink_refused", error=type(error).__name__)
        return repr(fact).encode("utf-8", "backslashreplace") + b"\n", False
