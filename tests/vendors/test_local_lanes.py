import asyncio
import os
import signal

import pytest

from tests.support.local_worker import SCRIPT
from voicecore.local import lanes as lanes_module
from voicecore.local.lanes import Lane, Lanes
from voicecore.local.worker import (
    WorkerDone,
    WorkerFailed,
    WorkerOutput,
    WorkerProcess,
    WorkerSpec,
)
from voicecore.providers.errors import VendorError

PATIENCE_S = 60
"""Workers are started within it, each a Python of its own."""


@pytest.fixture
async def make():
    workers: list[WorkerProcess] = []

    async def make(*, parallel: int = 1, max_waiting: int = 8) -> Lanes:
        made: list[Lanes] = []
        worker = WorkerProcess(
            WorkerSpec(vendor="fake", command=(SCRIPT,), settings={"parallel": parallel}),
            on_ready=lambda: made[0].ready(),
        )
        made.append(Lanes(worker, parallel=parallel, max_waiting=max_waiting))
        workers.append(worker)
        await worker.start()
        return made[0]

    yield make
    for worker in workers:
        await worker.stop()


class Log:
    """What was done, in order, by name."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, object]] = []
        self._changed = asyncio.Event()

    def submit(self, lane: Lane, name: str, **args: object) -> None:
        def on_event(event: object) -> None:
            self.entries.append((name, event))
            self._changed.set()

        lane.submit({"do": "echo", **args}, b"", on_event)

    def finished(self) -> list[str]:
        return [name for name, event in self.entries if isinstance(event, WorkerDone)]

    async def until(self, count: int, kind: type = WorkerDone) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sum(isinstance(event, kind) for _, event in self.entries) < count:
                self._changed.clear()
                await self._changed.wait()


async def test_lanes_take_turns_and_each_keeps_its_order(make):
    lanes, log = await make(), Log()
    a, b = lanes.lane(), lanes.lane()
    for name in ("a1", "a2", "a3"):
        log.submit(a, name)
    for name in ("b1", "b2"):
        log.submit(b, name)
    await log.until(5)
    assert log.finished() == ["a1", "b1", "a2", "b2", "a3"]
    assert not a.busy
    assert lanes.spare == 1


async def test_a_lane_has_one_job_at_a_time_even_where_more_could_run(make, tmp_path):
    lanes, log = await make(parallel=3), Log()
    a = lanes.lane()
    log.submit(a, "a1", do="wait", path=str(tmp_path / "hold"))
    log.submit(a, "a2")
    log.submit(lanes.lane(), "b1")
    await log.until(1)
    assert log.finished() == ["b1"]
    (tmp_path / "hold").touch()
    await log.until(3)
    assert log.finished() == ["b1", "a1", "a2"]


async def test_clearing_a_lane_drops_it_and_lets_the_others_on(make, tmp_path):
    lanes, log = await make(), Log()
    a, b = lanes.lane(), lanes.lane()
    log.submit(a, "a1", do="wait", path=str(tmp_path / "hold"))
    log.submit(a, "a2")
    log.submit(b, "b1")
    await log.until(1, WorkerOutput)
    a.clear()
    a.clear()
    assert not a.busy
    (tmp_path / "hold").touch()
    await log.until(1)
    log.submit(a, "a3")
    await log.until(2)
    assert log.finished() == ["b1", "a3"]
    assert [name for name, _ in log.entries].count("a1") == 1, "only what came before"


async def test_too_much_waiting_is_turned_away(make, tmp_path):
    lanes, log = await make(max_waiting=2), Log()
    lane = lanes.lane()
    log.submit(lane, "runs", do="wait", path=str(tmp_path / "hold"))
    log.submit(lane, "waits")
    log.submit(lane, "waits")
    with pytest.raises(VendorError, match="overloaded") as full:
        log.submit(lanes.lane(), "too many")
    assert full.value.retryable
    assert lanes.spare == 0


async def test_a_job_lost_in_a_crash_is_done_by_the_next_worker_in_order(
    make, tmp_path, monkeypatch
):
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", PATIENCE_S)
    lanes, log = await make(), Log()
    lane = lanes.lane()
    log.submit(lane, "first", do="crash_once", path=str(tmp_path / "crashed"))
    log.submit(lane, "second")
    await log.until(2)
    assert log.finished() == ["first", "second"]
    assert (tmp_path / "crashed").exists()


async def test_a_job_that_kills_every_worker_fails_and_the_next_one_is_done(make, monkeypatch):
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", PATIENCE_S)
    lanes, log = await make(), Log()
    lane = lanes.lane()
    log.submit(lane, "deadly", do="die", signal=signal.SIGKILL)
    log.submit(lane, "next")
    await log.until(1)
    assert log.finished() == ["next"]
    name, event = log.entries[0]
    assert (name, event.error.code, event.error.retryable) == ("deadly", "disconnected", True)


async def test_a_job_that_has_given_something_is_not_done_twice(make, tmp_path):
    lanes, log = await make(), Log()
    lane = lanes.lane()
    log.submit(lane, "half", do="wait", path=str(tmp_path / "never"))
    await log.until(1, WorkerOutput)
    os.kill(lanes._worker.pid, signal.SIGKILL)
    await log.until(1, WorkerFailed)
    assert not lane.busy


async def test_what_waits_fails_when_no_worker_comes_back(make, monkeypatch):
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", 0.05)
    lanes, log = await make(), Log()
    worker, lane = lanes._worker, lanes.lane()
    await worker.stop()
    log.submit(lane, "late")
    await log.until(1, WorkerFailed)
    assert not lane.busy
    with pytest.raises(VendorError, match="disconnected"):
        log.submit(lane, "later")
    await worker.start()
    log.submit(lane, "again")
    await log.until(1)
    assert log.finished() == ["again"]
