"""A run's report as tables to read."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicecore.phone.measures import TurnReport
from voicecore.phone.report import CallReport, Distribution, RunReport


def run_table(report: RunReport) -> RenderableType:
    """One call: its turns, then its figures. Many calls: the figures, then what failed."""
    parts: list[RenderableType] = []
    if report.calls == 1 and report.turns:
        parts.append(_turns(report.call_reports[0]))
    parts += [_figures(report), _summary(report)]
    for call in report.call_reports:
        if call.outcome != "completed":
            parts.append(Text(f"call {call.index}: {call.outcome}: {call.detail}", style="red"))
    for code, count in report.protocol_violations.items():
        detail = _first_detail(report, code)
        parts.append(Text(f"protocol violation {code} x{count}: {detail}", style="red"))
    return Group(*parts)


def _turns(call: CallReport) -> Table:
    table = Table(title="what the caller said, and heard", box=box.SIMPLE_HEAD)
    for column in ("at s", "kind", "text"):
        table.add_column(column, overflow="fold")
    for column in ("reply ms", "overlap ms", "to silence ms", "agent pause ms"):
        table.add_column(column, justify="right")
    for turn in call.turns:
        table.add_row(f"{turn.started_ms / 1000:.2f}", turn.kind, turn.text, *_cells(turn))
    return table


def _cells(turn: TurnReport) -> tuple[str, str, str, str]:
    pause = _shown(turn.agent_pause_ms)
    if turn.agent_pause_ms is None and turn.agent_speaking and turn.kind in ("murmur", "cough"):
        pause = "stopped"
    return (
        _shown(turn.reply_latency_ms),
        _shown(turn.overlap_ms or None),
        _shown(turn.interruption_to_silence_ms),
        pause,
    )


def _figures(report: RunReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("ms")
    for column in ("n", "p50", "p90", "p99", "max"):
        table.add_column(column, justify="right")
    rows: tuple[tuple[str, Distribution], ...] = (
        ("reply latency", report.reply_latency_ms),
        ("interruption to silence", report.interruption_to_silence_ms),
        ("overlap", report.overlap_ms),
        ("agent pause after murmur or cough", report.agent_pause_ms),
        ("first agent audio", report.first_audio_ms),
        ("gaps in agent speech", report.gap_ms),
        ("late frames", report.late_frame_ms),
        ("connect", report.connect_ms),
        ("the phone's own lateness", report.send_late_ms),
    )
    for name, figures in rows:
        cells = (figures.p50, figures.p90, figures.p99, figures.max)
        if figures.n:
            table.add_row(name, str(figures.n), *(_shown(cell) for cell in cells))
    return table


def _summary(report: RunReport) -> Text:
    ends = ", ".join(f"{who} {count}" for who, count in sorted(report.ended_by.items()))
    return Text(
        f"{report.completed} of {report.calls} calls completed in {report.duration_ms / 1000:.1f} s"
        f" (ended by: {ends}); {report.turns} turns, {report.missing_replies} without a reply; "
        f"{report.agent_audible_ms / 1000:.1f} s of audible agent audio; "
        f"{report.gaps} gaps, {report.late_frames} late frames",
        style="bold" if report.failed == 0 else "bold red",
    )


def _first_detail(report: RunReport, code: str) -> str:
    for call in report.call_reports:
        for detail in call.protocol_violation_details:
            if detail.startswith(f"{code}: "):
                return detail.removeprefix(f"{code}: ")
    return ""


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"
