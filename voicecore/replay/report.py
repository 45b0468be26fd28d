"""A replay's result as data, and many of them as one. Pure."""

from collections import Counter
from collections.abc import Mapping
from statistics import median_high
from typing import Any

import msgspec

from voicecore.replay.difference import Difference, TurnChange
from voicecore.replay.watch import Assumption

CHANGES: tuple[TurnChange, ...] = (
    "same", "text", "split", "merged", "regrouped", "lost", "new",
)  # fmt: skip
_LATENCIES_KEPT = 200_000


class CallReport(msgspec.Struct, frozen=True):
    """One call."""

    call: str
    difference: Difference
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """As JSON has it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        data["differs"] = self.difference.differs
        for side in ("before", "after"):
            outcome = getattr(self.difference, side)
            data["difference"][side]["latency_ms_median"] = outcome.latency_ms
        return data


class Failed(msgspec.Struct, frozen=True):
    """A call that could not be replayed."""

    call: str
    code: str
    detail: str


class Summary:
    """Over any number of calls, in bounded memory: no call is kept."""

    def __init__(self) -> None:
        self.calls = 0
        self.differing = 0
        self.failed: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.assumed: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}
        self._latencies_ms: dict[str, list[int]] = {"before": [], "after": []}

    def add(self, report: CallReport) -> None:
        self.calls += 1
        found = report.difference
        self.differing += found.differs
        self.changes.update(pair.change for pair in found.turns)
        self.assumed.update(one.kind for one in report.assumptions)
        for side, outcome in (("before", found.before), ("after", found.after)):
            counts = self._counts[side]
            counts["turns"] += len(outcome.turns)
            counts["interrupted"] += outcome.interrupted
            counts["cut_off"] += outcome.cut_off
            counts["ignored"] += outcome.ignored
            counts["fillers"] += outcome.fillers
            counts["drafts_used"] += outcome.drafts_used
            counts["drafts_dropped"] += outcome.drafts_dropped
            counts["dead_air"] += len(outcome.dead_air_ms)
            kept = self._latencies_ms[side]
            kept += outcome.latencies_ms[: _LATENCIES_KEPT - len(kept)]

    def add_failed(self, failed: Failed) -> None:
        self.failed[failed.code] += 1

    def side(self, name: str) -> Mapping[str, float | None]:
        """The figures of all calls, ``before`` or ``after``."""
        kept = sorted(self._latencies_ms[name])
        counts = self._counts[name]
        return {
            "turns": counts["turns"],
            "latency_ms_median": median_high(kept) if kept else None,
            "latency_ms_p95": kept[min(len(kept) * 95 // 100, len(kept) - 1)] if kept else None,
            "interrupted": counts["interrupted"],
            "cut_off": counts["cut_off"],
            "ignored": counts["ignored"],
            "fillers": counts["fillers"],
            "drafts_used": counts["drafts_used"],
            "drafts_dropped": counts["drafts_dropped"],
            "dead_air": counts["dead_air"],
        }

    def to_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "calls": self.calls,
            "differing": self.differing,
            "failed": dict(sorted(self.failed.items())),
            "changes": {change: self.changes[change] for change in CHANGES},
            "assumed": dict(sorted(self.assumed.items())),
            "before": self.side("before"),
            "after": self.side("after"),
        }
