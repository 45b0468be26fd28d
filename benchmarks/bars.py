"""Limits that must hold, what was measured against them, and how that is shown."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Verdict = Literal["pass", "FAIL", "void", "skipped"]


class Bar(msgspec.Struct, frozen=True):
    """One limit. ``void``: the run could not show it, because the callers or other processes
    were in the way. ``baseline`` says what the figure stands beside."""

    name: str
    value: float | None
    limit: float
    unit: str
    verdict: Verdict
    baseline: str = ""


def at_most(
    name: str, value: float, limit: float, unit: str, *, disturbed: bool = False, baseline: str = ""
) -> Bar:
    return _bar(name, value, limit, unit, value <= limit, disturbed, baseline)


def at_least(
    name: str, value: float, limit: float, unit: str, *, disturbed: bool = False, baseline: str = ""
) -> Bar:
    return _bar(name, value, limit, unit, value >= limit, disturbed, baseline)


def void(name: str, limit: float, unit: str, why: str) -> Bar:
    return Bar(name, None, limit, unit, "void", why)


def skipped(name: str, limit: float, unit: str, why: str) -> Bar:
    return Bar(name, None, limit, unit, "skipped", why)


def exit_status(bars: Iterable[Bar]) -> int:
    """1 when a bar failed or nothing could be shown for it."""
    return int(any(bar.verdict in ("FAIL", "void") for bar in bars))


def show_bars(bars: Sequence[Bar]) -> str:
    """A line for each bar."""
    rows = [("bar", "measured", "limit", "", "beside")]
    for bar in bars:
        value = "-" if bar.value is None else f"{_number(bar.value)} {bar.unit}"
        rows.append(
            (bar.name, value, f"{_number(bar.limit)} {bar.unit}", bar.verdict, bar.baseline)
        )
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; the first row is the heading."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join("  " + line for line in lines)


def _bar(
    name: str,
    value: float,
    limit: float,
    unit: str,
    holds: bool,
    disturbed: bool,
    baseline: str,
) -> Bar:
    if math.isnan(value):
        return void(name, limit, unit, "nothing was measured")
    verdict: Verdict = "pass" if holds else "void" if disturbed else "FAIL"
    if verdict == "void":
        baseline = "other processes were on the server's core; " + baseline
    return Bar(name, round(value, 3), limit, unit, verdict, baseline)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
