"""What a turn of the caller came to."""

import msgspec

from voicecore.providers.words import Word


class CallerTurn(msgspec.Struct, frozen=True):
    """What the caller said, from the first voiced frame to the last."""

    text: str
    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    final_ms: int
    """When the text became final."""
    sound_ms: int = 0
    """How long its sounds were together."""
    certain: str | None = None
    """What of the text the speech-to-text was sure of; None: all."""
    wild: bool = False
    """It was sure of nothing at all: perhaps nobody spoke."""

    @property
    def certain_text(self) -> str:
        return self.text if self.certain is None else self.certain
