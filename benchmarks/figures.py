"""The arithmetic of the measurements. Pure."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from voicecore.turns.sentences import SentenceStream


class Spread(msgspec.Struct, frozen=True):
    """Nearest-rank percentiles of ``n`` values; zeros when there are none."""

    n: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


def percentile(ranked: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order.

    :raises ValueError: no values, or a percentage outside 0 to 100."""
    if not ranked or not 0 <= percent <= 100:
        raise ValueError(f"percentile {percent} of {len(ranked)} values")
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(int(rank) - 1, 0)]


def spread(values: Iterable[float]) -> Spread:
    ranked = sorted(values)
    if not ranked:
        return Spread()
    return Spread(
        len(ranked),
        round(percentile(ranked, 50), 3),
        round(percentile(ranked, 99), 3),
        round(ranked[-1], 3),
    )


def median(values: Sequence[float]) -> float:
    """:raises ValueError: no values."""
    ranked = sorted(values)
    if not ranked:
        raise ValueError("median of no values")
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of y over x: with two points, their difference quotient.

    :raises ValueError: fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        raise ValueError("a slope needs two different x")
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def scripted_delay_ms(
    reply: str, *, first_token_ms: float, token_interval_ms: float, first_audio_ms: float
) -> float:
    """What scripted vendors take from the end-of-turn decision to the first audio: until the
    token that completes the first sentence (one word is one token; the sentence is cut by the
    engine's own ``SentenceStream``), and from there until the voice's first chunk.

    :raises ValueError: an empty reply."""
    tokens = re.findall(r"\S+\s*", reply)
    if not tokens:
        raise ValueError("an empty reply has no first sentence")
    sentences = SentenceStream()
    needed = next(
        (place for place, token in enumerate(tokens) if sentences.push(token)), len(tokens) - 1
    )
    return first_token_ms + needed * token_interval_ms + first_audio_ms


def own_stall_ms(lateness_ms: float, cpu_ms: float) -> float:
    """The part of a timer's lateness that the process can have caused: no more than the CPU
    time it used since the timer before. The rest is other processes on the same core."""
    return min(lateness_ms, cpu_ms)


def near(moments: Sequence[float], at: float, *, earlier: float, later: float) -> bool:
    """Whether one of the (sorted) moments lies within ``earlier`` before or ``later`` after
    ``at``."""
    found = bisect_left(moments, at - earlier)
    return found < len(moments) and moments[found] <= at + later


def ratio(value: float, baseline: float) -> float:
    """``value`` in units of the baseline; infinite when that is zero."""
    return value / baseline if baseline else float("inf")
