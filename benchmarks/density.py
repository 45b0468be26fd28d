"""How many calls one core carries, and what a call costs."""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from benchmarks.bars import Bar, at_least, at_most, table, void
from benchmarks.callers import Callers, LoadGenerator, Phone
from benchmarks.figures import ratio, slope
from benchmarks.load import Load, Talking, run_load
from benchmarks.processes import ProcessFailed
from benchmarks.server import Server, has_media_port, serving, serving_bare, write_agent
from benchmarks.setting import Outcome, Setting, say

CALLS_LIMIT = 200
LATE_LIMIT_MS = 10.0
CPU_LIMIT_MS = 4.0
MEMORY_LIMIT_MB = 0.5

CALLS = (50, 100, 200, 300, 400)
QUICK_CALLS = (50, 200)
MORE_CALLS = 100
MOST_CALLS = 800
BUSY_SHARE = 0.85
"""Callers that use this much of their core can make no more calls."""

PEERS = (
    ("published measurements of peers on this kind of machine", "calls/core", "CPU ms/call-s"),
    ("Pipecat 1.14, its own turn detection", "8-12", "73-111"),
    ("Pipecat 1.14, turns from the speech-to-text", "20", "44"),
    ("LiveKit agents 1.8, VAD", "~30", "32-40"),
    ("a bare loop on picows, no engine", "500", "1.5"),
)
PIPECAT_CPU_MS, LIVEKIT_CPU_MS, BARE_CPU_MS = 44.0, 32.0, 1.5

_HEADING = (
    "callers", "port", "rec", "calls", "CPU ms/call-s", "at full speed", "core", "frames late p99",
    "max", "loop late p99", "at ear p99", "on wire p99", "callers late p99", "other load", "RSS MB",
    "reply p50/p99", "",
)  # fmt: skip


class Row(msgspec.Struct, frozen=True):
    """A run and how the server was set up in it."""

    media_port: bool
    recording: bool
    load: Load
    bare: bool = False
    """The baseline: no engine."""

    @property
    def verdict(self) -> str:
        if self.load.void:
            return "void: the callers were too slow"
        if self.load.holds(LATE_LIMIT_MS):
            return "ok"
        return "late (disturbed)" if self.load.disturbed else "late"


def measure(setting: Setting) -> Outcome:
    media_port = has_media_port()
    if not media_port:
        say("  without the extra `density` all calls come over the common HTTP port")
    rows = _climb(setting, Phone(), media_port)
    rows += _variants(setting, media_port)
    if media_port and (bare := _bare(setting, CALLS_LIMIT)) is not None:
        rows.append(bare)
    if setting.loadgen is not None:
        rows += _climb(setting, LoadGenerator(setting.loadgen), media_port)
    say("\n" + show(rows))
    say("\n" + table(PEERS))
    return Outcome(
        tuple(bars(rows)),
        {"rows": [msgspec.to_builtins(row) for row in rows], "peers": PEERS},
    )


def _climb(setting: Setting, callers: Callers, media_port: bool) -> list[Row]:
    """More calls each time, on and on while everything goes out in time."""
    rows: list[Row] = []
    counts = list(QUICK_CALLS if setting.quick else CALLS)
    while counts:
        count = counts.pop(0)
        row = _run(setting, callers, count, media_port=media_port, recording=False)
        if row is None:
            break
        rows.append(row)
        worn_out = row.load.void and row.load.report.core_share > BUSY_SHARE
        if worn_out or not row.load.holds(2 * LATE_LIMIT_MS):
            break
        can_go_on = row.verdict == "ok" and count < MOST_CALLS and not setting.quick
        if not counts and can_go_on:
            counts.append(count + MORE_CALLS)
    return rows


