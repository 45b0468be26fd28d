"""An asyncio event loop over ``Timers``."""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import ref

from tests.sim.timers import Timers


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks have the same order in every process."""

    def __init__(self, number: int, coro: Any, *, loop: "SimLoop") -> None:
        self.number = number
        super().__init__(coro, loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """Everything that asyncio schedules is one of its ``timers``."""

    def __init__(self, seed: int, *, lag_ms: int = 0) -> None:
        super().__init__()
        self.timers = timers = Timers(seed, lag_ms=lag_ms)
        self.vendor: Any = None
        """Who is at the other end of vendors' sockets."""
        self._tasks: list[ref[SimTask]] = []
        """Every one so far. asyncio's own set is searched through with what other loops left."""
        # Asked so often that not even a call lies between.
        self.call_soon: Any = timers.call_soon
        self.call_at: Any = timers.call_at
        self.call_later: Any = timers.call_later

    @property
    def now_s(self) -> float:
        return self.timers.now_s

    def time(self) -> float:
        return self.timers.now_s

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        task = SimTask(len(self._tasks), coro, loop=self)
        self._tasks.append(ref(task))
        return task

    def run_until(self, done: Callable[[], bool], *, limit_s: float, max_steps: int) -> bool:
        """``Timers.run_until``, as the running loop."""
        asyncio._set_running_loop(self)
        try:
            return self.timers.run_until(done, limit_s=limit_s, max_steps=max_steps)
        finally:
            asyncio._set_running_loop(None)

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
