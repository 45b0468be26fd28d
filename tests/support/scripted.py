"""Runs coroutines on a loop whose clock jumps from timer to timer, and collects events."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the loop has nothing left to wait for")
            self.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


class Timed:
    """A sink that notes when each event came, in whole milliseconds from its creation."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._from_s = self._loop.time()
        self.events: list[tuple[int, Any]] = []
        self.hook: Callable[[Any], None] | None = None

    def now_ms(self) -> int:
        return round((self._loop.time() - self._from_s) * 1000)

    def __call__(self, event: Any) -> None:
        self.events.append((self.now_ms(), event))
        if self.hook is not None:
            self.hook(event)

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def times(self, kind: type) -> list[int]:
        return [at for at, event in self.events if isinstance(event, kind)]


def no_spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    raise AssertionError("a scripted vendor starts no tasks")
