"""What the tests of the scripted vendors share."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


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
