"""An event loop that is only a heap: no selector, no thread, no clock but its own.

Time jumps from timer to timer. Of timers that are due at the same moment any may come first, as
with asyncio; here the seed decides. ``lag`` makes the loop late now and then, as a busy one is.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any
from weakref import ref

START_S = 1000.0
ASK_EVERY = 8
GRID_HZ = 1 << 20
GRID_S = 1 / GRID_HZ
"""Time is a whole number of these, so that differences of times are exact: a timer that was set
for ``then + wait`` finds that ``wait`` has passed, as it does with a clock that goes on."""


class Stuck(Exception):
    """Nothing is scheduled, or more steps were taken than any call needs."""


class Handle(list[Any]):
    """What ``call_soon`` and ``call_at`` return, and an entry of the heap: when it is due, a
    draw and a number that decide between those due at once, the callback (None: cancelled) and
    its arguments."""

    __slots__ = ()

    def cancel(self) -> None:
        self[3] = None

    def cancelled(self) -> bool:
        return self[3] is None

    def when(self) -> float:
        return float(self[0])


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks have the same order in every process."""

    def __init__(self, number: int, coro: Any, *, loop: "SimLoop") -> None:
        self.number = number
        super().__init__(coro, loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """``lag_ms``: how late a timer may be; every ``lag_every``-th jump on average is."""

    def __init__(self, seed: int, *, lag_ms: int = 0, lag_every: int = 20) -> None:
        super().__init__()
        self.now_s = START_S
        self.now_ms = int(START_S * 1000)
        self.steps = 0
        self.vendor: Any = None
        """Who is at the other end of vendors' sockets."""
        self._draw = random.Random(f"loop:{seed}").random
        self._lag_s = lag_ms / 1000
        self._lag_share = 1 / lag_every if lag_ms else 0.0
        self._soon: deque[list[Any]] = deque()
        self._heap: list[list[Any]] = []
        self._count = 0
        self._tasks: list[ref[SimTask]] = []
        """Every one so far. asyncio's own set is searched through with what other loops left."""

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        handle = Handle((self.now_s, 0.0, 0, callback, args))
        self._soon.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        self._count = count = self._count + 1
        handle = Handle((ceil(when * GRID_HZ) * GRID_S, self._draw(), count, callback, args))
        heappush(self._heap, handle)
        return handle

    def at(self, when: float, callback: Callable[..., None], *args: Any) -> None:
        """``call_at`` for what is never cancelled."""
        self._count = count = self._count + 1
        heappush(self._heap, [ceil(when * GRID_HZ) * GRID_S, self._draw(), count, callback, args])

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return self.call_at(self.now_s + delay, callback, *args)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        task = SimTask(len(self._tasks), coro, loop=self)
        self._tasks.append(ref(task))
        return task

    def run_until(self, done: Callable[[], bool], *, limit_s: float, max_steps: int) -> bool:
        """Run until ``done``, which is asked every few jumps; False when ``limit_s`` of this
        loop's time came first, or nothing is left to do.

        :raises Stuck: ``max_steps`` callbacks ran and it is not done."""
        asyncio._set_running_loop(self)
        soon, heap = self._soon, self._heap
        lag_share = self._lag_share
        steps, max_steps = self.steps, self.steps + max_steps
        jumps = 0
        try:
            while True:
                while soon:
                    handle = soon.popleft()
                    callback = handle[3]
                    if callback is not None:
                        steps += 1
                        callback(*handle[4])
                        if steps > max_steps:
                            raise Stuck(f"{steps} steps by {self.now_s - START_S:.3f} s")
                jumps += 1
                if not jumps % ASK_EVERY and done():
                    return True
                while heap and heap[0][3] is None:
                    heappop(heap)
                if not heap or heap[0][0] > limit_s:
                    return done()
                now_s, _, _, callback, args = handle = heappop(heap)
                if now_s < self.now_s:
                    now_s = self.now_s
                if lag_share and self._draw() < lag_share:
                    now_s += ceil(self._draw() * self._lag_s * GRID_HZ) * GRID_S
                self.now_s = now_s
                self.now_ms = int(now_s * 1000 + 0.001)
                if heap and heap[0][0] <= now_s:
                    soon.append(handle)
                    self._take_due(now_s)
                else:  # alone, as nearly always
                    steps += 1
                    callback(*args)
        finally:
            self.steps = steps
            asyncio._set_running_loop(None)

    def _take_due(self, now_s: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            handle = heappop(heap)
            if handle[3] is not None:
                self._soon.append(handle)

    def pending(self) -> list[Callable[..., Any]]:
        """What the timers call that are still to come."""
        return [callback for _, _, _, callback, _ in self._heap if callback is not None]

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Those that are not done, in the order in which they began."""
        made = (task() for task in self._tasks)
        return [task for task in made if task is not None and not task.done()]

    def abandon(self) -> None:
        """End what is left, as well as it can be ended."""
        for _ in range(3):
            for task in self.tasks():
                task.cancel()
            self.run_until(lambda: False, limit_s=self.now_s + 5, max_steps=100_000)


class SimClock:
    """Implements ``media.clock.Clock``."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return self._loop.now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Any:
        return self._loop.call_at(at_ms / 1000, callback)
