import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.local_worker import SCRIPT, wait_for_file
from voicecore.local import wire
from voicecore.local import worker as worker_module
from voicecore.local.worker import (
    WorkerDone,
    WorkerEvent,
    WorkerFailed,
    WorkerOutput,
    WorkerProcess,
    WorkerSpec,
)
from voicecore.providers.errors import VendorError

PATIENCE_S = 60
"""Workers are started within it, each a Python of its own."""


def spec(*arguments: str, **settings: Any) -> WorkerSpec:
    return WorkerSpec(vendor="fake", command=(SCRIPT, *arguments), settings=settings)


@pytest.fixture
async def start():
    started: list[WorkerProcess] = []

    async def start(*arguments: str, on_ready: Callable[[], None] | None = None, **settings: Any):
        worker = WorkerProcess(spec(*arguments, **settings), on_ready=on_ready)
        started.append(worker)
        await worker.start()
        return worker

    yield start
    for worker in started:
        await worker.stop()


class Job:
    """A submitted job's events."""

    def __init__(self, worker: WorkerProcess, body: bytes = b"", **args: Any) -> None:
        self.events: asyncio.Queue[WorkerEvent] = asyncio.Queue()
        self.id = worker.submit(args, body, self.events.put_nowait)

    async def next(self) -> WorkerEvent:
        return await asyncio.wait_for(self.events.get(), PATIENCE_S)


async def test_a_job_is_answered_with_its_output_and_its_end(start):
    worker = await start()
    job = Job(worker, b"\x00" * 100_000, do="echo")
    assert await job.next() == WorkerOutput({"size": 100_000}, b"\x00" * 100_000)
    assert await job.next() == WorkerDone()
    assert worker.outstanding == 0


async def test_what_native_code_prints_does_not_reach_the_protocol(start):
    worker = await start()
    job = Job(worker, do="print")
    assert await job.next() == WorkerOutput({"stdin": ""}, b"")
    assert await job.next() == WorkerDone()


async def test_a_failed_job_leaves_the_worker_alone(start):
    worker = await start()
    failed = await Job(worker, do="fail").next()
    assert isinstance(failed, WorkerFailed)
    assert (failed.error.code, failed.error.retryable) == ("bad_request", False)
    assert isinstance(await Job(worker, do="echo").next(), WorkerOutput)
    assert worker.starts == 1


async def test_a_callback_that_raises_harms_no_other_job(start):
    worker = await start()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    def bug(event: WorkerEvent) -> None:
        raise ZeroDivisionError

    worker.submit({"do": "echo"}, b"", bug)
    assert isinstance(await Job(worker, do="echo").next(), WorkerOutput)
    assert all(isinstance(context["exception"], ZeroDivisionError) for context in told)
    assert told


async def test_a_cancelled_job_says_nothing_more(start, tmp_path):
    worker = await start(parallel=2)
    job = Job(worker, do="wait", path=str(tmp_path / "hold"))
    assert await job.next() == WorkerOutput({"begun": True}, b"")
    worker.cancel(job.id)
    worker.cancel(job.id)
    # Requests are read in order: this answer means that the cancellation has been read.
    assert await Job(worker, do="echo").next()
    (tmp_path / "hold").touch()
    await asyncio.to_thread(wait_for_file, str(tmp_path / "hold.closed"), 10)
    assert not tmp_path.joinpath("hold.after").exists(), "the engine is not asked for more"
    assert job.events.empty()


@pytest.mark.parametrize(
    ("do", "why"), [("die", "signal 11"), ("raise", "ZeroDivisionError: a bug")]
)
async def test_a_crash_fails_the_jobs_and_the_worker_comes_back(start, do, why):
    ready = asyncio.Event()
    worker = await start(on_ready=ready.set)
    ready.clear()
    jobs = [Job(worker, do=do, signal=signal.SIGSEGV), Job(worker, do="echo")]
    for job in jobs:
        failed = await job.next()
        assert isinstance(failed, WorkerFailed)
        assert (failed.error.code, failed.error.retryable) == ("disconnected", True)
    assert why in failed.error.detail
    with pytest.raises(VendorError, match="disconnected"):
        worker.submit({"do": "echo"}, b"", lambda event: None)
    await asyncio.wait_for(ready.wait(), PATIENCE_S)
    assert isinstance(await Job(worker, do="echo").next(), WorkerOutput)
    assert worker.starts == 2


