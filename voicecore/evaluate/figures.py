"""From verdicts to the suite's figures. Pure. ``docs/evaluate.md`` defines every one."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from voicecore.evaluate.judge import FAST_YIELD_MS, Verdict, overlap_class, wants_answer
from voicecore.evaluate.results import Bar, Figure, bootstrap, statistic, wilson
from voicecore.evaluate.scene import TURNS, Kind

REPEATED_MS = 40
"""More sound than this, heard twice, is noticed."""

ByGroup = Sequence[tuple[str, Verdict]]
"""Each verdict with its scene's group."""

_PASSIVE: Mapping[Kind, str] = {
    "backchannel": "backchannels",
    "tic": "coughs and vocal tics",
    "side_talk": "side talk",
    "background": "background speech",
}
_TAU_SELECTIVITY: Sequence[tuple[str, str, tuple[Kind, ...], str]] = (
    ("selectivity_backchannel", "S_BC", ("backchannel",),
     "tau-voice: best 0.97 (Pine), 0.84 with R_Y 0.90 (Qwen3.5-omni-plus)"),
    ("selectivity_vocal_tic", "S_VT", ("tic",), "tau-voice: best 0.62 (Gemini 3.1)"),
    ("selectivity_non_directed", "S_ND", ("side_talk",),
     "tau-voice: best 0.58 (cascaded baseline)"),
)  # fmt: skip
_OVERLAPS: Sequence[tuple[Kind, str, str]] = (
    ("interruption", "respond", "responds to an interruption"),
    ("backchannel", "resume", "goes on after a backchannel"),
    ("side_talk", "resume", "goes on after talk to others"),
    ("background", "resume", "goes on after background speech"),
)


def figures(verdicts: ByGroup, baseline: Mapping[str, float] | None = None) -> tuple[Figure, ...]:
    """All figures, also those without a single event (value None)."""
    scored = [(group, verdict) for group, verdict in verdicts if verdict.scored]
    only = [verdict for _, verdict in scored]
    made = [*_tau(only), *_own(scored), *_full_duplex(only)]
    if baseline is None:
        return tuple(made)
    return tuple(
        msgspec.structs.replace(figure, baseline=baseline.get(figure.name)) for figure in made
    )


def _tau(verdicts: Sequence[Verdict]) -> list[Figure]:
    eligible = [v for v in verdicts if wants_answer(v)]
    interruptions = _of(verdicts, "interruption")
    yields = [v.yield_ms for v in interruptions if v.yielded and v.yield_ms is not None]
    made = [
        _share(
            "response_rate",
            "R_R: turns that were answered",
            [bool(v.answered) for v in eligible],
            published="tau-voice: best 1.00",
        ),
        _time(
            "response_latency_mean",
            "L_R: from the turn's end to the answer, mean",
            _present(v.answer_ms for v in eligible),
            None,
        ),
        _share(
            "yield_rate",
            "R_Y: interruptions yielded to within 2 s",
            [bool(v.yielded) for v in interruptions],
            published="tau-voice: best 1.00 (gpt-realtime-1.5)",
        ),
        _time(
            "yield_latency_mean",
            "L_Y: from the interruption to the agent's silence, mean",
            yields,
            None,
            published="tau-voice: 420 ms (gpt-realtime-1.5)",
        ),
        _rate_of_talking_over(
            "agent_interruption_rate",
            "I_A: agent talks over the caller, per turn",
            [v for v in verdicts if v.happened.kind in TURNS],
            Bar(at_most=0.10),
            published="tau-voice: best 0.10 (Gemini 3.1), cascaded baseline 0.64",
        ),
    ]
    for name, sign, kinds, published in _TAU_SELECTIVITY:
        right = [bool(v.tau_ignored) for kind in kinds for v in _of(verdicts, kind)]
        title = f"{sign}: {_PASSIVE[kinds[0]]} without a pause (tau's rule)"
        made.append(_share(name, title, right, published=published))
    return made


