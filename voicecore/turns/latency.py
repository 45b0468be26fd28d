"""Where the time of a turn goes."""

import msgspec

STAGES = (
    "speech_end",
    "turn_decided",
    "stt_final",
    "llm_first_token",
    "first_sentence",
    "tts_first_audio",
    "filler",
    "first_byte",
)
"""In the order they usually come; the speech-to-text may be final before or after the turn
is decided."""


class TurnLatency(msgspec.Struct, frozen=True):
    """Milliseconds from the end of the caller's speech to each stage that was reached, by the
    names in ``STAGES``."""

    reply: int
    after_speech_end_ms: dict[str, int]


class LatencyLedger:
    """Times of one turn's stages; the first time of a stage counts."""

    def __init__(self) -> None:
        self._at_ms: dict[str, int] = {}

    def mark(self, stage: str, at_ms: int) -> None:
        self._at_ms.setdefault(stage, at_ms)

    def between_ms(self, start: str, end: str) -> int | None:
        """Time from one stage to another; None unless both were reached."""
        if start not in self._at_ms or end not in self._at_ms:
            return None
        return self._at_ms[end] - self._at_ms[start]

    def summary(self, reply: int) -> TurnLatency:
        base_ms = self._at_ms.get("speech_end", self._at_ms.get("turn_decided", 0))
        reached = {stage: self._at_ms[stage] - base_ms for stage in STAGES if stage in self._at_ms}
        return TurnLatency(reply, reached)
