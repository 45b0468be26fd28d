"""What the caller heard, and when: JSON with stable keys, and tables to read. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from voicecore.phone.caller import Outcome
from voicecore.phone.failures import failure_code
from voicecore.phone.measures import GapReport, TurnReport, gaps, own_late, turns
from voicecore.phone.record import CallRecord, EndedBy


class Distribution(msgspec.Struct, frozen=True):
    """Nearest-rank percentiles; all None when ``n`` is 0."""

    n: int = 0
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None


class CallReport(msgspec.Struct, frozen=True):
    """One call. ``error_code`` is None when it completed, else a key of ``failures.ADVICE``.
    ``agent_audio_ms`` is what the server sent, ``agent_heard_ms`` what was played
    of it, ``agent_audible_ms`` what of that was loud enough to hear. ``first_audio_ms``: from
    the stream's start to the first audible agent audio."""

    index: int
    outcome: Outcome
    error_code: str | None
    detail: str
    ended_by: EndedBy
    close_code: int | None
    connect_ms: int
    duration_ms: int
    first_audio_ms: int | None
    agent_audio_ms: int
    agent_heard_ms: int
    agent_audible_ms: int
    agent_discarded_ms: int
    marks: int
    clears: int
    missing_replies: int
    late_frames: int
    late_frames_max_ms: float
    frames_sent: int
    frames_skipped: int
    turns: tuple[TurnReport, ...]
    gaps: tuple[GapReport, ...]
    protocol_violations: dict[str, int]
    protocol_violation_details: tuple[str, ...]


class RunReport(msgspec.Struct, frozen=True):
    """All calls of a run. ``send_late_ms`` is the phone's own lateness against its schedule: a
    run in which it is not small measured the phone, not the server. ``phone_cpu_cores`` is the
    share of a core that the phone itself took."""

    url: str
    carrier: str
    calls: int
    completed: int
    failed: int
    outcomes: dict[str, int]
    error_codes: dict[str, int]
    ended_by: dict[str, int]
    turns: int
    missing_replies: int
    first_audio_ms: Distribution
    reply_latency_ms: Distribution
    overlap_ms: Distribution
    interruption_to_silence_ms: Distribution
    agent_pause_ms: Distribution
    gaps: int
    gap_ms: Distribution
    late_frames: int
    late_frame_ms: Distribution
    protocol_violations: dict[str, int]
    agent_audio_ms: int
    agent_audible_ms: int
    connect_ms: Distribution
    send_late_ms: Distribution
    phone_cpu_cores: float
    duration_ms: int
    call_reports: tuple[CallReport, ...]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def distribution(values: Iterable[float]) -> Distribution:
    ranked = sorted(values)
    if not ranked:
        return Distribution()

    def rank(percent: int) -> float:
        return round(ranked[max(-(-len(ranked) * percent // 100) - 1, 0)], 3)

    return Distribution(len(ranked), rank(50), rank(90), rank(99), round(ranked[-1], 3))


def call_report(record: CallRecord) -> CallReport:
    turned = turns(record)
    late = own_late(record)
    first_us = record.audible[0].start_us if record.audible else None
    return CallReport(
        index=record.index,
        outcome=record.outcome,
        error_code=failure_code(record),
        detail=record.detail,
        ended_by=record.ended_by,
        close_code=record.close_code,
        connect_ms=record.connect_us // 1000,
        duration_ms=record.duration_us // 1000,
        first_audio_ms=None if first_us is None else first_us // 1000,
        agent_audio_ms=record.received_us // 1000,
        agent_heard_ms=record.heard_us // 1000,
        agent_audible_ms=sum(s.end_us - s.start_us for s in record.audible) // 1000,
        agent_discarded_ms=record.discarded_us // 1000,
        marks=record.marks,
        clears=len(record.clears),
        missing_replies=_missing(turned),
        late_frames=len(late),
        late_frames_max_ms=max((d.end_us - d.start_us for d in late), default=0) / 1000,
        frames_sent=record.frames_sent,
        frames_skipped=record.frames_skipped,
        turns=turned,
        gaps=gaps(record),
        protocol_violations=dict(sorted(record.violations.items())),
        protocol_violation_details=record.violation_details,
    )


def run_report(
    url: str,
    carrier: str,
    records: Sequence[CallRecord],
    *,
    duration_us: int,
    send_late_us: Iterable[int],
    cpu_us: int,
) -> RunReport:
    reports = tuple(call_report(record) for record in records)
    turned = [turn for report in reports for turn in report.turns]
    holes = [gap for report in reports for gap in report.gaps]
    late = [dry for record in records for dry in own_late(record)]
    violations: Counter[str] = Counter()
    for report in reports:
        violations.update(report.protocol_violations)
    completed = sum(report.outcome == "completed" for report in reports)
    return RunReport(
        url=url,
        carrier=carrier,
        calls=len(reports),
        completed=completed,
        failed=len(reports) - completed,
        outcomes=dict(Counter(report.outcome for report in reports)),
        error_codes=dict(Counter(r.error_code for r in reports if r.error_code is not None)),
        ended_by=dict(Counter(report.ended_by for report in reports)),
        turns=len(turned),
        missing_replies=sum(report.missing_replies for report in reports),
        first_audio_ms=_present(report.first_audio_ms for report in reports),
        reply_latency_ms=_present(turn.reply_latency_ms for turn in turned),
        overlap_ms=distribution(turn.overlap_ms for turn in turned),
        interruption_to_silence_ms=_present(t.interruption_to_silence_ms for t in turned),
        agent_pause_ms=_present(turn.agent_pause_ms for turn in turned),
        gaps=len(holes),
        gap_ms=distribution(gap.gap_ms for gap in holes),
        late_frames=len(late),
        late_frame_ms=distribution((dry.end_us - dry.start_us) / 1000 for dry in late),
        protocol_violations=dict(sorted(violations.items())),
        agent_audio_ms=sum(report.agent_audio_ms for report in reports),
        agent_audible_ms=sum(report.agent_audible_ms for report in reports),
        connect_ms=distribution(r.connect_ms for r in reports if r.ended_by != "nobody"),
        send_late_ms=distribution(late_us / 1000 for late_us in send_late_us),
        phone_cpu_cores=round(cpu_us / max(duration_us, 1), 3),
        duration_ms=duration_us // 1000,
        call_reports=reports,
    )


def _missing(turned: Sequence[TurnReport]) -> int:
    """Questions without an answer. The last may be a goodbye: it is not counted."""
    asked = [turn for turn in turned if turn.kind not in ("murmur", "cough")]
    return sum(turn.reply_latency_ms is None for turn in asked[:-1])


def _present(values: Iterable[float | None]) -> Distribution:
    return distribution(value for value in values if value is not None)
