"""From the sweeps and the calls to the figures of the pause sweep. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from voicecore.evaluate.pause_agents import BASELINE_MS
from voicecore.evaluate.pause_record import TakenCall
from voicecore.evaluate.pause_replay import RecordedTurn, Said, Stopped, TurnDecisions
from voicecore.evaluate.pause_sweep import (
    COUNTED_MS,
    DELAYS_MS,
    SHARES,
    Curve,
    Point,
    at_delay,
    at_share,
    delay_interval,
    share_interval,
)
from voicecore.evaluate.results import Bar, Figure, bootstrap, quantile, statistic, wilson
from voicecore.providers.stt import SttFinal

PUBLISHED_SHARES = {
    300: "eot-bench: 9.9 % (LiveKit v1), 12.9 % (Deepgram Flux), 35.2 % (SmartTurn v3.2), "
    "55.6 % (silence alone)",
    600: "eot-bench: 4.5 % (LiveKit v1), 9.9 % (Deepgram Flux), 14.8 % (SmartTurn v3.2), "
    "21.7 % (silence alone)",
}
PUBLISHED_DELAYS = {
    0.05: "eot-bench: 543 ms (LiveKit v1), 1151 ms (Deepgram Flux), 1600 ms (silence alone)",
    0.10: "eot-bench: 295 ms (LiveKit v1), 548 ms (Deepgram Flux), 1000 ms (silence alone)",
}
HALVED = 0.5


class Sweeps(msgspec.Struct, frozen=True):
    """``heard`` counts everything, from the last voiced sample; ``policy`` counts the
    policy's wait alone, as eot-bench does: silences begin and end where the VAD has it, and the
    speech-to-text takes no time. ``bare`` is silence
    alone, measured in what was sent."""

    configured: Point | None
    configured_policy: Point
    heard: Curve
    heard_silence: Curve
    policy: Curve
    policy_silence: Curve
    bare: Curve


class Wire(msgspec.Struct, frozen=True):
    """What the phone heard: pauses that count, those of them that the agent spoke into, and the
    times from the turns' ends to the answers."""

    pauses: int
    cut_off: int
    turns: int
    turns_cut_off: int
    answers_ms: tuple[int, ...]


def wire_of_calls(calls: Sequence[TakenCall]) -> Wire:
    pauses = cut_off = turns_cut_off = turns = 0
    answers: list[int] = []
    for call in calls:
        for turn in call.turns:
            turns += 1
            spoke = _cut_pauses(turn, call.answers_ms)
            counted = sum(_counts(pause.duration_ms) for pause in turn.pauses)
            cut_off += min(spoke, counted)
            pauses += counted
            turns_cut_off += spoke > 0
            after = [ms for ms in call.answers_ms if turn.end_ms <= ms < turn.end_ms + 3000]
            answers += [min(after) - turn.end_ms] if after else []
    return Wire(pauses, cut_off, turns, turns_cut_off, tuple(answers))


def _cut_pauses(turn: RecordedTurn, answers_ms: Sequence[int]) -> int:
    """Into how many stretches from pause to pause the agent began to speak."""
    begins = [pause.from_ms for pause in turn.pauses if _counts(pause.duration_ms)]
    ends = [*begins[1:], turn.end_ms]
    return sum(
        any(begin <= ms < end for ms in answers_ms)
        for begin, end in zip(begins, ends, strict=False)
    )


def _counts(duration_ms: int) -> bool:
    return COUNTED_MS[0] <= duration_ms <= COUNTED_MS[1]


def pause_figures(
    sweeps: Sweeps,
    configured: Wire,
    silence: Wire,
    turns: Sequence[RecordedTurn],
    seed: int,
) -> tuple[Figure, ...]:
    made: list[Figure] = []
    for ms in DELAYS_MS:
        made.append(_share(sweeps.policy, sweeps.policy_silence, ms, "policy", seed))
    for share in SHARES:
        made.append(_delay(sweeps.policy, sweeps.policy_silence, share, "policy", seed))
    for ms in DELAYS_MS:
        made.append(_share(sweeps.heard, sweeps.heard_silence, ms, "heard", seed))
    for share in SHARES:
        made.append(_delay(sweeps.heard, sweeps.heard_silence, share, "heard", seed))
    made += _configured(sweeps, seed)
    made += _on_the_wire(configured, silence)
    late = [ms for turn in turns for ms in lateness_ms(turn)]
    made += [
        Figure(f"pauses_text_late_p{percent}", f"pauses: from the VAD's stop to the text, {name}",
               round(quantile(late, percent / 100), 1) if late else None, "ms", len(late),
               bootstrap(late, percent / 100))
        for percent, name in ((50, "median"), (95, "95th percentile"))
    ]  # fmt: skip
    return tuple(made)


_VIEWS = {
    "policy": "waits alone",
    "heard": "with VAD and text",
}


