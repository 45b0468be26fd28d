"""The tasks of one call: none outlives it unseen, and none keeps it from ending.

A task group waits for its tasks for ever, so a vendor's task that swallows its cancellation
would hold the call. Here leaving has a deadline, and what is left then is named in the log.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("voicecore.call_tasks")


class CallTasks:
    """``on_failed`` hears of an error that a task ended with, from within the event loop."""

    def __init__(self, on_failed: Callable[[BaseException], None]) -> None:
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task of the call.

        :raises RuntimeError: the call is over."""
        if self._closed:
            work.close()
            raise RuntimeError("the call is over")
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Take no more tasks and cancel those that there are. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def around(self, work: Coroutine[Any, Any, None], timeout_s: float) -> None:
        """See ``work`` through, and however it ends wait until the tasks are ``gone``. A session
        has no such ``finally`` of its own, so that it can be compiled."""
        try:
            await work
        finally:
            await self.gone(timeout_s)

    async def gone(self, timeout_s: float) -> int:
        """Wait until the tasks have ended, or for ``timeout_s``; returns how many are left."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in left:
            work = task.get_coro()
            log.error("a task does not end", task=getattr(work, "__qualname__", str(work)))
        return len(left)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)
