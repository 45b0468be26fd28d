"""What a joining call does to the calls that are there.

A hundred calls talk; then others join at a steady rate, are greeted and hang up. Outgoing audio
and a 10 ms timer are watched without joins and with them. What a join costs the loop is judged
by the timer's *own* lateness, which is no more than the CPU time that the loop's thread used
since the tick before. A second run, on an event loop that can time its callbacks one by one,
finds the longest of them in CPU time: whatever else the machine does, no frame waits longer for
one piece of work.
"""

import shutil
import time
from bisect import bisect_left
from pathlib import Path

import msgspec

from benchmarks.bars import Bar, at_most, table
from benchmarks.callers import SHORT_CALL, Phone
from benchmarks.figures import Spread, near, own_stall_ms, ratio, spread
from benchmarks.instrumented import SLOW_MS, ServerSamples
from benchmarks.load import OTHER_SHARE_LIMIT, START_TIMEOUT_S, Lateness, lateness
from benchmarks.machine import usage, window
from benchmarks.processes import Child, ProcessFailed, child, sleep_while
from benchmarks.server import Server, has_media_port, serving, write_agent
from benchmarks.setting import Outcome, Setting, say

CALLS = 100
JOINS_PER_S = 8.0
LIMIT_MS = 5.0
AFTER_JOIN_S = 0.05
"""A join's work is over by then: upgrade, start, greeting."""
BEFORE_JOIN_S = 0.005
START_UP_S = 15.0
"""What two callers' processes may take before they call."""


class Joins(msgspec.Struct, frozen=True):
    """``near_*``: ticks within a join's time, ``apart_*``: the others in the same window."""

    joins: int
    quiet: Lateness
    joining: Lateness
    near_own: Spread
    apart_own: Spread
    other_share: float


class Callbacks(msgspec.Struct, frozen=True):
    """The longest callbacks by CPU time, in milliseconds, while calls joined."""

    joins: int
    longest_ms: float
    over_limit: int
    longest: tuple[tuple[float, str], ...]


class Observed(msgspec.Struct, frozen=True):
    """One run. ``quiet_s`` is the window in which nobody joined."""

    samples: ServerSamples
    quiet_s: tuple[float, float]
    joins_s: tuple[float, ...]
    other_share: float


def measure(setting: Setting) -> Outcome:
    window_s = 5.0 if setting.quick else 12.0
    joins = _joins(_run(setting, "uvloop", window_s, window_s))
    say("\n" + _show(joins))
    callbacks = _callbacks(_run(setting, "callbacks", 1.0, window_s, time_callbacks=True))
    say("\n  longest callbacks, CPU ms, while calls joined:")
    for cpu_ms, name in callbacks.longest:
        say(f"    {cpu_ms:5.2f}  {name}")
    figures = {
        "joins": msgspec.to_builtins(joins),
        "callbacks": msgspec.to_builtins(callbacks),
    }
    return Outcome(tuple(_bars(joins, callbacks)), figures)


def _run(
    setting: Setting, name: str, quiet_s: float, joining_s: float, *, time_callbacks: bool = False
) -> Observed:
    folder = setting.sub(name)
    agent = write_agent(folder, recording=False)
    try:
        with serving(
            agent,
            folder,
            core=setting.cores.server,
            media_port=has_media_port(),
            nice=setting.nice,
            time_callbacks=time_callbacks,
        ) as server:
            return _observe(setting, server, folder, quiet_s, joining_s)
    finally:
        shutil.rmtree(folder / "calls", ignore_errors=True)


def _observe(
    setting: Setting, server: Server, folder: Path, quiet_s: float, joining_s: float
) -> Observed:
    """Calls, a window without joins, a window with them.

    :raises ProcessFailed: a process ended early."""
    phone, short = Phone(), Phone(SHORT_CALL, once=True)
    wanted = round(joining_s * JOINS_PER_S)
    joiners_folder = folder / "joiners"
    joiners_folder.mkdir(exist_ok=True)
    talk_s = quiet_s + joining_s + START_UP_S
    talking = phone.arguments(server.url, folder, calls=CALLS, ramp_per_s=100, talk_s=talk_s)
    joining = short.arguments(
        server.url, joiners_folder, calls=wanted, ramp_per_s=JOINS_PER_S, talk_s=0
    )
    core = setting.cores.callers
    with child("phone", talking, folder=folder, core=core, nice=setting.nice) as callers:
        server.wait_for_calls(CALLS, START_TIMEOUT_S)
        sleep_while((server.process, callers), 2)
        say(f"  {CALLS} calls talk, nobody joins")
        began_s = time.monotonic()
        sleep_while((server.process, callers), quiet_s)
        ended_s = time.monotonic()
        say(f"  {JOINS_PER_S:.0f} calls join each second")
        before = usage(server.pid, setting.cores.server)
        with child("joiners", joining, folder=folder, core=core, nice=setting.nice) as joiners:
            _wait(joiners, server, callers, joining_s)
        core_window = window(before, usage(server.pid, setting.cores.server))
    samples = server.end()
    joins_s = tuple(at_s for at_s in samples.joins_at_s if at_s > ended_s)
    if len(joins_s) < wanted // 2:
        raise ProcessFailed(f"only {len(joins_s)} of {wanted} calls joined")
    return Observed(samples, (began_s, ended_s), joins_s, core_window.other_share)


