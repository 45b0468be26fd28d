"""What a joining call does to the calls that are there.

A hundred calls talk; then others join at a steady rate, are greeted and hang up. Outgoing audio
and a 10 ms timer are watched without joins and with them. What a join costs the loop is judged
by the timer's *own* lateness, which is no more than the CPU time that the loop's thread used
since the tick before: another process on the core cannot make a join look slow.
"""

import shutil
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.bars import Bar, at_most, table
from benchmarks.callers import SHORT_CALL, Phone
from benchmarks.figures import Spread, near, own_stall_ms, ratio, spread
from benchmarks.instrumented import ServerSamples
from benchmarks.load import START_TIMEOUT_S, Lateness, lateness
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
    near_over_limit: int
    apart_over_limit: int
    other_share: float


def measure(setting: Setting) -> Outcome:
    folder = setting.sub(f"joins-to-{CALLS}")
    window_s = 5.0 if setting.quick else 12.0
    agent = write_agent(folder, recording=False)
    try:
        with serving(
            agent,
            folder,
            core=setting.cores.server,
            media_port=has_media_port(),
            nice=setting.nice,
        ) as server:
            joins = _run(setting, server, folder, window_s)
    finally:
        shutil.rmtree(folder / "calls", ignore_errors=True)
    say("\n" + _show(joins))
    return Outcome(tuple(_bars(joins)), {"joins": msgspec.to_builtins(joins)})


def _run(setting: Setting, server: Server, folder: Path, window_s: float) -> Joins:
    """Calls, a window without joins, a window with them.

    :raises ProcessFailed: a process ended early."""
    phone, short = Phone(), Phone(SHORT_CALL)
    joining_calls = round(window_s * JOINS_PER_S)
    joiners_folder = folder / "joiners"
    joiners_folder.mkdir(exist_ok=True)
    talk_s = 2 * window_s + START_UP_S
    talking = phone.arguments(server.url, folder, calls=CALLS, ramp_per_s=100, talk_s=talk_s)
    core = setting.cores.callers
    with child("phone", talking, folder=folder, core=core, nice=setting.nice) as callers:
        server.wait_for_calls(CALLS, START_TIMEOUT_S)
        sleep_while((server.process, callers), 2)
        say(f"  {CALLS} calls talk, nobody joins")
        quiet_s = time.monotonic()
        sleep_while((server.process, callers), window_s)
        quiet_end_s = time.monotonic()
        say(f"  {JOINS_PER_S:.0f} calls join each second")
        joining = short.arguments(
            server.url, joiners_folder, calls=joining_calls, ramp_per_s=JOINS_PER_S, talk_s=60
        )
        before = usage(server.pid, setting.cores.server)
        with child("joiners", joining, folder=folder, core=core, nice=setting.nice) as joiners:
            _wait(joiners, server, callers, window_s)
        core_window = window(before, usage(server.pid, setting.cores.server))
    samples = server.end()
    joins_s = [at_s for at_s in samples.joins_at_s if at_s > quiet_end_s]
    if len(joins_s) < joining_calls // 2:
        raise ProcessFailed(f"only {len(joins_s)} of {joining_calls} calls joined")
    return _joins(samples, joins_s, (quiet_s, quiet_end_s), core_window.other_share)


def _wait(joiners: Child, server: Server, callers: Child, window_s: float) -> None:
    until_s = time.monotonic() + window_s + START_UP_S
    while joiners.exit_status() is None and time.monotonic() < until_s:
        sleep_while((server.process, callers), 0.2)
    if joiners.finish(1.0):
        raise joiners.failed("did not complete its calls")


def _joins(
    samples: ServerSamples,
    joins_s: Sequence[float],
    quiet: tuple[float, float],
    other_share: float,
) -> Joins:
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
        quiet=lateness(samples, *quiet),
        joining=lateness(samples, began_s, ended_s),
        near_own=spread(close),
        apart_own=spread(apart),
        near_over_limit=sum(stall_ms > LIMIT_MS for stall_ms in close),
        apart_over_limit=sum(stall_ms > LIMIT_MS for stall_ms in apart),
        other_share=other_share,
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


def _bars(joins: Joins) -> list[Bar]:
    disturbed = joins.other_share > 0.1
    quiet, joining = joins.quiet.frames, joins.joining.frames
    return [
        at_most(
            f"stalls: largest stall of the loop near one of {joins.joins} joins",
            joins.near_own.max,
            LIMIT_MS,
            "ms",
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