def _own(by_group: ByGroup) -> list[Figure]:
    verdicts = [verdict for _, verdict in by_group]
    interruptions = _of(verdicts, "interruption")
    yields = [v.yield_ms for v in interruptions if v.yielded and v.yield_ms is not None]
    answers = _present(v.answer_ms for v in verdicts if v.happened.kind == "turn")
    passive = [v for v in verdicts if v.happened.kind not in TURNS]
    gaps = [gap for v in passive for gap in v.gaps_ms]
    lost = [ms for v in passive for ms in v.lost_ms]
    repeated = [ms for v in passive for ms in v.repeated_ms]
    fast = [v.yield_ms is not None and v.yield_ms <= FAST_YIELD_MS for v in interruptions]
    made = [
        _share("yields_within_500_ms", "interruptions yielded to within 500 ms", fast,
               Bar(at_least=0.97)),
        _time("yield_p50", "from the interruption to silence, median", yields, 0.5),
        _time("yield_p95", "the same, 95th percentile", yields, 0.95),
    ]  # fmt: skip
    for kind, name in _PASSIVE.items():
        bar = Bar(at_least=0.90) if kind in ("backchannel", "tic") else None
        right = [bool(v.ignored) for v in _of(verdicts, kind)]
        made.append(_share(f"ignores_{kind}", f"{name}: goes on with the same reply", right, bar))
    made += [
        _time("resume_gap_p50", "audible gap for a false alarm, median", gaps, 0.5),
        _time("resume_gap_max", "audible gap for a false alarm, longest", gaps, 1.0,
              Bar(at_most=700)),
        _count("words_lost", "false alarms after which sound was missing",
               [ms > 0 for ms in lost], Bar(at_most=0)),
        _count("words_repeated", f"false alarms after which over {REPEATED_MS} ms came twice",
               [ms > REPEATED_MS for ms in repeated], Bar(at_most=0)),
        _time("response_p50", "from a plain turn's end to the answer, median", answers, 0.5),
        _time("response_p95", "the same, 95th percentile", answers, 0.95),
        _rate_of_talking_over("disfluent_talked_over", "agent talks over unfinished, halting turns",
                              [v for group, v in by_group
                               if group == "disfluencies" and v.happened.kind == "turn"],
                              Bar(at_most=0.10)),
    ]  # fmt: skip
    return made


def _full_duplex(verdicts: Sequence[Verdict]) -> list[Figure]:
    made = []
    for kind, wanted, title in _OVERLAPS:
        found = [overlap_class(v) == wanted for v in _of(verdicts, kind) if v.over_agent]
        made.append(_share(f"fdb_{kind}_{wanted}", f"Full-Duplex-Bench 1.5: {title}", found))
    interruptions = [v for v in _of(verdicts, "interruption") if v.yielded]
    answers = _present(v.answer_ms for v in interruptions)
    title = "Full-Duplex-Bench 1.5: from the interruption's end to the answer, mean"
    made.append(_time("fdb_interruption_response", title, answers, None,
                      published="Full-Duplex-Bench 1: best 257 ms (Moshi)"))  # fmt: skip
    return made


def _of(verdicts: Iterable[Verdict], kind: Kind) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.happened.kind == kind]


def _present(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _share(
    name: str,
    title: str,
    right: Sequence[bool],
    bar: Bar | None = None,
    *,
    published: str | None = None,
) -> Figure:
    n = len(right)
    value = round(sum(right) / n, 4) if n else None
    return Figure(name, title, value, "share", n, wilson(sum(right), n), bar, published)


def _time(
    name: str,
    title: str,
    times_ms: Sequence[int],
    share: float | None,
    bar: Bar | None = None,
    *,
    published: str | None = None,
) -> Figure:
    value = round(statistic(times_ms, share), 1) if times_ms else None
    interval = bootstrap(times_ms, share)
    return Figure(name, title, value, "ms", len(times_ms), interval, bar, published)


def _rate_of_talking_over(
    name: str,
    title: str,
    turns: Sequence[Verdict],
    bar: Bar,
    *,
    published: str | None = None,
) -> Figure:
    """Events a turn, which can be more than one."""
    counts = [turn.talked_over for turn in turns]
    value = round(sum(counts) / len(counts), 4) if counts else None
    interval = bootstrap(counts, None)
    return Figure(name, title, value, "per turn", len(counts), interval, bar, published)


def _count(name: str, title: str, found: Sequence[bool], bar: Bar) -> Figure:
    value = float(sum(found)) if found else None
    return Figure(name, title, value, "count", len(found), None, bar)
