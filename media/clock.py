"""The one clock: whole milliseconds that never go back, and calls at a given millisecond."""

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds on a monotonic clock with an arbitrary start."""

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Call back once, not before ``at_ms``; at once (but not from here) if it is past."""
