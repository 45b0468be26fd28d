"""Many policies over the same recorded turns: how often each cuts callers off, and how long it
lets them wait. Pure.

As eot-bench counts (github.com/livekit/eot-bench, ``metrics.py``): a pause within a turn counts
when it lasts 200 ms to 5 s, a cut-off is a decision within it, and the cut-off share is that of
the pauses that count. The delay is the mean, over the turns' true ends, of the time from the end
of speech to the decision. "Cut-offs at 300 ms" is the least share among the policies swept whose
mean delay is 300 ms or less, "delay at 5%" the least mean delay among those that cut off 5% or
fewer; where no policy is within the limit there is no figure.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from msgspec import structs

from voicecore.evaluate.pause_replay import RecordedTurn, TurnDecisions, replay
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.settings import TurnSettings

COUNTED_MS = (200, 5000)
DELAYS_MS = (300, 600)
SHARES = (0.05, 0.10)
_RESAMPLES = 1000
_EPSILON = 1e-9

MIN_MS = (100, 160, 200, 250, 300, 400, 500, 600, 800, 1100, 1600)
OPEN_MORE_MS = (0, 100, 200, 400)
MAX_MS = (300, 400, 600, 800, 1200, 1600, 2200)
SILENCES_MS = tuple(range(200, 2501, 50))


class Counted(msgspec.Struct, frozen=True):
    """One turn under one policy."""

    cut_off: int
    pauses: int
    delay_ms: int | None
    """None: no text came, so there is no end to decide; the same for every policy."""


class Point(msgspec.Struct, frozen=True):
    """One policy: where it lies between cutting off and waiting."""

    policy: str
    cut_off_share: float
    delay_ms: float
    turns: tuple[Counted, ...]


class Curve(msgspec.Struct, frozen=True):
    """All policies of a kind that were tried."""

    name: str
    points: tuple[Point, ...]


class Interval(msgspec.Struct, frozen=True):
    low: float
    high: float


def judge(decisions: Iterable[TurnDecisions], policy: str) -> Point:
    return point(policy, tuple(counted(turn) for turn in decisions))


def counted(turn: TurnDecisions) -> Counted:
    shortest_ms, longest_ms = COUNTED_MS
    holds = [hold for hold in turn.holds if shortest_ms <= hold.pause.duration_ms <= longest_ms]
    cut_off = sum(hold.cut_off for hold in holds)
    return Counted(cut_off, len(holds), turn.delay_ms)


def point(policy: str, turns: tuple[Counted, ...]) -> Point:
    pauses = sum(turn.pauses for turn in turns)
    cut_off = sum(turn.cut_off for turn in turns)
    delays = [turn.delay_ms for turn in turns if turn.delay_ms is not None]
    delay_ms = sum(delays) / len(delays) if delays else float("inf")
    return Point(policy, cut_off / max(pauses, 1), delay_ms, turns)


def sweep(turns: Sequence[RecordedTurn], settings: TurnSettings, *, by_vad: bool = False) -> Curve:
    """The agent's policy over a grid of its three waits."""
    points = []
    for policy in policies(settings.endpointing):
        tried = structs.replace(settings, endpointing=policy)
        name = f"{policy.min_silence_ms}/{policy.open_silence_ms}/{policy.max_silence_ms} ms"
        points.append(judge(replay(turns, tried, by_vad=by_vad), name))
    return Curve("agent", tuple(points))


def policies(base: EndpointingPolicy) -> tuple[EndpointingPolicy, ...]:
    tried = {(base.min_silence_ms, base.open_silence_ms, base.max_silence_ms): base}
    for least in MIN_MS:
        for more in OPEN_MORE_MS:
            for most in MAX_MS:
                waits = (least, min(least + more, most), most)
                if least <= most and waits not in tried:
                    tried[waits] = structs.replace(
                        base,
                        min_silence_ms=waits[0],
                        open_silence_ms=waits[1],
                        max_silence_ms=waits[2],
                        adapts=True,
                    )
    return tuple(tried.values())


def sweep_silence(
    turns: Sequence[RecordedTurn], settings: TurnSettings, *, by_vad: bool = False
) -> Curve:
    """The same machine with one fixed wait, whatever was said."""
    points = []
    for silence_ms in SILENCES_MS:
        policy = structs.replace(
            settings.endpointing, min_silence_ms=silence_ms, max_silence_ms=10_000, adapts=False
        )
        tried = structs.replace(settings, endpointing=policy, vendor_ends_turns=False)
        decisions = replay(turns, tried, by_vad=by_vad)
        points.append(judge(decisions, f"{silence_ms} ms"))
    return Curve("silence only", tuple(points))


def bare_silence(turns: Sequence[RecordedTurn]) -> Curve:
    """Silence alone, measured in what the caller sent: no VAD to be late and no text to wait
    for. This is eot-bench's own baseline."""
    shortest_ms, longest_ms = COUNTED_MS
    points = []
    for silence_ms in range(shortest_ms, longest_ms + 1, 10):
        made = []
        for turn in turns:
            durations = [pause.duration_ms for pause in turn.pauses]
            counts = [d for d in durations if shortest_ms <= d <= longest_ms]
            made.append(Counted(sum(d > silence_ms for d in counts), len(counts), silence_ms))
        points.append(point(f"{silence_ms} ms", tuple(made)))
    return Curve("silence alone", tuple(points))


def frontier(curve: Curve) -> tuple[Point, ...]:
    """The points that no other beats in both, by delay."""
    best: list[Point] = []
    for tried in sorted(curve.points, key=lambda point: (point.delay_ms, point.cut_off_share)):
        if not best or tried.cut_off_share < best[-1].cut_off_share - _EPSILON:
            best.append(tried)
    return tuple(best)


def at_delay(curve: Curve, delay_ms: float) -> Point | None:
    """The policy that cuts off least among those that wait no longer on average."""
    within = [tried for tried in curve.points if tried.delay_ms <= delay_ms + _EPSILON]
    return min(within, key=lambda tried: (tried.cut_off_share, tried.delay_ms), default=None)


def at_share(curve: Curve, share: float) -> Point | None:
    """The policy that waits least among those that cut off no more."""
    within = [
        tried
        for tried in curve.points
        if tried.cut_off_share <= share + _EPSILON and math.isfinite(tried.delay_ms)
    ]
    return min(within, key=lambda tried: (tried.delay_ms, tried.cut_off_share), default=None)


def share_interval(tried: Point, seed: int) -> Interval:
    """95% of resamplings of whole turns, for the cut-off share."""
    picks = _resampled(len(tried.turns), seed)
    cut_off = np.array([turn.cut_off for turn in tried.turns])[picks].sum(axis=1)
    pauses = np.array([turn.pauses for turn in tried.turns])[picks].sum(axis=1)
    return _middle(cut_off / np.maximum(pauses, 1))


def delay_interval(tried: Point, seed: int) -> Interval:
    """The same for the mean delay, in ms."""
    delays = np.array([turn.delay_ms for turn in tried.turns if turn.delay_ms is not None])
    if not len(delays):
        return Interval(math.inf, math.inf)
    return _middle(delays[_resampled(len(delays), seed)].mean(axis=1))


def _resampled(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))


def _middle(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
