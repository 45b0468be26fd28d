"""An event loop on virtual time: waiting takes no time, and nothing but timers is waited for."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("deadlock: nothing is scheduled and nothing can happen")
        if timeout > 0:
            self.now_s += timeout
        return []


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
    """Run a coroutine on virtual time; anything left over is an error of the test."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
