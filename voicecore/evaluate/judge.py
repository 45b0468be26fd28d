"""Was the agent right? Judged by what the caller heard, and when. Pure.

Every time is on the phone's clock, milliseconds since the stream began. The definitions are in
``docs/evaluate.md``; those called tau's are tau-voice's (sierra-research/tau2-bench,
docs/interaction-metrics.md).
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from voicecore.evaluate.heard import Segment
from voicecore.evaluate.results import Judged
from voicecore.evaluate.scene import TURNS, Kind

YIELD_MS = 2_000
"""tau: an agent that still speaks after this has not yielded."""
FAST_YIELD_MS = 500
TAU_IGNORE_MS = 1_000
"""tau: an agent that stops within this after what it should ignore has not ignored it."""
TAU_TICK_MS = 200
AFTER_IGNORED_MS = 2_000
"""tau: an agent that begins to speak this soon after what it should ignore has answered it."""
ANSWER_MS = 5_000
"""An answer that begins later is none: by then a caller asks whether anybody is there."""

Class = Literal["respond", "resume", "neither"]


class Happened(msgspec.Struct, frozen=True):
    """An utterance as it was sent: from its first to its last voiced frame."""

    kind: Kind
    text: str
    start_ms: int
    end_ms: int
    pauses_ms: tuple[tuple[int, int], ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """What came of one utterance. None: it does not apply.

    ``over_agent``: the agent was speaking. ``yield_ms``: from the onset to the end of the agent's
    speech, which was not gone on with. ``answer_ms``: from the end to the answer. ``talked_over``:
    how often the agent began to speak within the utterance. ``ignored``: it went on with the same
    reply (or stayed silent). ``tau_ignored``: the same by tau's rule, which counts a pause as
    stopping. ``gaps_ms``: audible silences of the agent's for it. ``lost_ms``, ``repeated_ms``:
    audio missing or doubled where it went on."""

    happened: Happened
    over_agent: bool
    scored: bool = True
    why: str = ""
    yielded: bool | None = None
    yield_ms: int | None = None
    answered: bool | None = None
    answer_ms: int | None = None
    talked_over: int = 0
    ignored: bool | None = None
    tau_ignored: bool | None = None
    gaps_ms: tuple[int, ...] = ()
    lost_ms: tuple[int, ...] = ()
    repeated_ms: tuple[int, ...] = ()

    @property
    def judged(self) -> Judged:
        what = self.happened.kind if self.scored else "unscored"
        return Judged(self.happened.start_ms, what, not self.scored or self.right, self.why)

    @property
    def right(self) -> bool:
        if self.happened.kind == "interruption":
            return self.yielded is True
        if self.happened.kind == "turn":
            return self.answered is True and self.talked_over == 0
        return self.ignored is True


def judge(
    happened: Sequence[Happened], heard: Sequence[Segment], call_end_ms: int
) -> tuple[Verdict, ...]:
    """A verdict for each utterance, in order."""
    verdicts = []
    for number, one in enumerate(happened):
        later = happened[number + 1 :]
        until_ms = min((other.start_ms for other in later), default=call_end_ms)
        if one.kind == "turn":
            verdicts.append(_turn(one, heard, until_ms))
        elif one.kind == "interruption":
            verdicts.append(_interruption(one, heard, until_ms))
        else:
            verdicts.append(_passive(one, heard, until_ms))
    return tuple(verdicts)


def _speaking(heard: Sequence[Segment], at_ms: int) -> int | None:
    """The place of the segment that sounds at a moment."""
    for place, segment in enumerate(heard):
        if segment.start_ms <= at_ms < segment.end_ms:
            return place
    return None


def _talked_over(one: Happened, heard: Sequence[Segment]) -> int:
    return sum(one.start_ms < segment.start_ms < one.end_ms for segment in heard)


def _answer(one: Happened, heard: Sequence[Segment], until_ms: int) -> int | None:
    """From the end of the utterance to the answer; negative when it came too early and went
    on."""
    limit_ms = min(until_ms, one.end_ms + ANSWER_MS)
    begun_ms = 0
    for segment in heard:
        if not segment.continues:
            begun_ms = segment.start_ms
        if begun_ms <= one.start_ms:
            continue
        if segment.end_ms > one.end_ms and segment.start_ms <= limit_ms:
            return segment.start_ms - one.end_ms
    return None


def _turn(one: Happened, heard: Sequence[Segment], until_ms: int) -> Verdict:
    answer_ms = _answer(one, heard, until_ms)
    talked_over = _talked_over(one, heard)
    if talked_over:
        first = next(s.start_ms for s in heard if one.start_ms < s.start_ms < one.end_ms)
        why = f"began to speak {first - one.start_ms} ms into the turn, {_place(one, first)}"
    elif answer_ms is None:
        why = f"no answer within {ANSWER_MS} ms"
    else:
        why = f"answered after {answer_ms} ms"
    return Verdict(
        one,
        over_agent=_speaking(heard, one.start_ms) is not None,
        why=why,
        answered=answer_ms is not None,
        answer_ms=answer_ms if answer_ms is not None and answer_ms > 0 else None,
        talked_over=talked_over,
    )


def _place(one: Happened, at_ms: int) -> str:
    since_ms = at_ms - one.start_ms
    for start_ms, end_ms in one.pauses_ms:
        if start_ms <= since_ms <= end_ms:
            return f"{since_ms - start_ms} ms into a pause of {end_ms - start_ms} ms"
    return f"{one.end_ms - at_ms} ms before its end"


def _interruption(one: Happened, heard: Sequence[Segment], until_ms: int) -> Verdict:
    place = _speaking(heard, one.start_ms)
    if place is None:
        why = "the agent was not speaking any more"
        return Verdict(one, over_agent=False, scored=False, why=why)
    answer_ms = _answer(one, heard, until_ms)
    common = {
        "answered": answer_ms is not None,
        "answer_ms": answer_ms if answer_ms is not None and answer_ms > 0 else None,
        "talked_over": _talked_over(one, heard),
    }
    last = _end_of_reply(heard, place)
    yield_ms = heard[last].end_ms - one.start_ms
    if heard[last].how == "ended" and yield_ms <= YIELD_MS:
        why = f"the reply ended by itself {yield_ms} ms after the onset"
        return Verdict(one, over_agent=True, scored=False, why=why)
    resumed = last - place
    again = f", after going on {resumed} time(s)" if resumed else ""
    if yield_ms > YIELD_MS or heard[last].how != "cut":
        why = f"the agent spoke on for {yield_ms} ms{again}"
        return Verdict(one, over_agent=True, why=why, yielded=False, **common)  # type: ignore[arg-type]
    why = f"silent after {yield_ms} ms{again}"
    return Verdict(
        one,
        over_agent=True,
        why=why,
        yielded=True,
        yield_ms=yield_ms,
        **common,  # type: ignore[arg-type]
    )


def _end_of_reply(heard: Sequence[Segment], place: int) -> int:
    """The last segment of a reply that was paused and gone on with."""
    while place + 1 < len(heard) and heard[place + 1].continues:
        place += 1
    return place


def _passive(one: Happened, heard: Sequence[Segment], until_ms: int) -> Verdict:
    place = _speaking(heard, one.start_ms)
    limit_ms = min(until_ms, one.end_ms + AFTER_IGNORED_MS)
    if place is None:
        return _passive_in_silence(one, heard, limit_ms)
    gaps: list[int] = []
    lost: list[int] = []
    repeated: list[int] = []
    first = heard[place]
    if first.how == "ended" and first.end_ms < one.end_ms:
        why = f"the reply ended by itself {first.end_ms - one.start_ms} ms after the onset"
        return Verdict(one, over_agent=True, scored=False, why=why)
    stopped_ms: int | None = None
    while heard[place].how == "cut" and heard[place].end_ms <= limit_ms:
        if place + 1 == len(heard) or not heard[place + 1].continues:
            stopped_ms = heard[place].end_ms
            break
        before, after = heard[place], heard[place + 1]
        gaps.append(after.start_ms - before.end_ms)
        lost.append(after.lost_ms)
        repeated.append(max(-after.offset_ms, 0))
        place += 1
    answered_ms = None if stopped_ms is not None else _new_reply(one, heard[place:], limit_ms)
    if answered_ms is not None:
        why = f"answered it after {answered_ms} ms"
        return Verdict(one, over_agent=True, why=why, ignored=False, tau_ignored=False)
    ignored = stopped_ms is None
    return Verdict(
        one,
        over_agent=True,
        why=_passive_why(one, stopped_ms, gaps, lost),
        ignored=ignored,
        tau_ignored=_tau_ignored(one, first, gaps, stopped_ms),
        gaps_ms=tuple(gaps),
        lost_ms=tuple(lost),
        repeated_ms=tuple(repeated),
    )


def _tau_ignored(
    one: Happened, first: Segment, gaps: Sequence[int], stopped_ms: int | None
) -> bool:
    """tau: the agent's speech does not end within the window. A silence that fits between two of
    its ticks is none."""
    if first.how != "cut" or first.end_ms > one.start_ms + TAU_IGNORE_MS:
        return True
    return bool(gaps) and gaps[0] < TAU_TICK_MS and stopped_ms is None


def _passive_why(
    one: Happened, stopped_ms: int | None, gaps: Sequence[int], lost: Sequence[int]
) -> str:
    paused = f"paused for {', '.join(map(str, gaps))} ms" if gaps else ""
    missing = f", {sum(lost)} ms of sound lost" if sum(lost) else ""
    if stopped_ms is not None:
        before = f"{paused}{missing}, then " if gaps else ""
        return f"{before}gave up its reply {stopped_ms - one.start_ms} ms after the onset"
    return f"{paused}{missing} and went on" if gaps else "spoke on"


def _new_reply(one: Happened, heard: Sequence[Segment], limit_ms: int) -> int | None:
    """When another reply than the one going on began, from the end of the utterance."""
    for segment in heard:
        if one.start_ms < segment.start_ms <= limit_ms and not segment.continues:
            return segment.start_ms - one.end_ms
    return None


def _passive_in_silence(one: Happened, heard: Sequence[Segment], limit_ms: int) -> Verdict:
    answered_ms = _new_reply(one, heard, limit_ms)
    if answered_ms is not None:
        why = f"answered it after {answered_ms} ms"
        return Verdict(one, over_agent=False, why=why, ignored=False, tau_ignored=False)
    return Verdict(one, over_agent=False, why="stayed silent", ignored=True, tau_ignored=True)


def wants_answer(verdict: Verdict) -> bool:
    """tau's user turns: those meant for the agent, interruptions that it did not yield to left
    out."""
    kind = verdict.happened.kind
    return verdict.scored and kind in TURNS and (kind == "turn" or verdict.yielded is True)


def overlap_class(verdict: Verdict) -> Class:
    """Full-Duplex-Bench 1.5's behaviour after an overlap: it responds to it, or resumes."""
    if verdict.happened.kind == "interruption":
        if not verdict.yielded:
            return "resume"
        return "respond" if verdict.answered else "neither"
    return "resume" if verdict.ignored else "respond"
