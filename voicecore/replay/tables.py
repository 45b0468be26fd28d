"""What differs, as tables to read."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicecore.replay.difference import Difference, Op, TurnPair
from voicecore.replay.outcome import Outcome, Turn
from voicecore.replay.report import CHANGES, CallReport, Summary

_STYLES = {"=": "", "-": "red", "+": "green"}
_LONGEST_SHOWN = 20
_WORDS_KEPT = 6
"""Of a run that both have, so many words are shown at each of its ends."""


def call_table(report: CallReport) -> RenderableType:
    """One call: its turns, its other replies, its figures."""
    found = report.difference
    parts: list[RenderableType] = [Text(f"{report.call}", style="bold")]
    if found.turns:
        parts.append(_turns(found.turns))
    if any(pair.differs for pair in found.remarks):
        parts.append(_remarks(found))
    parts.append(_figures(found))
    if not found.differs:
        parts.append(Text("no difference", style="green"))
    parts += [Text(line, style="yellow") for line in _caveats(report)]
    return Group(*parts)


def summary_table(summary: Summary) -> RenderableType:
    """All calls together."""
    table = _two_sides()
    before, after = summary.side("before"), summary.side("after")
    for name in before:
        table.add_row(name.replace("_", " "), _number(before[name]), _number(after[name]))
    changes = ", ".join(
        f"{summary.changes[change]} {change}" for change in CHANGES if summary.changes[change]
    )
    lines = [f"{summary.calls} calls, {summary.differing} differ; turns: {changes or 'none'}"]
    lines += [f"{count} not replayed: {code}" for code, count in sorted(summary.failed.items())]
    return Group(table, *(Text(line) for line in lines))


def _turns(pairs: Iterable[TurnPair]) -> Table:
    table = Table(title="the caller's turns", box=box.SIMPLE_HEAD)
    for name in ("at s", "change"):
        table.add_column(name)
    for name in ("before", "after"):
        table.add_column(name, overflow="fold", ratio=2)
    for name in ("ms", "ms"):
        table.add_column(name, justify="right")
    table.add_column("heard of the answer", overflow="fold", ratio=3)
    for pair in pairs:
        start_ms = min(turn.start_ms for turn in (*pair.before, *pair.after))
        table.add_row(
            f"{start_ms / 1000:.2f}",
            Text(pair.change, style="" if pair.change == "same" else "yellow"),
            _texts(pair.before),
            "=" if pair.change == "same" else _texts(pair.after),
            _latencies(pair.before),
            _latencies(pair.after),
            words_shown(pair.heard),
        )
    return table


def _remarks(found: Difference) -> Table:
    table = Table(title="what else the agent said", box=box.SIMPLE_HEAD)
    for name in ("kind", "heard"):
        table.add_column(name, overflow="fold")
    for pair in found.remarks:
        one = pair.before or pair.after
        if pair.differs and one is not None:
            table.add_row(one.kind, words_shown(pair.heard))
    return table


def _figures(found: Difference) -> Table:
    table = _two_sides()
    old, new = found.before, found.after

    def row(name: str, before: object, after: object) -> None:
        style = "" if before == after else "yellow"
        table.add_row(name, str(before), Text(str(after), style=style))

    row("turns", len(old.turns), len(new.turns))
    row("reply latency, median ms", _number(old.latency_ms), _number(new.latency_ms))
    row("interrupted replies", old.interrupted, new.interrupted)
    row("answers taken back (caller went on)", old.cut_off, new.cut_off)
    row("answers begun early: used, dropped", _drafts(old), _drafts(new))
    row("fillers", old.fillers, new.fillers)
    row("speech over the agent", _verdicts(old), _verdicts(new))
    row("silences over 3 s", _silences(old), _silences(new))
    row("ended by", old.ended or "-", new.ended or "-")
    return table


def _two_sides() -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    return table


def words_shown(runs: Sequence[tuple[Op, str]]) -> Text:
    """``-taken away-`` and ``+added+``; long runs that both have are shortened."""
    shown = Text()
    for op, text in runs:
        words = text.split()
        if op == "=" and len(runs) > 1 and len(words) > _LONGEST_SHOWN:
            text = " ".join((*words[:_WORDS_KEPT], "…", *words[-_WORDS_KEPT:]))
        if shown:
            shown.append(" ")
        shown.append(text if op == "=" else f"{op}{text}{op}", style=_STYLES[op])
    return shown


def _texts(turns: Iterable[Turn]) -> Text:
    return Text(" | ".join(turn.text for turn in turns) or "-")


def _latencies(turns: Iterable[Turn]) -> str:
    return " | ".join(_number(turn.latency_ms) for turn in turns) or "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _verdicts(outcome: Outcome) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcome.verdicts.items()) or "-"


def _drafts(outcome: Outcome) -> str:
    return f"{outcome.drafts_used}, {outcome.drafts_dropped}"


def _silences(outcome: Outcome) -> str:
    longest_ms = max(outcome.dead_air_ms, default=0)
    return f"{len(outcome.dead_air_ms)} (to {longest_ms / 1000:.1f} s)" if longest_ms else "0"


def _caveats(report: CallReport) -> list[str]:
    lines = list(report.notes)
    kinds = [one.kind for one in report.assumptions]
    if count := kinds.count("answer"):
        lines.append(f"assumed: {count} answers, to turns that the call did not have as they are")
    if count := kinds.count("voice"):
        lines.append(f"assumed: the length of {count} sentences that the call's voice did not say")
    if count := kinds.count("tool"):
        lines.append(f"assumed: {count} tools' results, which the call does not have")
    return lines
