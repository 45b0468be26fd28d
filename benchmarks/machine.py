"""Cores, processes and their clocks, read from Linux's ``/proc``."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.figures import median

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class MachineError(Exception):
    """This machine cannot run the measurement; the text says why."""


class Cores(msgspec.Struct, frozen=True):
    """The server alone on one core, callers on another."""

    server: int
    callers: int


def pick_cores() -> Cores:
    """:raises MachineError: fewer than two cores, or not Linux."""
    if not hasattr(os, "sched_getaffinity"):
        raise MachineError("the measurements pin processes to cores, which needs Linux")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise MachineError("two cores are needed: one for the server, one for the callers")
    return Cores(cores[0], cores[1])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this thread on one core for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fixed_work() -> int:
    """The calibration: always the same work of the interpreter, about 10 us."""
    total = 0
    for number in range(200):
        total += number & 7
    return total


def work_us(rounds: int = 400, repeats: int = 5) -> float:
    """CPU time of ``fixed_work`` in microseconds, on the core that this runs on."""
    times = []
    for _ in range(repeats):
        began_ns = time.thread_time_ns()
        for _ in range(rounds):
            fixed_work()
        times.append((time.thread_time_ns() - began_ns) / 1000 / rounds)
    return median(times)


class Usage(msgspec.Struct, frozen=True):
    """A reading of clocks: differences of two of them mean something.

    ``cpu_s``: of the process, all threads. ``busy_s`` and ``steal_s``: of its core, from all
    processes and from other machines on the same host."""

    at_s: float
    cpu_s: float
    busy_s: float
    steal_s: float


class Window(msgspec.Struct, frozen=True):
    """What happened on the server's core between two readings, as shares of the time."""

    wall_s: float
    cpu_s: float
    server_share: float
    other_share: float
    """Taken by other processes (and the kernel on behalf of others)."""
    steal_share: float


def usage(pid: int, core: int) -> Usage:
    """:raises OSError: the process is gone."""
    busy_s, steal_s = _core_times(core)
    return Usage(time.monotonic(), process_cpu_s(pid), busy_s, steal_s)


def window(before: Usage, after: Usage) -> Window:
    wall_s = after.at_s - before.at_s
    cpu_s = after.cpu_s - before.cpu_s
    other_s = after.busy_s - before.busy_s - cpu_s
    return Window(
        wall_s=round(wall_s, 3),
        cpu_s=round(cpu_s, 3),
        server_share=round(cpu_s / wall_s, 4),
        other_share=round(max(other_s, 0) / wall_s, 4),
        steal_share=round((after.steal_s - before.steal_s) / wall_s, 4),
    )


def process_cpu_s(pid: int) -> float:
    """User and system time of all threads.

    :raises OSError: the process is gone."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mb(pid: int) -> float:
    """Memory that the process keeps in RAM.

    :raises OSError: the process is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"no VmRSS for process {pid}")


def _core_times(core: int) -> tuple[float, float]:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq) * TICK_S, steal * TICK_S
    raise OSError(f"/proc/stat does not know core {core}")
