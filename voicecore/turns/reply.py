"""One reply of the agent while it lives."""

from enum import StrEnum

from voicecore.providers.llm import ToolCall
from voicecore.turns.heard import SpokenText
from voicecore.turns.latency import LatencyLedger
from voicecore.turns.outputs import PlayTones, Say, SayPhrase
from voicecore.turns.sentences import SentenceStream


class ReplyKind(StrEnum):
    GREETING = "greeting"
    ANSWER = "answer"
    PROMPT = "prompt"
    FAREWELL = "farewell"
    FALLBACK = "fallback"
    BACKCHANNEL = "backchannel"


class Reply:
    """State of a reply between its begin and its end, which comes exactly once."""

    def __init__(
        self, number: int, kind: ReplyKind, *, first_clause_chars: int, character_ms: float
    ) -> None:
        self.number = number
        self.kind = kind
        self.latency = LatencyLedger()
        self.spoken = SpokenText(character_ms)
        self.script: list[Say | SayPhrase | PlayTones] = []
        """What the voice was given, in order."""
        self.started_ms: int | None = None
        """When its first audio left; None while the caller hears nothing of it."""
        self.audio_ms = 0
        """All audio of it, fillers included."""
        self.filler_ms = 0
        """How much of its audio is fillers."""
        self.filler_end_ms = 0
        """Where in its audio the filler ends that may still be playing; 0 when none may."""
        self.said_beforehand = 0
        """Sentences at its beginning that the voice was given while it was a draft."""
        self.tones_end_ms = 0
        """Where in its audio the tones end at the earliest."""
        self.paused_ms: int | None = None
        """How much of it was heard when it paused; None while it does not pause."""
        self.voice_done = False
        self.llm_done = False
        self.end_reason: str | None = None
        """The call ends for this reason once the reply was heard."""
        self.rounds = 0
        self.round_text = ""
        self.calls: list[ToolCall] = []
        self.may_call = True
        """Whether the model was offered tools; calls that it makes all the same are ignored."""
        self.waiting_for: set[str] = set()
        self.acted = False
        """A tool did what was asked, such as a transfer: words need not follow."""
        self.voice_restarts = 0
        self._first_clause_chars = first_clause_chars
        self.sentences = SentenceStream(first_clause_chars=first_clause_chars)
        self.draft_sentences = SentenceStream(first_clause_chars=first_clause_chars)
        """Finds the same sentences while it is a draft."""

    @property
    def speech_ms(self) -> int:
        """How much audio of its own words there is."""
        return self.audio_ms - self.filler_ms

    @property
    def is_last(self) -> bool:
        """The call ends with it, come what may."""
        return self.kind in (ReplyKind.FAREWELL, ReplyKind.FALLBACK)

    @property
    def interruptible(self) -> bool:
        return not self.is_last and self.kind is not ReplyKind.BACKCHANNEL

    @property
    def is_phrase(self) -> bool:
        return self.kind is not ReplyKind.ANSWER

    def next_round(self) -> None:
        """The model is asked again, with the tools' results."""
        self.rounds += 1
        self.round_text = ""
        self.calls = []
        self.llm_done = False
        self.sentences = SentenceStream(first_clause_chars=self._first_clause_chars)
