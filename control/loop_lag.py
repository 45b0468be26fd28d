"""How late the event loop runs its timers: what every frame of every call suffers."""

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.01


class LoopLag:
    """A timer of 10 ms whose lateness, in seconds, goes to ``observe``: 100 observations a
    second, a hundredth of a per cent of a core. A callback that blocks the loop for longer
    than that shows in full; a shorter one only when the timer falls into it.

    The loop must be running or about to; ``stop`` ends it, and so does the loop's end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        observe: Callable[[float], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._observe = observe
        self._clock = clock
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.stop()
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._due_s = self._clock() + EVERY_S
        self._timer = self._loop.call_later(EVERY_S, self._fire)

    def _fire(self) -> None:
        # uvloop's timers count whole milliseconds and may fire half of one early.
        self._observe(max(self._clock() - self._due_s, 0.0))
        self._arm()
