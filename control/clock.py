"""The real clock."""

import asyncio
import time
from collections.abc import Callable

TIMER_SLACK_S = 0.0005
"""uvloop's timers count whole milliseconds and may fire early by one; half a millisecond more
keeps a caller from being woken just before its time."""


class MonotonicClock:
    """Implements ``media.clock.Clock``. Reads the system's monotonic clock, since the event
    loop's own time stands still while callbacks run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        delay_s = at_ms / 1000 - time.monotonic_ns() / 1e9
        return self._loop.call_later(max(delay_s, 0) + TIMER_SLACK_S, callback)
