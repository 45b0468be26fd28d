"""How a conversation behaves: the engine's own view of an agent file."""

import msgspec

from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.overlap import OverlapPolicy


class Phrases(msgspec.Struct, frozen=True):
    """Fixed sentences, in the agent's language."""

    fallback: str = "I'm sorry, something went wrong on our side. Please call again later. Goodbye."
    apology: str = "I'm sorry, could you say that again?"
    still_there: tuple[str, ...] = ("Are you still there?",)
    goodbye: str = "Goodbye."
    tool_meanwhile: tuple[str, ...] = ("One moment, please.",)
    wrap_up: str = "I'm sorry, we have reached the time limit for this call. Goodbye."


class PreemptivePolicy(msgspec.Struct, frozen=True):
    enabled: bool = False
    voice: bool = False
    """Whether the beginning of the answer is spoken beforehand too."""
    max_per_turn: int = 3


class FillerPolicy(msgspec.Struct, frozen=True):
    after_ms: int = 0
    """Silence, while an answer is awaited, after which a filler is said; 0: none ever is."""
    phrases: tuple[str, ...] = ()


class BackchannelPolicy(msgspec.Struct, frozen=True):
    """What the agent says while it listens."""

    after_ms: int = 0
    """How long the caller has talked when the next pause gets a backchannel; 0: none does."""
    phrases: tuple[str, ...] = ()


class TurnSettings(msgspec.Struct, frozen=True):
    """All times in milliseconds."""

    greeting: str = ""
    phrases: Phrases = Phrases()
    endpointing: EndpointingPolicy = EndpointingPolicy()
    """Quiet after the caller's last voiced frame before the turn can be over."""
    begin_ms: int = 120
    """What the VAD needs at most to tell whether speech has begun."""
    flush_timeout_ms: int = 700
    """How long the speech-to-text may take to finish after the caller stopped."""
    vendor_ends_turns: bool = False
    """The speech-to-text detects ends of turns itself, and is believed."""
    overlap: OverlapPolicy = OverlapPolicy()
    """What happens when the caller speaks over the agent."""
    preemptive: PreemptivePolicy = PreemptivePolicy()
    """Whether the model begins before the turn is decided."""
    filler: FillerPolicy = FillerPolicy()
    """What is said while an answer takes long."""
    backchannel: BackchannelPolicy = BackchannelPolicy()
    """What is said while the caller talks at length."""
    first_clause_chars: int = 24
    ask_after_ms: int = 8000
    """Silence after which the agent asks whether anybody is there."""
    max_asks: int = 2
    max_duration_ms: int = 1_800_000
    first_token_timeout_ms: int = 8000
    first_audio_timeout_ms: int = 6000
    stall_timeout_ms: int = 8000
    digits_pause_ms: int = 2000
    """A pause that ends keys pressed unasked."""
    digits_enabled: bool = True
    """Keys pressed unasked are the caller's turn; otherwise they are ignored."""
    digits_finish_key: str = "#"
