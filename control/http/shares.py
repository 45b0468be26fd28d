"""How much of the database one caller has at a time.

Every request that works with the database holds a connection meanwhile. Were there no shares,
one caller's long lists would take them all, and everybody else would wait for him.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from control.http.errors import Refused
from control.http.refusals import TOO_BUSY, TOO_MANY_AT_ONCE

MOST_WAITING = 256
"""Requests of one caller that wait for his share: some tenths of a second's."""
DEADLINE_S = 10.0
SOON_S = 1


class Shares:
    """Places, by who takes them. Who has taken all of his waits for himself, in his own queue."""

    def __init__(
        self, most: int, *, most_waiting: int = MOST_WAITING, deadline_s: float = DEADLINE_S
    ) -> None:
        """:param most: places that those may take together who name the same caller."""
        self._most = most
        self._most_waiting = most_waiting
        self._deadline_s = deadline_s
        self._here: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._queue: deque[tuple[Sequence[str], asyncio.Future[None]]] = deque()

    def take(self, callers: Sequence[str]) -> bool:
        """Take a place in the share of each, at once or not at all."""
        if not self._fit(
            callers
        ):  # what is given back goes to who waits for it, before anybody asks
            return False
        self._here.update(callers)
        return True

    def leave(self, callers: Sequence[str]) -> None:
        """Give the place back, to whoever waits for it first."""
        _subtract(self._here, callers)
        for waiting in tuple(self._queue):
            names, turn = waiting
            if not turn.done() and self._fit(names):
                self._here.update(names)
                self._queue.remove(waiting)
                turn.set_result(None)

    def _fit(self, callers: Sequence[str]) -> bool:
        return all(self._here[caller] < self._most for caller in callers)

    @asynccontextmanager
    async def entered(self, callers: Sequence[str]) -> AsyncIterator[None]:
        """Wait for a place in the share of each, and hold it.

        :raises Refused: too many of theirs wait already, or none was free in time."""
        if not self.take(callers):
            await self._wait(callers)
        try:
            yield
        finally:
            self.leave(callers)

    async def _wait(self, callers: Sequence[str]) -> None:
        if any(self._waiting[caller] >= self._most_waiting for caller in callers):
            raise Refused(TOO_MANY_AT_ONCE, headers={"Retry-After": str(SOON_S)})
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (callers, turn)
        self._queue.append(waiting)
        self._waiting.update(callers)
        try:
            async with asyncio.timeout(self._deadline_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self.leave(callers)
            else:
                self._queue.remove(waiting)
            if isinstance(error, TimeoutError):
                raise Refused(TOO_BUSY) from None
            raise
        finally:
            _subtract(self._waiting, callers)


def share_of(connections: int) -> int:
    """So many of a pool's connections one caller may have: half, so that there are others."""
    return max(1, connections // 2)


def _subtract(counts: Counter[str], callers: Sequence[str]) -> None:
    for caller in callers:
        counts[caller] -= 1
        if not counts[caller]:
            del counts[caller]