async def test_garbage_ends_the_process_and_another_is_started(start):
    ready = asyncio.Event()
    worker = await start("garbage", on_ready=ready.set)
    ready.clear()
    failed = await Job(worker, do="echo").next()
    assert isinstance(failed, WorkerFailed)
    assert "out of bounds" in failed.error.detail
    await asyncio.wait_for(ready.wait(), PATIENCE_S)
    assert worker.starts == 2


async def test_restarts_slow_down_while_the_worker_does_not_start(start, tmp_path, monkeypatch):
    waits: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def no_sleep(delay_s: float) -> None:
        waits.append(delay_s)
        if len(waits) > 3:
            enough.set()
            await sleep(60)

    worker = await start(start_once=str(tmp_path / "started"))
    monkeypatch.setattr(worker_module.asyncio, "sleep", no_sleep)
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.wait_for(enough.wait(), PATIENCE_S)
    assert waits == [0.2, 0.4, 0.8, 1.6]
    assert worker.state == "waiting"


async def test_a_refusal_is_final_and_says_why(start):
    with pytest.raises(VendorError, match="no such model") as refused:
        await start(refuse=True)
    assert (refused.value.code, refused.value.retryable) == ("model_not_found", False)


async def test_a_worker_that_dies_at_start_is_reported_with_its_last_words(start):
    with pytest.raises(VendorError, match=r"exit status 3.*libnothing") as died:
        await start(die=True)
    assert died.value.code == "connect_failed"


async def test_a_worker_that_does_not_get_ready_is_given_up():
    worker = WorkerProcess(
        WorkerSpec(vendor="fake", command=(SCRIPT,), settings={"hang": True}, start_timeout_s=0.5)
    )
    with pytest.raises(VendorError, match="not ready") as late:
        await worker.start()
    assert late.value.code == "connect_timeout"
    assert worker.pid is None


async def test_too_many_jobs_are_turned_away(tmp_path):
    worker = WorkerProcess(WorkerSpec(vendor="fake", command=(SCRIPT,), max_outstanding=2))
    await worker.start()
    try:
        held = [Job(worker, do="wait", path=str(tmp_path / "hold")) for _ in range(2)]
        with pytest.raises(VendorError, match="overloaded") as full:
            worker.submit({"do": "echo"}, b"", lambda event: None)
        assert full.value.retryable
        worker.cancel(held[0].id)
        Job(worker, do="echo")
    finally:
        await worker.stop()


async def test_progress_and_settings_go_through_the_handshake():
    told: list[str] = []
    worker = WorkerProcess(
        WorkerSpec(vendor="fake", command=(SCRIPT,), nice=3), on_progress=told.append
    )
    await worker.start()
    try:
        assert told == ["loading nothing"]
        assert worker.info["pid"] == worker.pid
        assert worker.info["nice"] == os.nice(0) + 3
    finally:
        await worker.stop()


async def test_stopping_fails_what_is_running_and_ends_the_process(start, tmp_path):
    worker = await start()
    job = Job(worker, do="wait", path=str(tmp_path / "never"))
    await job.next()
    pid = worker.pid
    await worker.stop()
    await worker.stop()
    assert isinstance(await job.next(), WorkerFailed)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_worker_ends_when_its_parent_goes_away(tmp_path):
    """The pipe closing is all that it can see of a parent that was killed."""
    process = await asyncio.create_subprocess_exec(
        worker_module.sys.executable,
        SCRIPT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    process.stdin.write(wire.encode(wire.Start({})))
    process.stdin.write(wire.encode(wire.Job(1, {"do": "wait", "path": str(tmp_path / "never")})))
    await process.stdout.readexactly(1)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
