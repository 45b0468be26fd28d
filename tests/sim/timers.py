"""What is due when: a heap, without a selector, a thread, or any clock but its own.

Time jumps from timer to timer. Of timers that are due at the same moment any may come first, as
with asyncio; here the seed decides. ``lag_ms`` makes them late now and then, as a busy loop is.
"""

import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any

START_S = 1000.0
ASK_EVERY = 8
GRID_HZ = 1 << 20
GRID_S = 1 / GRID_HZ
"""Time is a whole number of these, so that differences of times are exact: a timer that was set
for ``then + wait`` finds that ``wait`` has passed, as it does with a clock that goes on."""

Callback = Callable[..., object]


class Stuck(Exception):
    """More steps were taken than any call needs."""


class Handle:
    """What ``call_soon`` and ``call_at`` return."""

    __slots__ = ("args", "callback", "due_s")

    def __init__(self, due_s: float, callback: Callback, args: tuple[Any, ...]) -> None:
        self.due_s = due_s
        self.callback: Callback | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.due_s


class Timers:
    """``lag_ms``: how late a timer may be; every ``lag_every``-th jump on average is."""

    def __init__(self, seed: int, *, lag_ms: int = 0, lag_every: int = 20) -> None:
        self.now_s = START_S
        self.now_ms = int(START_S * 1000)
        self.steps = 0
        self._draw: Callable[[], float] = random.Random(f"loop:{seed}").random
        self._lag_s = lag_ms / 1000
        self._lag_share = 1 / lag_every if lag_ms else 0.0
        self._soon: deque[Handle] = deque()
        self._heap: list[tuple[float, float, int, Handle]] = []
        """When it is due, a draw and a number that decide between those due at once."""
        self._count = 0

    def call_soon(self, callback: Callback, *args: Any, context: Any = None) -> Handle:
        handle = Handle(self.now_s, callback, args)
        self._soon.append(handle)
        return handle

    def call_at(self, when: float, callback: Callback, *args: Any, context: Any = None) -> Handle:
        self._count += 1
        due_s = ceil(when * GRID_HZ) * GRID_S
        handle = Handle(due_s, callback, args)
        heappush(self._heap, (due_s, self._draw(), self._count, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callback, *args: Any, context: Any = None
    ) -> Handle:
        return self.call_at(self.now_s + delay, callback, *args)

    def run_until(self, done: Callable[[], bool], *, limit_s: float, max_steps: int) -> bool:
        """Run until ``done``, which is asked every few jumps; False when ``limit_s`` of this
        time came first, or nothing is left to do.

        :raises Stuck: ``max_steps`` callbacks ran and it is not done."""
        max_steps += self.steps
        jumps = 0
        while True:
            self._run_soon(max_steps)
            jumps += 1
            if jumps % ASK_EVERY == 0 and done():
                return True
            handle = self._jump(limit_s)
            if handle is None:
                return done()
            callback = handle.callback
            if callback is not None:
                self.steps += 1
                callback(*handle.args)

    def _run_soon(self, max_steps: int) -> None:
        soon = self._soon
        while soon:
            handle = soon.popleft()
            callback = handle.callback
            if callback is not None:
                self.steps += 1
                callback(*handle.args)
                if self.steps > max_steps:
                    raise Stuck(f"{self.steps} steps by {self.now_s - START_S:.3f} s")

    def _jump(self, limit_s: float) -> Handle | None:
        """Go on to the next moment; its handle, None if there is none before ``limit_s``. Where
        several are due they run soon, and the handle is one that is done with."""
        heap = self._heap
        while heap and heap[0][3].callback is None:
            heappop(heap)
        if not heap or heap[0][0] > limit_s:
            return None
        now_s, _, _, handle = heappop(heap)
        now_s = max(now_s, self.now_s)
        if self._lag_share and self._draw() < self._lag_share:
            now_s += ceil(self._draw() * self._lag_s * GRID_HZ) * GRID_S
        self.now_s = now_s
        self.now_ms = int(now_s * 1000 + 0.001)
        if not heap or heap[0][0] > now_s:  # alone, as nearly always
            return handle
        self._soon.append(handle)
        while heap and heap[0][0] <= now_s:
            due = heappop(heap)[3]
            if due.callback is not None:
                self._soon.append(due)
        return _NOTHING

    def pending(self) -> list[Callback]:
        """The callbacks of timers that are still to come."""
        return [each[3].callback for each in self._heap if each[3].callback is not None]


_NOTHING = Handle(0.0, print, ())
_NOTHING.cancel()


class SimClock:
    """Implements ``media.clock.Clock``."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers

    def now_ms(self) -> int:
        return self._timers.now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Handle:
        return self._timers.call_at(at_ms / 1000, callback)
