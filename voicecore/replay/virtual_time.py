"""An event loop on virtual time: waiting takes no time.

Time jumps from timer to timer. Only while ``awaits_outside`` says that somebody outside of this
process owes an answer, it goes on as the real one does: what an answer took is what it costs.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1000.0
_LONGEST_WAIT_S = 1.0


def _nobody() -> bool:
    return False


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.awaits_outside: Callable[[], bool] = _nobody

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.awaits_outside():
            return self._really_wait(_LONGEST_WAIT_S if timeout is None else timeout)
        if timeout is None:
            raise RuntimeError("deadlock: nothing is scheduled and nothing can happen")
        if timeout > 0:
            self.now_s += timeout
        return []

    def _really_wait(self, timeout_s: float) -> list[Any]:
        began_s = time.monotonic()
        ready = super().select(timeout_s)
        took_s = time.monotonic() - began_s
        self.now_s += min(took_s, timeout_s) if ready else timeout_s
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now_s


class VirtualClock:
    """Implements ``media.clock.Clock`` on a loop's own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000 + 0.001)

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_at(at_ms / 1000, callback)


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on virtual time. Waiting for what never comes is an error."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
