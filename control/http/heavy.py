"""Heavy requests, a few of each kind at a time.

A handler that has a thread work for it holds its connection to the database meanwhile. As many of
them as come would take every connection, and nobody else's request would be answered. Each kind
has its own gate, and nobody may fill one: whatever somebody does, others can log in.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, get_args

from control.http.errors import Refused
from control.http.refusals import TOO_BUSY, TOO_MANY_AT_ONCE

Kind = Literal["passwords", "configurations", "audio"]
"""What a thread does meanwhile."""
ROOMS: Mapping[Kind, int] = {"passwords": 3, "configurations": 2, "audio": 2}
"""About as many as there are threads that they wait for: more at a time would not be sooner."""
MOST_OF_ONE: Mapping[Kind, int] = {"passwords": 8, "configurations": 8, "audio": 4}
"""At work or waiting: of a network, which many may share, or of a caller or a workspace."""
LEFT = 3
"""Connections that the others have, where there are enough."""
MOST_WAITING = 64
DEADLINE_S = 10.0
SOON_S = 1


def rooms_of(connections: int) -> dict[Kind, int]:
    """How many of each kind may be at work."""
    rooms = dict(ROOMS)
    while sum(rooms.values()) > connections - LEFT and max(rooms.values()) > 1:
        rooms[max(rooms, key=rooms.__getitem__)] -= 1
    return rooms


class Gate:
    """Lets so many in at a time, in the order in which they came."""

    def __init__(
        self,
        room: int,
        most_waiting: int = MOST_WAITING,
        deadline_s: float = DEADLINE_S,
        *,
        most_of_one: int = MOST_WAITING,
        shared: asyncio.Semaphore | None = None,
    ) -> None:
        """
        :param most_of_one: so many of those who name the same caller may be at work or wait.
        :param shared: places that other gates' requests take, too."""
        self.waiting = 0
        self._places = asyncio.Semaphore(room)
        self._shared = shared or asyncio.Semaphore(room)
        self._most_waiting = most_waiting
        self._deadline_s = deadline_s
        self._most_of_one = most_of_one
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def entered(self, callers: Sequence[str] = ()) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        :param callers: whose request it is.
        :raises Refused: too many wait already, or too many of them, or none was free in time."""
        if any(self._here[caller] >= self._most_of_one for caller in callers):
            raise Refused(TOO_MANY_AT_ONCE, headers={"Retry-After": str(SOON_S)})
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise Refused(TOO_BUSY)
        self._here.update(callers)
        try:
            await self._wait()
            try:
                yield
            finally:
                self._shared.release()
                self._places.release()
        finally:
            self._here.subtract(callers)
            for caller in callers:
                if not self._here[caller]:
                    del self._here[caller]

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._places.acquire()
                try:
                    await self._shared.acquire()
                except BaseException:
                    self._places.release()
                    raise
        except TimeoutError:
            raise Refused(TOO_BUSY) from None
        finally:
            self.waiting -= 1


class Gates:
    """One for each kind, of a pool of connections."""

    def __init__(self, connections: int) -> None:
        # Where the pool is smaller than the kinds' rooms together, one is left to the others still.
        shared = asyncio.Semaphore(max(1, connections - 1))
        rooms = rooms_of(connections)
        self.of: dict[Kind, Gate] = {
            kind: Gate(rooms[kind], most_of_one=MOST_OF_ONE[kind], shared=shared)
            for kind in get_args(Kind)
        }