def _wait(joiners: Child, server: Server, callers: Child, window_s: float) -> None:
    until_s = time.monotonic() + window_s + START_UP_S
    while joiners.exit_status() is None and time.monotonic() < until_s:
        sleep_while((server.process, callers), 0.2)
    if joiners.finish(1.0):
        raise joiners.failed("did not complete its calls")


def _joins(observed: Observed) -> Joins:
    samples, joins_s = observed.samples, observed.joins_s
    began_s, ended_s = joins_s[0], joins_s[-1] + AFTER_JOIN_S
    close: list[float] = []
    apart: list[float] = []
    first = bisect_left(samples.ticks_at_s, began_s)
    for place in range(first, len(samples.ticks_at_s)):
        at_s = samples.ticks_at_s[place]
        if at_s > ended_s:
            break
        stall_ms = own_stall_ms(samples.ticks_late_ms[place], samples.ticks_cpu_ms[place])
        joining = near(joins_s, at_s, earlier=AFTER_JOIN_S, later=BEFORE_JOIN_S)
        (close if joining else apart).append(stall_ms)
    return Joins(
        joins=len(joins_s),
        quiet=lateness(samples, *observed.quiet_s),
        joining=lateness(samples, began_s, ended_s),
        near_own=spread(close),
        apart_own=spread(apart),
        other_share=observed.other_share,
    )


def _callbacks(observed: Observed) -> Callbacks:
    samples, joins_s = observed.samples, observed.joins_s
    began_s, ended_s = joins_s[0] - BEFORE_JOIN_S, joins_s[-1] + AFTER_JOIN_S
    slow = sorted(
        (
            (round(cpu_ms, 3), name)
            for at_s, cpu_ms, name in zip(
                samples.slow_at_s, samples.slow_ms, samples.slow_names, strict=True
            )
            if began_s <= at_s <= ended_s
        ),
        reverse=True,
    )
    return Callbacks(
        joins=len(joins_s),
        longest_ms=slow[0][0] if slow else SLOW_MS,
        over_limit=sum(cpu_ms > LIMIT_MS for cpu_ms, _ in slow),
        longest=tuple(slow[:5]),
    )


def _show(joins: Joins) -> str:
    def line(name: str, value: Spread) -> tuple[str, ...]:
        return (name, f"{value.p50:.2f}", f"{value.p99:.2f}", f"{value.max:.2f}", str(value.n))

    return table(
        [
            ("lateness, ms", "p50", "p99", "max", "n"),
            line("outgoing audio, nobody joins", joins.quiet.frames),
            line("outgoing audio, calls join", joins.joining.frames),
            line("loop timer, nobody joins", joins.quiet.loop),
            line("loop timer, calls join", joins.joining.loop),
            line("own part, nobody joins", joins.quiet.own),
            line("own part, calls join: apart from joins", joins.apart_own),
            line("own part, calls join: near joins", joins.near_own),
            line("garbage collection, calls join", joins.joining.gc),
        ]
    )


def _bars(joins: Joins, callbacks: Callbacks) -> list[Bar]:
    disturbed = joins.other_share > OTHER_SHARE_LIMIT
    quiet, joining = joins.quiet.frames, joins.joining.frames
    return [
        at_most(
            f"stalls: longest callback during {callbacks.joins} joins, CPU time",
            callbacks.longest_ms,
            LIMIT_MS,
            "ms",
            baseline="a join stalls Pipecat 50-690 ms",
        ),
        at_most(
            f"stalls: largest stall of the loop near {joins.joins} joins",
            joins.near_own.max,
            LIMIT_MS,
            "ms",
            disturbed=disturbed,
            baseline=f"{joins.quiet.own.max:.1f} ms while nobody joins; "
            "Pipecat 108-590 ms, LiveKit 107-167 ms",
        ),
        at_most(
            "stalls: outgoing audio of the others later by, p99",
            max(joining.p99 - quiet.p99, 0.0),
            LIMIT_MS,
            "ms",
            disturbed=disturbed,
            baseline=f"{joining.p99:.1f} ms with joins, {quiet.p99:.1f} ms without: "
            f"x{ratio(joining.p99, quiet.p99):.2f}",
        ),
    ]
