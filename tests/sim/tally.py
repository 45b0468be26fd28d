"""What many simulated calls came to."""

from collections import Counter

import msgspec

from tests.sim.coverage import REQUIRED
from tests.sim.run import Outcome

WILD_CALLS = 2000
"""So many calls are wild enough, or something is wrong with the draw."""


class Tally(msgspec.Struct):
    calls: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    steps: int = 0
    failed: list[Outcome] = []
    known: dict[str, list[int]] = {}
    """The seeds that show a known finding."""
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    covered: Counter[str] = msgspec.field(default_factory=Counter)
    word_errors: Counter[int] = msgspec.field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        self.calls += 1
        self.simulated_s += outcome.simulated_s
        self.steps += outcome.steps
        self.reasons.update(outcome.reasons)
        self.covered.update(outcome.covered)
        self.word_errors.update(outcome.word_errors)
        for name in outcome.known:
            self.known.setdefault(name, []).append(outcome.seed)
        if outcome.wrong:
            self.failed.append(outcome)

    def add(self, other: "Tally") -> None:
        self.calls += other.calls
        self.simulated_s += other.simulated_s
        self.cpu_s += other.cpu_s
        self.steps += other.steps
        self.failed += other.failed
        self.reasons += other.reasons
        self.covered += other.covered
        self.word_errors += other.word_errors
        for name, seeds in other.known.items():
            self.known.setdefault(name, []).extend(seeds)

    @property
    def missing(self) -> list[str]:
        """What should have happened in so many calls, and did not."""
        enough = self.calls >= WILD_CALLS
        return [name for name in REQUIRED if enough and not self.covered[name]]

    def summary(self, took_s: float) -> str:
        """What is told at the end; ``took_s`` of real time."""
        told = [
            f"{self.calls} calls, {self.simulated_s / 3600:.1f} call-hours in {took_s:.0f} s "
            f"({self.simulated_s / 60 / took_s:.0f} call-hours a minute; "
            f"{self.simulated_s / self.cpu_s:.0f} call-seconds a CPU-second)",
            f"ended by: {_listed(self.reasons)}",
            f"of 1,000 calls, with: {_listed(self._per_thousand())}",
            f"replies cut short by how many words the history is off: {self._errors()}",
            f"{len(self.failed)} calls broke an invariant",
        ]
        for name, seeds in sorted(self.known.items()):
            told.append(f"known, in {len(seeds)} calls ({seeds[0]}): {name}")
        if self.missing:
            told.append(f"never happened: {', '.join(self.missing)}")
        return "\n".join(told)

    def _per_thousand(self) -> dict[str, int]:
        return {name: round(1000 * count / self.calls) for name, count in self.covered.items()}

    def _errors(self) -> str:
        more = sum(count for error, count in self.word_errors.items() if error > 1)
        return (
            f"none {self.word_errors[0]}, one {self.word_errors[1]}, more where the server cannot "
            f"know {more}"
        )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
