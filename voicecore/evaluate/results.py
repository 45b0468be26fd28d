"""What an evaluation found, as data: ``results.json``."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

RESULTS = "results.json"


class Judged(msgspec.Struct, frozen=True):
    """One decision of the agent and whether it was right. ``what`` is the kind of the caller's
    utterance, or ``unscored`` where there was nothing to decide."""

    at_ms: int
    what: str
    ok: bool
    detail: str


class SceneResult(msgspec.Struct, frozen=True):
    """``passed`` is None where nothing could be judged; ``void`` says why. ``call_dir`` and
    ``phone_wav`` are relative to the results' directory."""

    id: str
    group: str
    title: str
    passed: bool | None
    void: str | None
    figures: Mapping[str, float]
    judged: tuple[Judged, ...]
    call_dir: str
    phone_wav: str


class Bar(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a figure has to reach: exactly one is set."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


class Figure(msgspec.Struct, frozen=True):
    """A number over all scenes. ``published`` is what others report, in words; ``baseline`` the
    number of an earlier run."""

    name: str
    title: str
    value: float | None
    unit: str
    n: int
    ci95: tuple[float, float] | None = None
    bar: Bar | None = None
    published: str | None = None
    baseline: float | None = None

    @property
    def met(self) -> bool | None:
        """None where there is no bar, or nothing to compare."""
        return None if self.bar is None or self.value is None else self.bar.met(self.value)


class Results(msgspec.Struct, frozen=True):
    agent: str
    suite: str
    seed: int
    started_at: str
    machine: Mapping[str, Any]
    scenes: tuple[SceneResult, ...]
    figures: tuple[Figure, ...]


def write_results(folder: Path, results: Results) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(results), indent=1)
    (folder / RESULTS).write_bytes(encoded + b"\n")


def read_results(folder: Path) -> Results:
    """:raises msgspec.DecodeError, OSError: there are none."""
    return msgspec.json.decode((folder / RESULTS).read_bytes(), type=Results)


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """The 95 % score interval of a proportion (Wilson, 1927)."""
    if n == 0:
        return None
    z = 1.959964
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return round(max(centre - half, 0.0), 4), round(min(centre + half, 1.0), 4)


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank; ``values`` is not empty."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def bootstrap(
    values: Sequence[float], share: float | None, rounds: int = 2_000
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a quantile (of the mean for None), always the same for
    the same values."""
    if len(values) < 2:
        return None
    rng = random.Random(7)
    found = sorted(statistic(rng.choices(values, k=len(values)), share) for _ in range(rounds))
    return round(found[int(rounds * 0.025)], 4), round(found[int(rounds * 0.975) - 1], 4)


def statistic(values: Sequence[float], share: float | None) -> float:
    return sum(values) / len(values) if share is None else quantile(values, share)
