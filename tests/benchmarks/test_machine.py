import os
import time
from pathlib import Path

import pytest

from benchmarks.machine import (
    Cores,
    MachineError,
    on_core,
    pick_cores,
    process_cpu_s,
    resident_mb,
    usage,
    work_us,
)
from benchmarks.micro import STEPS, _time_us
from benchmarks.processes import ProcessFailed, child, sleep_while


def test_two_cores_are_picked_or_refused(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 3, 4})
    assert pick_cores() == Cores(3, 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(MachineError, match="two cores"):
        pick_cores()


def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_our_own_cpu_time_and_memory_are_seen():
    before = process_cpu_s(os.getpid())
    assert abs(before - time.process_time()) < 0.1
    assert 10 < resident_mb(os.getpid()) < 10_000
    reading = usage(os.getpid(), min(os.sched_getaffinity(0)))
    assert reading.busy_s > 0
    assert work_us(rounds=3, repeats=1) > 0


def test_a_child_runs_pinned_and_is_ended(tmp_path: Path):
    code = "import os, time; print(os.sched_getaffinity(0), flush=True); time.sleep(60)"
    core = min(os.sched_getaffinity(0))
    with child("sleeper", ["-c", code], folder=tmp_path, core=core) as sleeper:
        until_s = time.monotonic() + 10
        while not sleeper.log.read_text() and time.monotonic() < until_s:
            time.sleep(0.01)
        assert sleeper.log.read_text().strip() == str({core})
        assert sleeper.exit_status() is None
    assert sleeper.exit_status() == -15


def test_a_child_that_ends_early_is_reported_with_its_last_words(tmp_path: Path):
    with (
        child("loser", ["-c", "raise SystemExit('no luck')"], folder=tmp_path) as loser,
        pytest.raises(ProcessFailed, match=r"loser ended early with status 1\s+no luck"),
    ):
        sleep_while((loser,), 20)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path):
    with child("slow", ["-c", "import time; time.sleep(60)"], folder=tmp_path) as slow:
        with pytest.raises(ProcessFailed, match="took longer"):
            slow.finish(0.05)
        assert slow.exit_status() is not None


@pytest.mark.parametrize(("name", "make"), STEPS, ids=[name.strip() for name, _ in STEPS])
def test_every_step_of_the_frame_path_can_be_timed(name, make):
    assert _time_us(make(), 20) > 0
