"""What a conversation wants done."""

from collections.abc import Mapping
from typing import Any

import msgspec

from voicecore.providers.llm import LlmRequest
from voicecore.tools.requests import HttpCall


class StartLlm(msgspec.Struct, frozen=True):
    """Ask the model. Its events come back as ``Thought(reply, …)``."""

    reply: int
    request: LlmRequest


class StopLlm(msgspec.Struct, frozen=True):
    """Stop asking the model for a reply; its voice goes on."""

    reply: int


class Say(msgspec.Struct, frozen=True):
    """Speak a sentence as part of a reply."""

    reply: int
    text: str


class SayPhrase(msgspec.Struct, frozen=True):
    """Speak a fixed text that is the whole of a reply: it may come from a cache."""

    reply: int
    text: str


class SayFiller(msgspec.Struct, frozen=True):
    """Play a phrase of the cache while a reply's own speech is awaited. ``FillerPlays`` comes
    back if the cache has it; if not, nothing happens."""

    reply: int
    text: str


class ShortenReply(msgspec.Struct, frozen=True):
    """Drop all of a paused reply's audio after ``to_ms``, a whole number of frames."""

    reply: int
    to_ms: int


class UseDraft(msgspec.Struct, frozen=True):
    """The draft is the live reply now: what its voice has delivered counts."""

    reply: int


class DropDraft(msgspec.Struct, frozen=True):
    """Forget what the draft's voice has delivered, and stop it."""

    reply: int


class FinishSaying(msgspec.Struct, frozen=True):
    """No more sentences follow for this reply."""

    reply: int


class RestartVoice(msgspec.Struct, frozen=True):
    """The voice failed before it was heard: open it anew; what was said is said again."""

    reply: int


class CancelReply(msgspec.Struct, frozen=True):
    """Stop the model and the voice of a reply. Whatever still comes of it is dropped."""

    reply: int


class ClearPlayout(msgspec.Struct, frozen=True):
    """Silence the line now."""

    reply: int


class PauseReply(msgspec.Struct, frozen=True):
    """Silence the line now but keep the reply's audio."""

    reply: int


class ResumeReply(msgspec.Struct, frozen=True):
    """Go on with a paused reply from ``from_ms`` of its audio."""

    reply: int
    from_ms: int


class WantInterim(msgspec.Struct, frozen=True):
    """An interim text of the caller's speech is wanted as soon as can be."""


class FinalizeStt(msgspec.Struct, frozen=True):
    """The caller stopped: have the speech-to-text finish its text."""


class TurnOver(msgspec.Struct, frozen=True):
    """The caller's turn was decided, or was noise: its text is not revised any more."""


class ReopenStt(msgspec.Struct, frozen=True):
    """The speech-to-text died: open another stream."""


class RunHttpTool(msgspec.Struct, frozen=True):
    """Run a tool; answer with ``ToolAnswered``."""

    call_id: str
    request: HttpCall


class PlayTones(msgspec.Struct, frozen=True):
    """Play DTMF digits as audio of a reply, after what it says before them."""

    reply: int
    digits: str


class HangUp(msgspec.Struct, frozen=True):
    """Close the stream: the call is over."""

    reason: str


class Emit(msgspec.Struct, frozen=True):
    """Something worth recording happened."""

    type: str
    data: Mapping[str, Any]


Output = (
    StartLlm
    | StopLlm
    | Say
    | SayPhrase
    | SayFiller
    | ShortenReply
    | UseDraft
    | DropDraft
    | FinishSaying
    | RestartVoice
    | CancelReply
    | ClearPlayout
    | PauseReply
    | ResumeReply
    | WantInterim
    | FinalizeStt
    | TurnOver
    | ReopenStt
    | RunHttpTool
    | PlayTones
    | HangUp
    | Emit
)
