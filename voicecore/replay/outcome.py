"""What came of a call, from its events: turns, how fast they were answered, what was heard.

Pure.
"""

from collections import Counter
from collections.abc import Mapping
from statistics import median

import msgspec

from voicecore.replay.facts import (
    AgentFiller,
    AgentTurn,
    CallEnded,
    CallerTurn,
    DraftDropped,
    DraftUsed,
    Facts,
    OverlapJudged,
    SpeechIgnored,
    SpeechStarted,
    SpeechStopped,
    TurnLatency,
)
from voicecore.turns.heard import CHARACTER_MS

DEAD_AIR_MS = 3000
"""Nobody speaks for longer than this: a caller wonders whether the line is dead."""


class Turn(msgspec.Struct, frozen=True):
    """A turn of the caller's and what it got: ``latency_ms`` is from the end of the caller's
    speech to the first sound of the answer, None where there was none; ``heard`` is what the
    caller heard of the answer; ``ended`` is how the answer ended, empty without one."""

    text: str
    start_ms: int
    end_ms: int
    latency_ms: int | None = None
    heard: str = ""
    ended: str = ""

    @property
    def by_keys(self) -> bool:
        return self.text.startswith("DTMF: ")


class Remark(msgspec.Struct, frozen=True):
    """A reply that answers no turn: a greeting, a prompt, a farewell."""

    kind: str
    start_ms: int | None
    heard: str
    ended: str


class Outcome(msgspec.Struct, frozen=True):
    """``cut_off`` counts answers that were taken back because the caller had not finished;
    ``drafts_used`` and ``drafts_dropped`` those that were begun before the turn was decided;
    ``verdicts`` what sounds over the agent were taken for; ``dead_air`` are the silences of
    more than ``DEAD_AIR_MS``."""

    turns: tuple[Turn, ...]
    remarks: tuple[Remark, ...]
    verdicts: Mapping[str, int]
    interrupted: int
    cut_off: int
    ignored: int
    fillers: int
    drafts_used: int
    drafts_dropped: int
    dead_air_ms: tuple[int, ...]
    ended: str
    duration_ms: int

    @property
    def latencies_ms(self) -> list[int]:
        return [turn.latency_ms for turn in self.turns if turn.latency_ms is not None]

    @property
    def latency_ms(self) -> float | None:
        """The median."""
        return median(self.latencies_ms) if self.latencies_ms else None


def outcome_of(facts: Facts) -> Outcome:
    """What came of a call."""
    latencies = {one.reply: one.first_byte for _, one in facts.of(TurnLatency)}
    turns: list[Turn] = []
    remarks: list[Remark] = []
    for fact in facts:
        what = fact.what
        if isinstance(what, CallerTurn):
            turns.append(Turn(what.text, what.start_ms, what.end_ms))
        elif isinstance(what, AgentTurn) and what.kind == "answer" and turns:
            turns[-1] = _answered(turns[-1], what, latencies.get(what.reply))
        elif isinstance(what, AgentTurn):
            remarks.append(Remark(what.kind, what.start_ms, what.heard_text, what.ended))
    ends = [what.reason for _, what in facts.of(CallEnded)]
    endings = Counter(what.ended for _, what in facts.of(AgentTurn))
    return Outcome(
        turns=tuple(turns),
        remarks=tuple(remarks),
        verdicts=dict(sorted(Counter(w.verdict for _, w in facts.of(OverlapJudged)).items())),
        interrupted=endings["interrupted"],
        cut_off=endings["caller_went_on"],
        ignored=len(facts.of(SpeechIgnored)),
        fillers=len(facts.of(AgentFiller)),
        drafts_used=len(facts.of(DraftUsed)),
        drafts_dropped=len(facts.of(DraftDropped)),
        dead_air_ms=_dead_air(facts),
        ended=ends[0] if ends else "",
        duration_ms=facts[-1].at_ms if facts else 0,
    )


def _answered(turn: Turn, reply: AgentTurn, latency_ms: int | None) -> Turn:
    """The turn with an answer more: the first that was audible gives the latency."""
    return msgspec.structs.replace(
        turn,
        latency_ms=turn.latency_ms if turn.latency_ms is not None else latency_ms,
        heard=" ".join(part for part in (turn.heard, reply.heard_text) if part),
        ended=reply.ended,
    )


def _dead_air(facts: Facts) -> tuple[int, ...]:
    """The long silences between the first sound of a call and its last."""
    spoken: list[tuple[int, int]] = []
    started_ms: int | None = None
    fillers_ms: Counter[int] = Counter()
    for fact in facts:
        what = fact.what
        if isinstance(what, SpeechStarted):
            started_ms = what.at_ms
        elif isinstance(what, SpeechStopped) and started_ms is not None:
            spoken.append((started_ms, what.at_ms))
            started_ms = None
        elif isinstance(what, AgentFiller):
            length_ms = (len(what.text) + 1) * CHARACTER_MS
            spoken.append((fact.at_ms, fact.at_ms + length_ms))
            fillers_ms[what.reply] += length_ms
        elif isinstance(what, AgentTurn) and what.start_ms is not None:
            # It ended when it was told of, or a little before; after a filler it may be silent.
            begun_ms = what.start_ms
            if fillers_ms[what.reply]:
                speech_ms = max(what.played_ms - fillers_ms[what.reply], 0)
                begun_ms = max(fact.at_ms - speech_ms, begun_ms)
                spoken.append((begun_ms, max(fact.at_ms, begun_ms)))
            else:
                spoken.append((begun_ms, max(begun_ms + what.played_ms, begun_ms)))
    silences = []
    until_ms: int | None = None
    for start_ms, end_ms in sorted(spoken):
        if until_ms is not None and start_ms - until_ms > DEAD_AIR_MS:
            silences.append(start_ms - until_ms)
        until_ms = end_ms if until_ms is None else max(until_ms, end_ms)
    return tuple(silences)