def _share(ours: Curve, silence: Curve, ms: int, view: str, seed: int) -> Figure:
    """The bar: cut-offs at 300 ms halved against silence alone, measured in the same run."""
    best, baseline = at_delay(ours, ms), at_delay(silence, ms)
    bar = None
    if view == "policy" and ms == DELAYS_MS[0] and baseline is not None:
        bar = Bar(at_most=round(baseline.cut_off_share * HALVED, 4))
    interval = None if best is None else share_interval(best, seed)
    return Figure(
        f"pauses_{view}_cutoffs_at_{ms}",
        f"pauses: false cut-offs at {ms} ms mean delay, {_VIEWS[view]}",
        None if best is None else round(best.cut_off_share, 4),
        "share",
        0 if best is None else _pauses(best),
        None if interval is None else (round(interval.low, 4), round(interval.high, 4)),
        bar,
        PUBLISHED_SHARES[ms],
        None if baseline is None else round(baseline.cut_off_share, 4),
    )


def _delay(ours: Curve, silence: Curve, share: float, view: str, seed: int) -> Figure:
    best, baseline = at_share(ours, share), at_share(silence, share)
    interval = None if best is None else delay_interval(best, seed)
    return Figure(
        f"pauses_{view}_delay_at_{round(share * 100)}",
        f"pauses: mean delay at {share:.0%} false cut-offs, {_VIEWS[view]}",
        None if best is None else round(best.delay_ms, 1),
        "ms",
        0 if best is None else len(best.turns),
        None if interval is None else (round(interval.low, 1), round(interval.high, 1)),
        None,
        PUBLISHED_DELAYS[share],
        None if baseline is None else round(baseline.delay_ms, 1),
    )


def _configured(sweeps: Sweeps, seed: int) -> list[Figure]:
    """The agent's own settings, against silence alone that waits as long."""
    made: list[Figure] = []
    for view, own, silence in (
        ("policy", sweeps.configured_policy, sweeps.policy_silence),
        ("heard", sweeps.configured, sweeps.heard_silence),
    ):
        if own is None or not math.isfinite(own.delay_ms):
            continue
        same = at_delay(silence, own.delay_ms)
        share, delay = share_interval(own, seed), delay_interval(own, seed)
        made += [
            Figure(f"pauses_{view}_configured_cutoffs",
                   f"pauses: false cut-offs as configured, {_VIEWS[view]} "
                   "(baseline: silence only, as long a wait)",
                   round(own.cut_off_share, 4), "share", _pauses(own),
                   (round(share.low, 4), round(share.high, 4)), None, None,
                   None if same is None else round(same.cut_off_share, 4)),
            Figure(f"pauses_{view}_configured_delay",
                   f"pauses: mean delay as configured, {_VIEWS[view]}",
                   round(own.delay_ms, 1), "ms", len(own.turns),
                   (round(delay.low, 1), round(delay.high, 1))),
        ]  # fmt: skip
    return made


def _on_the_wire(configured: Wire, silence: Wire) -> list[Figure]:
    def share(cut_off: int, n: int) -> float | None:
        return round(cut_off / n, 4) if n else None

    def mean(times: Sequence[int]) -> float | None:
        return round(statistic(times, None), 1) if times else None

    against = f"baseline: {BASELINE_MS} ms of silence alone"
    return [
        Figure("pauses_wire_cutoffs", f"pauses: the agent is heard within a turn ({against})",
               share(configured.cut_off, configured.pauses), "share", configured.pauses,
               wilson(configured.cut_off, configured.pauses), None, None,
               share(silence.cut_off, silence.pauses)),
        Figure("pauses_wire_turns_cut_off", f"pauses: turns that it spoke into ({against})",
               share(configured.turns_cut_off, configured.turns), "share", configured.turns,
               wilson(configured.turns_cut_off, configured.turns), None, None,
               share(silence.turns_cut_off, silence.turns)),
        Figure("pauses_wire_delay", f"pauses: from the turn's end to the answer, mean ({against})",
               mean(configured.answers_ms), "ms", len(configured.answers_ms),
               bootstrap(configured.answers_ms, None), None, None, mean(silence.answers_ms)),
    ]  # fmt: skip


def _pauses(point: Point) -> int:
    return sum(turn.pauses for turn in point.turns)


def lateness_ms(turn: RecordedTurn) -> list[int]:
    """How long each text took from when the VAD noticed that speech had stopped."""
    made: list[int] = []
    asked: list[int] = []
    for event in turn.events:
        if isinstance(event, Stopped):
            asked.append(event.at_ms)
        if not isinstance(event, Said) or not isinstance(event.event, SttFinal):
            continue
        if event.event.flushed and asked:
            made.append(event.at_ms - asked.pop(0))
    return made


def wrong_decisions(decisions: Sequence[TurnDecisions]) -> list[dict[str, Any]]:
    """Every pause in which the agent as configured would have taken the turn, and every end that
    it waited long for: what it had understood by then says why."""
    made: list[dict[str, Any]] = []
    for decided in decisions:
        turn = decided.turn
        made += [
            {
                "turn": turn.number,
                "kind": turn.kind,
                "said": turn.text,
                "pause_ms": hold.pause.duration_ms,
                "cut_off_after_ms": hold.decided_ms,
                "understood": hold.text,
            }
            for hold in decided.holds
            if hold.cut_off
        ]
        if decided.delay_ms is None or decided.delay_ms > 1000:
            made.append(
                {
                    "turn": turn.number,
                    "kind": turn.kind,
                    "said": turn.text,
                    "delay_ms": decided.delay_ms,
                    "understood": decided.text,
                }
            )
    return made
