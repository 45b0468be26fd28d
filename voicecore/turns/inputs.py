"""What can happen to a conversation."""

import msgspec

from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmEvent
from voicecore.providers.stt import SttEvent
from voicecore.providers.words import Word
from voicecore.tools.requests import ToolResult


class CallStarted(msgspec.Struct, frozen=True):
    """The line is open and the vendors' streams exist."""


class SpeechStarted(msgspec.Struct, frozen=True):
    """The VAD hears the caller since ``at_ms``."""

    at_ms: int


class SpeechSustained(msgspec.Struct, frozen=True):
    """The speech that started has lasted ``for_ms`` and goes on."""

    for_ms: int
    above_noise_db: float = 20.0
    """How much louder it is than the line's noise."""
    loudest_dbfs: float = -20.0
    """Its loudest moment so far, in decibels of full scale."""


class SpeechStopped(msgspec.Struct, frozen=True):
    """The VAD has not heard the caller since ``at_ms``."""

    at_ms: int


class TurnEndJudged(msgspec.Struct, frozen=True):
    """A model that hears ends of turns has judged the pause that began at ``at_ms``."""

    at_ms: int
    probability: float
    """That the caller has finished."""
    took_ms: int = 0


class Heard(msgspec.Struct, frozen=True):
    """From the speech-to-text."""

    event: SttEvent


class Thought(msgspec.Struct, frozen=True):
    """From the language model, for a reply."""

    reply: int
    event: LlmEvent


class ThoughtFailed(msgspec.Struct, frozen=True):
    """The language model failed a reply."""

    reply: int
    error: VendorError


class AudioCame(msgspec.Struct, frozen=True):
    """The voice delivered audio for a reply; it is queued for playout already."""

    reply: int
    duration_ms: int


class WordsCame(msgspec.Struct, frozen=True):
    """The voice said where words of a reply lie."""

    reply: int
    words: tuple[Word, ...]


class FillerPlays(msgspec.Struct, frozen=True):
    """A filler of so much audio begins to play as part of a reply; its words' times count from
    its own first sample."""

    reply: int
    text: str
    duration_ms: int
    words: tuple[Word, ...]


class SpeechDone(msgspec.Struct, frozen=True):
    """The voice delivered everything of a reply."""

    reply: int


class SpeechFailed(msgspec.Struct, frozen=True):
    """The voice failed a reply."""

    reply: int
    error: VendorError


class ReplyStarted(msgspec.Struct, frozen=True):
    """The first audio of a reply left for the carrier."""

    reply: int
    at_ms: int


class ReplyPaused(msgspec.Struct, frozen=True):
    """A reply was paused, as was asked for, where it had been quiet for ``quiet_ms``."""

    reply: int
    quiet_ms: int


class ReplyPlayed(msgspec.Struct, frozen=True):
    """The caller heard a reply to its end."""

    reply: int
    played_ms: int


class DigitPressed(msgspec.Struct, frozen=True):
    """The caller pressed a key."""

    digit: str


class ToolAnswered(msgspec.Struct, frozen=True):
    """A tool has finished."""

    result: ToolResult


class StreamClosed(msgspec.Struct, frozen=True):
    """The line is gone: ``reason`` is ``caller_hangup`` or what broke."""

    reason: str


class EndRequested(msgspec.Struct, frozen=True):
    """Somebody outside wants the call to end, politely: a drain, an operator."""

    reason: str


Input = (
    CallStarted
    | SpeechStarted
    | SpeechSustained
    | SpeechStopped
    | TurnEndJudged
    | Heard
    | Thought
    | ThoughtFailed
    | AudioCame
    | WordsCame
    | FillerPlays
    | SpeechDone
    | SpeechFailed
    | ReplyStarted
    | ReplyPaused
    | ReplyPlayed
    | DigitPressed
    | ToolAnswered
    | StreamClosed
    | EndRequested
)
