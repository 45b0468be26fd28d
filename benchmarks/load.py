"""One run: a server on its core, callers on theirs, and the window in which all talk."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.callers import Callers, CallersReport
from benchmarks.figures import Spread, median, own_stall_ms, spread
from benchmarks.instrumented import ServerSamples
from benchmarks.machine import Cores, Window, resident_mb, usage, window
from benchmarks.processes import ProcessFailed, child, sleep_while
from benchmarks.server import Server

START_TIMEOUT_S = 30.0
OTHER_SHARE_LIMIT = 0.1
"""More of the server's core in other hands than this, and a missed limit proves nothing."""


class Lateness(msgspec.Struct, frozen=True):
    """Within one window, milliseconds. ``frames``: outgoing audio against its deadline;
    ``loop``: a 10 ms timer; ``own``: the part of that which the server itself caused."""

    frames: Spread
    loop: Spread
    own: Spread
    gc: Spread
    work_us: float
    """CPU time of the calibration's fixed work."""


class Load(msgspec.Struct, frozen=True):
    """What one run measured."""

    callers: str
    calls: int
    cpu_ms_per_call_s: float
    resident_mb: float
    idle_mb: float
    core: Window
    late: Lateness
    report: CallersReport
    began_s: float
    ended_s: float

    @property
    def disturbed(self) -> bool:
        return self.core.other_share + self.core.steal_share > OTHER_SHARE_LIMIT

    @property
    def void(self) -> bool:
        """The callers were the bottleneck: nothing was learned about the server."""
        return self.report.is_bottleneck

    def holds(self, limit_ms: float) -> bool:
        """Everything went out in time, and every call got what it should."""
        late_ms = max(self.late.frames.p99, self.report.late_at_ear_p99_ms)
        return late_ms < limit_ms and not self.report.failed_calls


class Talking(msgspec.Struct, frozen=True):
    """How long the calls talk, and what the processes may take."""

    window_s: float
    settle_s: float = 2.0
    """Before the window, once all are connected."""
    slack_s: float = 3.0
    """After it."""
    ramp_per_s: float = 100.0
    nice: int = 0


def run_load(
    server: Server, callers: Callers, folder: Path, cores: Cores, talking: Talking, calls: int
) -> Load:
    """Make the calls, measure while all of them talk, hang up, and end the server.

    :raises ProcessFailed: a process ended early, or calls were missing."""
    idle_mb = resident_mb(server.pid)
    arguments = callers.arguments(
        server.url,
        folder,
        calls=calls,
        ramp_per_s=talking.ramp_per_s,
        talk_s=talking.settle_s + talking.window_s + talking.slack_s,
    )
    with child(
        callers.name, arguments, folder=folder, core=cores.callers, nice=talking.nice
    ) as caller:
        server.wait_for_calls(calls, calls / talking.ramp_per_s + START_TIMEOUT_S)
        sleep_while((server.process, caller), talking.settle_s)
        before = usage(server.pid, cores.server)
        sleep_while((server.process, caller), talking.window_s)
        after = usage(server.pid, cores.server)
        memory_mb = resident_mb(server.pid)
        live = server.live_calls()
        caller.finish(talking.window_s + START_TIMEOUT_S)
        if live < calls:
            raise caller.failed(f"had only {live} of {calls} calls at the end of the window")
        try:
            report = callers.report(folder)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise caller.failed(f"left no report: {error!r}") from error
    core = window(before, after)
    return Load(
        callers=callers.name,
        calls=calls,
        cpu_ms_per_call_s=round(core.cpu_s * 1000 / core.wall_s / calls, 3),
        resident_mb=round(memory_mb, 2),
        idle_mb=round(idle_mb, 2),
        core=core,
        late=lateness(server.end(), before.at_s, after.at_s),
        report=report,
        began_s=before.at_s,
        ended_s=after.at_s,
    )


def lateness(samples: ServerSamples, began_s: float, ended_s: float) -> Lateness:
    """:raises ProcessFailed: nothing was sampled in that time."""

    def inside(at_s: Sequence[float], values: Sequence[float]) -> list[float]:
        return [value for at, value in zip(at_s, values, strict=True) if began_s <= at <= ended_s]

    stalls = map(own_stall_ms, samples.ticks_late_ms, samples.ticks_cpu_ms)
    work_us = inside(samples.work_at_s, samples.work_us)
    frames = spread(inside(samples.frames_due_s, samples.frames_late_ms))
    if not work_us or not frames.n:
        raise ProcessFailed("the server's stopwatch saw no audio leave in the window")
    return Lateness(
        frames=frames,
        loop=spread(inside(samples.ticks_at_s, samples.ticks_late_ms)),
        own=spread(inside(samples.ticks_at_s, list(stalls))),
        gc=spread(inside(samples.gc_at_s, samples.gc_ms)),
        work_us=round(median(work_us), 3),
    )
