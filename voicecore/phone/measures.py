"""From what was said and heard to figures: latency, overlap, interruptions, holes. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from media.phone.line import Dry, Interval
from voicecore.phone.caller import Said
from voicecore.phone.record import CallRecord
from voicecore.phone.script import UtteranceKind

PAUSE_US = 300_000
"""Agent audio closer than this is one stretch: words and sentences of one speech."""
BACKCHANNEL_US = 1_500_000
"""How long after a murmur or cough a silence of the agent's is taken for its effect."""
GAP_US = 20_000
"""A shorter hole is counted as a late frame, but nobody hears it."""


class TurnReport(msgspec.Struct, frozen=True):
    """One utterance and what the agent made of it. None: it did not happen.

    ``reply_latency_ms``: from the last voiced frame to the first audible agent audio; negative
    when the agent began before the caller had finished. ``overlap_ms``: both could be heard.
    ``interruption_to_silence_ms``: from the first voiced frame to the end of the agent's audio,
    where the agent was speaking when the caller began. ``agent_pause_ms``: for a murmur or a
    cough during agent speech, the silence it caused; 0 when the agent just went on, None when
    it did not go on at all."""

    kind: UtteranceKind
    text: str
    line: int
    started_ms: int
    ended_ms: int | None
    reply_latency_ms: int | None = None
    overlap_ms: int = 0
    interruption_to_silence_ms: int | None = None
    agent_speaking: bool = False
    agent_pause_ms: int | None = None


class GapReport(msgspec.Struct, frozen=True):
    at_ms: int
    gap_ms: int
    in_speech: bool


def turns(record: CallRecord) -> tuple[TurnReport, ...]:
    """Every utterance whose voice was sent, in order."""
    voiced = [said for said in record.said if said.first_voiced_us is not None]
    speech = stretches(record.audible, PAUSE_US)
    replies = stretches(record.audible, PAUSE_US, breaks=record.clears)
    made: list[TurnReport] = []
    for index, said in enumerate(voiced):
        asking = [later for later in voiced[index + 1 :] if not _is_backchannel(later)]
        next_us = asking[0].first_voiced_us if asking else None
        limit_us = record.duration_us + 1 if next_us is None else next_us
        made.append(_turn(said, record, speech, replies, limit_us))
    return tuple(made)


def gaps(record: CallRecord) -> tuple[GapReport, ...]:
    """The holes that a caller hears, less those in which the caller spoke: what comes after
    those is another reply."""
    return tuple(
        GapReport(dry.start_us // 1000, (dry.end_us - dry.start_us) // 1000, dry.in_speech)
        for dry in own_late(record)
        if dry.end_us - dry.start_us >= GAP_US
    )


def own_late(record: CallRecord) -> list[Dry]:
    """The frames that came too late within one reply."""
    voices = [Interval(*_voice(said)) for said in record.said if said.first_voiced_us is not None]
    return [dry for dry in record.late if not overlapping(voices, dry.start_us, dry.end_us)]


def stretches(
    audible: Iterable[Interval], pause_us: int, *, breaks: Sequence[int] = ()
) -> list[Interval]:
    """Audible pieces joined where the silence between is shorter than ``pause_us`` and none of
    the (sorted) breaks lies in it."""
    joined: list[Interval] = []
    for piece in audible:
        last = joined[-1] if joined else None
        if (
            last is not None
            and piece.start_us - last.end_us < pause_us
            and bisect_left(breaks, last.end_us) == bisect_right(breaks, piece.start_us)
        ):
            last.end_us = piece.end_us
        else:
            joined.append(Interval(piece.start_us, piece.end_us))
    return joined


def overlapping(pieces: Sequence[Interval], start_us: int, end_us: int) -> Sequence[Interval]:
    """Those of the sorted, disjoint pieces that share time with the given span."""
    first = bisect_right(pieces, start_us, key=lambda piece: piece.end_us)
    return pieces[first : bisect_left(pieces, end_us, key=lambda piece: piece.start_us)]


def _turn(
    said: Said,
    record: CallRecord,
    speech: list[Interval],
    replies: list[Interval],
    limit_us: int,
) -> TurnReport:
    first_us, last_us = _voice(said)
    speaking = next(iter(overlapping(speech, first_us, first_us + 1)), None)
    overlap_us = sum(
        min(piece.end_us, last_us) - max(piece.start_us, first_us)
        for piece in overlapping(record.audible, first_us, last_us)
    )
    latency_us = silence_us = pause_us = None
    if _is_backchannel(said):
        if speaking is not None:
            pause_us = _pause(speaking, last_us, speech, limit_us)
    else:
        latency_us = _latency(first_us, last_us, replies, limit_us)
        silence_us = None if speaking is None else speaking.end_us - first_us
    return TurnReport(
        kind=said.kind,
        text=said.text,
        line=said.line,
        started_ms=said.started_us // 1000,
        ended_ms=_ms(said.ended_us),
        reply_latency_ms=_ms(latency_us),
        overlap_ms=overlap_us // 1000,
        interruption_to_silence_ms=_ms(silence_us),
        agent_speaking=speaking is not None,
        agent_pause_ms=_ms(pause_us),
    )


def _latency(first_us: int, last_us: int, replies: list[Interval], limit_us: int) -> int | None:
    """A reply begins after the utterance began and goes on after its end; what began before
    answers something else."""
    for reply in overlapping(replies, last_us, limit_us):
        if reply.start_us > first_us:
            return reply.start_us - last_us
    return None


def _pause(speaking: Interval, last_us: int, speech: list[Interval], limit_us: int) -> int | None:
    if speaking.end_us > last_us + BACKCHANNEL_US:
        return 0
    after = next(iter(overlapping(speech, speaking.end_us, limit_us)), None)
    return None if after is None else after.start_us - speaking.end_us


def _voice(said: Said) -> tuple[int, int]:
    """From the first to the last voiced frame; one cut short lasts as long as it was sent."""
    first_us = said.first_voiced_us or 0
    return first_us, max(said.last_voiced_us or said.ended_us or first_us, first_us)


def _is_backchannel(said: Said) -> bool:
    return said.kind in ("murmur", "cough")


def _ms(time_us: int | None) -> int | None:
    return None if time_us is None else round(time_us / 1000)
