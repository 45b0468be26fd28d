"""A call's events with types: what a replay reads of ``events.jsonl``. Pure.

Types that a replay has no use for are passed over, as are fields that are not known.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from voicecore.journal import Event
from voicecore.providers.words import Word
from voicecore.replay.errors import ReplayError
from voicecore.turns.heard_word import HeardWord

LONGEST_MS = 12 * 3_600_000
"""A longer call is not replayed."""

MOST_TURNS = 20_000
"""Of either side."""

Ms = Annotated[int, msgspec.Meta(ge=-60_000, le=2 * LONGEST_MS)]


class CallStarted(msgspec.Struct, frozen=True):
    carrier: str
    call_id: str
    stream_id: str
    agent: str
    inbound: str
    outbound: str


class SpeechStarted(msgspec.Struct, frozen=True):
    at_ms: Ms


class SpeechStopped(msgspec.Struct, frozen=True):
    at_ms: Ms


class TurnEndJudged(msgspec.Struct, frozen=True):
    at_ms: Ms
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    took_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0


class SttResult(msgspec.Struct, frozen=True):
    kind: Literal["interim", "final", "eager", "resumed"]
    text: str = ""
    words: tuple[Word, ...] = ()
    end_of_turn: bool = False
    flushed: bool = False
    revises: bool = False
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class CallerTurn(msgspec.Struct, frozen=True):
    text: str
    start_ms: Ms
    end_ms: Ms


class DraftStarted(msgspec.Struct, frozen=True):
    reply: int
    text: str


class DraftUsed(msgspec.Struct, frozen=True):
    reply: int


class DraftDropped(msgspec.Struct, frozen=True):
    reply: int
    reason: str
    after_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0


class AgentFiller(msgspec.Struct, frozen=True):
    reply: int
    text: str


class AgentSaying(msgspec.Struct, frozen=True):
    reply: int
    text: str


class AgentTurn(msgspec.Struct, frozen=True):
    reply: int
    kind: str
    text: str
    heard_text: str
    words: tuple[HeardWord, ...]
    start_ms: Ms | None
    played_ms: Ms
    ended: str


class TurnLatency(msgspec.Struct, frozen=True):
    reply: int
    speech_end: Ms | None = None
    turn_decided: Ms | None = None
    stt_final: Ms | None = None
    llm_first_token: Ms | None = None
    first_sentence: Ms | None = None
    tts_first_audio: Ms | None = None
    first_byte: Ms | None = None


class LlmUsage(msgspec.Struct, frozen=True):
    reply: int
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


class TtsUsage(msgspec.Struct, frozen=True):
    reply: int
    characters: int = 0
    cached_characters: int = 0


class ToolCalled(msgspec.Struct, frozen=True):
    reply: int
    name: str
    call_id: str
    arguments: str


class ToolAnswered(msgspec.Struct, frozen=True):
    name: str
    call_id: str
    error: str
    result: str


class VendorFailed(msgspec.Struct, frozen=True):
    kind: str
    vendor: str
    code: str
    detail: str
    reply: int | None = None


class Dtmf(msgspec.Struct, frozen=True):
    digit: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-D*#]$")]


class AgentPaused(msgspec.Struct, frozen=True):
    reply: int
    played_ms: Ms


class AgentResumed(msgspec.Struct, frozen=True):
    reply: int
    from_ms: Ms


class OverlapJudged(msgspec.Struct, frozen=True):
    reply: int
    verdict: str
    paused_ms: Ms


class SpeechIgnored(msgspec.Struct, frozen=True):
    text: str


class EventsDropped(msgspec.Struct, frozen=True):
    name: str
    reason: str


class CallEnded(msgspec.Struct, frozen=True):
    reason: str


_TYPES: Mapping[str, type[msgspec.Struct]] = {
    "call_started": CallStarted,
    "speech_started": SpeechStarted,
    "speech_stopped": SpeechStopped,
    "turn_end_judged": TurnEndJudged,
    "stt_result": SttResult,
    "caller_turn": CallerTurn,
    "draft_started": DraftStarted,
    "draft_used": DraftUsed,
    "draft_dropped": DraftDropped,
    "agent_filler": AgentFiller,
    "agent_saying": AgentSaying,
    "agent_turn": AgentTurn,
    "turn_latency": TurnLatency,
    "llm_usage": LlmUsage,
    "tts_usage": TtsUsage,
    "tool_called": ToolCalled,
    "tool_answered": ToolAnswered,
    "vendor_failed": VendorFailed,
    "dtmf": Dtmf,
    "agent_paused": AgentPaused,
    "agent_resumed": AgentResumed,
    "overlap_judged": OverlapJudged,
    "speech_ignored": SpeechIgnored,
    "events_dropped": EventsDropped,
    "call_ended": CallEnded,
}

F = TypeVar("F", bound=msgspec.Struct)


class Fact(msgspec.Struct, frozen=True):
    """One event: when it was noticed, and what it says."""

    at_ms: int
    what: Any


class Facts(tuple[Fact, ...]):
    """A call's events in order."""

    __slots__ = ()

    def of(self, kind: type[F]) -> list[tuple[int, F]]:
        """The events of a kind: when they were noticed, and what they say."""
        return [(fact.at_ms, fact.what) for fact in self if isinstance(fact.what, kind)]


def read_facts(events: Iterable[Event]) -> Facts:
    """:raises ReplayError: ``bad_events``, an event is not what it must be; ``too_large``."""
    facts = []
    for event in events:
        kind = _TYPES.get(event.type)
        if kind is None:
            continue
        if not 0 <= event.at_ms <= LONGEST_MS:
            raise _wrong(event, f"at_ms {event.at_ms} is not within {LONGEST_MS} ms")
        try:
            what = msgspec.convert(event.data, kind)
        except msgspec.ValidationError as error:
            detail = "its data was too long to be kept" if "dropped_bytes" in event.data else error
            raise _wrong(event, str(detail)) from None
        if isinstance(what, SttResult | AgentTurn) and not all(map(_placed, what.words)):
            raise _wrong(event, "the times of its words are out of bounds")
        facts.append(Fact(event.at_ms, what))
    _check_counts(facts)
    return Facts(facts)


def _placed(word: Word | HeardWord) -> bool:
    return -LONGEST_MS <= word.start_ms <= LONGEST_MS and -LONGEST_MS <= word.end_ms <= LONGEST_MS


def _check_counts(facts: list[Fact]) -> None:
    for kind in (CallerTurn, AgentTurn):
        if sum(isinstance(fact.what, kind) for fact in facts) > MOST_TURNS:
            raise ReplayError("too_large", f"more than {MOST_TURNS} turns")


def _wrong(event: Event, detail: str) -> ReplayError:
    return ReplayError("bad_events", f"event {event.sequence} ({event.type[:40]}): {detail}")