def _variants(setting: Setting, media_port: bool) -> list[Row]:
    """The same calls, recorded; and over the port that also serves HTTP."""
    counts = (CALLS_LIMIT,) if setting.quick else (CALLS_LIMIT // 2, CALLS_LIMIT)
    rows = [
        _run(setting, Phone(), count, media_port=media_port, recording=True) for count in counts
    ]
    if media_port and not setting.quick:
        rows.append(_run(setting, Phone(), CALLS_LIMIT, media_port=False, recording=False))
    return [row for row in rows if row is not None]


def _run(
    setting: Setting, callers: Callers, calls: int, *, media_port: bool, recording: bool
) -> Row | None:
    """A run, and a second one when the first was spoiled by others on the machine. None when
    it broke down; why has been said."""
    row = _try(setting, callers, calls, media_port=media_port, recording=recording)
    if row is None or setting.quick:
        return row
    spoiled = row.load.void and row.load.report.core_share <= BUSY_SHARE
    if not spoiled and row.verdict != "late (disturbed)":
        return row
    say("  once more")
    again = _try(setting, callers, calls, media_port=media_port, recording=recording)
    return row if again is None or again.load.void else again


def _try(
    setting: Setting, callers: Callers, calls: int, *, media_port: bool, recording: bool
) -> Row | None:
    port = "media" if media_port else "http"
    folder = setting.sub(f"{callers.name}-{calls}-{port}{'-recorded' if recording else ''}")
    server = serving(
        write_agent(folder, recording=recording),
        folder,
        core=setting.cores.server,
        media_port=media_port,
        nice=setting.nice,
    )
    load = _load(setting, server, callers, folder, calls)
    return None if load is None else _said(folder.name, Row(media_port, recording, load))


def _bare(setting: Setting, calls: int) -> Row | None:
    """The same calls with nothing behind the socket, for comparison within this session."""
    folder = setting.sub(f"phone-{calls}-bare")
    server = serving_bare(folder, core=setting.cores.server, nice=setting.nice)
    load = _load(setting, server, Phone(), folder, calls)
    return None if load is None else _said(folder.name, Row(True, False, load, bare=True))


def _load(
    setting: Setting,
    server: AbstractContextManager[Server],
    callers: Callers,
    folder: Path,
    calls: int,
) -> Load | None:
    """None when the run broke down; why has been said."""
    talking = Talking(window_s=5.0 if setting.quick else 10.0, nice=setting.nice)
    try:
        with server as running:
            return run_load(running, callers, folder, setting.cores, talking, calls)
    except ProcessFailed as error:
        say(f"  {folder.name}: no result: {error}")
        return None
    finally:
        shutil.rmtree(folder / "calls", ignore_errors=True)


def _said(name: str, row: Row) -> Row:
    load = row.load
    say(
        f"  {name}: {load.cpu_ms_per_call_s:.2f} CPU-ms per call-second, outgoing audio late "
        f"{load.late.frames.p99:.1f} ms (p99), {row.verdict}"
    )
    return row


def show(rows: Sequence[Row]) -> str:
    """All runs in one table. *At full speed* is the CPU time scaled to the fastest speed at
    which the core did the fixed work in this session."""
    if not rows:
        return "  no run gave a result"
    fastest_us = min(row.load.late.work_us for row in rows)
    lines: list[Sequence[str]] = [_HEADING]
    for row in rows:
        load, late, report = row.load, row.load.late, row.load.report
        scaled_ms = load.cpu_ms_per_call_s * fastest_us / late.work_us
        wire = report.late_on_wire_p99_ms
        lines.append(
            (
                load.callers,
                "bare" if row.bare else "media" if row.media_port else "http",
                "on" if row.recording else "off",
                str(load.calls),
                f"{load.cpu_ms_per_call_s:.2f}",
                f"{scaled_ms:.2f}",
                f"{load.core.server_share:.0%}",
                f"{late.frames.p99:.1f}",
                f"{late.frames.max:.1f}",
                f"{late.loop.p99:.1f}",
                f"{report.late_at_ear_p99_ms:.1f}",
                "-" if wire is None else f"{wire:.1f}",
                f"{report.send_late_p99_ms:.1f}",
                f"{load.core.other_share + load.core.steal_share:.0%}",
                f"{load.resident_mb:.0f}",
                f"{report.reply_p50_ms or 0:.0f}/{report.reply_p99_ms or 0:.0f}",
                row.verdict,
            )
        )
    return table(lines)


def bars(rows: Sequence[Row]) -> list[Bar]:
    """The limits, from runs in which the callers kept time."""
    plain = [
        row.load
        for row in rows
        if not (row.recording or row.bare) and row.media_port == rows[0].media_port
    ]
    bare = next((row.load for row in rows if row.bare and not row.load.void), None)
    made = []
    for callers in dict.fromkeys(load.callers for load in plain):
        made += _capacity_bars([load for load in plain if load.callers == callers], bare)
    by_phone = [load for load in plain if load.callers == Phone.name]
    made.append(_memory_bar("phone", by_phone))
    recorded = [row.load for row in rows if row.recording]
    made += _recorded_bars(recorded, by_phone)
    return made


def _recorded_bars(recorded: Sequence[Load], plain: Sequence[Load]) -> list[Bar]:
    made = []
    with_ = [load for load in recorded if load.calls == CALLS_LIMIT and not load.void]
    without = [load for load in plain if load.calls == CALLS_LIMIT]
    if with_ and without:
        cpu_ms = with_[0].cpu_ms_per_call_s
        made.append(
            at_most(
                f"recorded, {CALLS_LIMIT} calls: CPU per call-second",
                cpu_ms,
                CPU_LIMIT_MS,
                "ms",
                disturbed=with_[0].disturbed,
                baseline=f"x{ratio(cpu_ms, without[0].cpu_ms_per_call_s):.2f} of unrecorded",
            )
        )
    if len(recorded) > 1:
        made.append(_memory_bar("phone, recorded", recorded))
    return made


def _capacity_bars(loads: Sequence[Load], bare: Load | None) -> list[Bar]:
    callers = loads[0].callers
    names = (
        f"{callers}: calls per core",
        f"{callers}, {CALLS_LIMIT} calls: outgoing audio late, p99",
        f"{callers}, {CALLS_LIMIT} calls: CPU per call-second",
    )
    usable = [load for load in loads if not load.void]
    holding = [load.calls for load in usable if load.holds(LATE_LIMIT_MS)]
    at_limit = [load for load in usable if load.calls == CALLS_LIMIT]
    disturbed = any(load.disturbed for load in usable)
    open_end = usable and usable[-1].holds(LATE_LIMIT_MS)
    how_far = "or more; " if open_end else ""
    if not at_limit:
        why = f"no run with {CALLS_LIMIT} calls in which the callers kept time"
        return [
            void(names[0], CALLS_LIMIT, "calls", why),
            void(names[1], LATE_LIMIT_MS, "ms", why),
            void(names[2], CPU_LIMIT_MS, "ms", why),
        ]
    load = at_limit[0]
    late_ms = max(load.late.frames.p99, load.report.late_at_ear_p99_ms)
    cpu_ms = load.cpu_ms_per_call_s
    here = ""
    if bare is not None:
        # Both are taken at the same speed of the core.
        times = ratio(cpu_ms / load.late.work_us, bare.cpu_ms_per_call_s / bare.late.work_us)
        here = f"x{times:.2f} of the bare loop of this session; "
    return [
        at_least(
            names[0],
            max(holding, default=0),
            CALLS_LIMIT,
            "calls",
            disturbed=disturbed,
            baseline=f"{how_far}Pipecat 8-20, LiveKit ~30, bare loop 500",
        ),
        at_most(
            names[1],
            late_ms,
            LATE_LIMIT_MS,
            "ms",
            disturbed=load.disturbed,
            baseline=f"{loads[0].late.frames.p99:.1f} ms with {loads[0].calls} calls",
        ),
        at_most(
            names[2],
            cpu_ms,
            CPU_LIMIT_MS,
            "ms",
            baseline=f"{here}published: 1/{ratio(PIPECAT_CPU_MS, cpu_ms):.0f} of Pipecat, "
            f"1/{ratio(LIVEKIT_CPU_MS, cpu_ms):.0f} of LiveKit, "
            f"x{ratio(cpu_ms, BARE_CPU_MS):.1f} of a bare loop",
        ),
    ]


def _memory_bar(who: str, loads: Sequence[Load]) -> Bar:
    name = f"{who}: memory per call"
    points = [(float(load.calls), load.resident_mb) for load in loads]
    if len(points) < 2:
        return void(name, MEMORY_LIMIT_MB, "MB", "needs two numbers of calls")
    return at_most(
        name,
        slope(points),
        MEMORY_LIMIT_MB,
        "MB",
        baseline=f"slope over {len(points)} runs; {loads[0].idle_mb:.0f} MB without calls; "
        "Pipecat 0.44-57 MB, LiveKit 0.5-0.8 MB",
    )
