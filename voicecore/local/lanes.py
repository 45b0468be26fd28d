"""Fair sharing of a worker: every call has a lane, lanes take turns."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from voicecore.local.worker import (
    OnEvent,
    WorkerEvent,
    WorkerFailed,
    WorkerOutput,
    WorkerProcess,
)
from voicecore.providers.errors import VendorError

RETRY_WITHIN_S = 5.0


class _Item:
    __slots__ = ("args", "body", "job_id", "on_event", "retried", "started")

    def __init__(self, args: Mapping[str, Any], body: bytes, on_event: OnEvent) -> None:
        self.args = args
        self.body = body
        self.on_event = on_event
        self.job_id = 0
        self.started = False
        self.retried = False


class Lane:
    """The jobs of one call, done in order, one at a time."""

    def __init__(self, lanes: "Lanes") -> None:
        self._lanes = lanes
        self.waiting: deque[_Item] = deque()
        self.running: _Item | None = None

    @property
    def busy(self) -> bool:
        """Something is waiting or running."""
        return self.running is not None or bool(self.waiting)

    def submit(self, args: Mapping[str, Any], body: bytes, on_event: OnEvent) -> None:
        """Queue a job; ``on_event`` is called from the event loop, never from here.

        :raises VendorError: ``overloaded``, when too many jobs of all lanes wait;
            ``disconnected``, when there has been no worker for a while."""
        self._lanes.queue(self, _Item(args, body, on_event))

    def clear(self) -> None:
        """Drop everything, waiting and running; nothing more is reported. Idempotent."""
        self._lanes.drop(self)


class Lanes:
    """Gives a worker at most ``parallel`` jobs, one lane after the other.

    A job that was lost with its worker before it gave anything is tried once more. What waits
    fails when no worker has come up again within ``RETRY_WITHIN_S``."""

    def __init__(self, worker: WorkerProcess, *, parallel: int, max_waiting: int = 512) -> None:
        self._worker = worker
        self._parallel = parallel
        self._max_waiting = max_waiting
        self._turns: deque[Lane] = deque()
        self._running = 0
        self._waiting = 0
        self._give_up: asyncio.TimerHandle | None = None
        self._given_up = False

    @property
    def spare(self) -> int:
        """Jobs that could start at once."""
        if self._waiting or self._worker.state != "ready":
            return 0
        return self._parallel - self._running

    def lane(self) -> Lane:
        return Lane(self)

    def ready(self) -> None:
        """A worker is ready (to be called by its owner)."""
        self._given_up = False
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        self._pump()

    def queue(self, lane: Lane, item: _Item) -> None:
        if self._given_up:
            raise self._error("disconnected", "the worker is not running")
        if self._waiting >= self._max_waiting:
            raise self._error("overloaded", f"{self._waiting} jobs are waiting")
        lane.waiting.append(item)
        self._waiting += 1
        self._take_turn(lane)

    def drop(self, lane: Lane) -> None:
        self._waiting -= len(lane.waiting)
        lane.waiting.clear()
        if lane in self._turns:
            self._turns.remove(lane)
        item, lane.running = lane.running, None
        if item is not None:
            self._running -= 1
            self._worker.cancel(item.job_id)
        self._pump()

    def _take_turn(self, lane: Lane) -> None:
        if lane.running is None and lane.waiting and lane not in self._turns:
            self._turns.append(lane)
        self._pump()

    def _pump(self) -> None:
        if self._worker.state != "ready":
            self._wait_for_worker()
            return
        while self._running < self._parallel and self._turns:
            lane = self._turns.popleft()
            item = lane.running = lane.waiting.popleft()
            self._waiting -= 1
            self._running += 1
            self._begin(lane, item)

    def _begin(self, lane: Lane, item: _Item) -> None:
        def on_event(event: WorkerEvent) -> None:
            if lane.running is item:
                self._on_event(lane, item, event)

        try:
            item.job_id = self._worker.submit(item.args, item.body, on_event)
        except VendorError as error:
            asyncio.get_running_loop().call_soon(on_event, WorkerFailed(error))

    def _on_event(self, lane: Lane, item: _Item, event: WorkerEvent) -> None:
        if isinstance(event, WorkerOutput):
            item.started = True
            item.on_event(event)
            return
        lane.running = None
        self._running -= 1
        if self._lost(event) and not (item.started or item.retried):
            item.retried = True
            lane.waiting.appendleft(item)
            self._waiting += 1
        else:
            item.on_event(event)
        self._take_turn(lane)

    def _lost(self, event: WorkerEvent) -> bool:
        return isinstance(event, WorkerFailed) and event.error.code == "disconnected"

    def _wait_for_worker(self) -> None:
        if self._give_up is None and self._turns and not self._given_up:
            loop = asyncio.get_running_loop()
            self._give_up = loop.call_later(RETRY_WITHIN_S, self._fail_waiting)

    def _fail_waiting(self) -> None:
        self._give_up = None
        self._given_up = True
        lanes, self._turns = list(self._turns), deque()
        failed = WorkerFailed(self._error("disconnected", "the worker is not running"))
        for lane in lanes:
            items = list(lane.waiting)
            lane.waiting.clear()
            self._waiting -= len(items)
            for item in items:
                item.on_event(failed)

    def _error(self, code: str, detail: str) -> VendorError:
        return VendorError(self._worker.spec.vendor, code, detail, retryable=True)
