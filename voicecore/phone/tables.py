"""A run's report as tables to read, and what failed as text."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from voicecore.phone.failures import ADVICE
from voicecore.phone.measures import TurnReport
from voicecore.phone.report import CallReport, Distribution, RunReport

_SHOWN_CALLS = 5


def run_table(report: RunReport) -> RenderableType:
    """The turns of a single call, and the figures of all. Only as much as there is: nothing at
    all where no call came about."""
    parts: list[RenderableType] = []
    if report.outcomes.get("connect_failed") == report.calls:
        return Group()
    if report.calls == 1 and report.turns:
        parts.append(_turns(report.call_reports[0]))
    if (figures := _figures(report)).row_count:
        parts.append(figures)
    parts.append(_summary(report))
    unheard = sum(c.outcome == "completed" and not c.agent_audible_ms for c in report.call_reports)
    if unheard:
        of = f" in {unheard} of {_number(report.calls, 'call')}" if report.calls > 1 else ""
        parts.append(Text(f"the agent was never heard{of}", style="yellow"))
    for code, count in report.protocol_violations.items():
        detail = _first_detail(report, code)
        parts.append(Text(f"protocol violation {code} x{count}: {detail}", style="red"))
    return Group(*parts)


def failure_lines(report: RunReport) -> list[str]:
    """What failed, each kind of failure once, and what to do about it."""
    lines = []
    for code, count in report.error_codes.items():
        failed = [call for call in report.call_reports if call.error_code == code]
        what = "the call failed"
        if report.calls > 1:
            shown = ", ".join(str(call.index) for call in failed[:_SHOWN_CALLS])
            more = ", ..." if count > _SHOWN_CALLS else ""
            what = f"{count} of {report.calls} calls failed (number {shown}{more})"
        lines.append(f"{what}: {code}: {failed[0].detail}")
        lines.append(f"    what to do: {ADVICE[code]}")
    return lines


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
        f"{report.completed} of {_number(report.calls, 'call')} completed in "
        f"{report.duration_ms / 1000:.1f} s (ended by: {ends}); {_number(report.turns, 'turn')}, "
        f"{report.missing_replies} without a reply; "
        f"{report.agent_audible_ms / 1000:.1f} s of audible agent audio; "
        f"{_number(report.gaps, 'gap')}, {_number(report.late_frames, 'late frame')}",
        style="bold" if report.failed == 0 else "bold red",
    )


def _first_detail(report: RunReport, code: str) -> str:
    for call in report.call_reports:
        for detail in call.protocol_violation_details:
            if detail.startswith(f"{code}: "):
                return detail.removeprefix(f"{code}: ")
    return ""


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"
