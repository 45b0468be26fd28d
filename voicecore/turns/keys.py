"""Keys pressed unasked: they are the caller's turn after a pause. Part of the turn machine."""

from voicecore.turns.barge_in import BargeIn
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.settings import TurnSettings
from voicecore.turns.speaking import Speaker
from voicecore.turns.taking import Taking

DIGITS = "digits"
MAX_DIGITS = 100
"""Keys in one entry; those beyond it are dropped."""
RETRY_MS = 200
"""The agent must not be interrupted: look again then."""


class Keys:
    """The entry that is being made."""

    def __init__(
        self,
        settings: TurnSettings,
        speaker: Speaker,
        barge_in: BargeIn,
        taking: Taking,
        deadlines: Deadlines,
    ) -> None:
        self.digits = ""
        self._settings = settings
        self._speaker = speaker
        self._barge_in = barge_in
        self._taking = taking
        self._deadlines = deadlines

    def pressed(self, now_ms: int, digit: str) -> None:
        """One more, which interrupts the agent; the entry ends with the finish key, or a pause."""
        if not self._settings.digits_enabled:
            return
        if self._may_interrupt(now_ms):
            self._speaker.cut(now_ms, "interrupted")
        finished = digit == self._settings.digits_finish_key
        if not finished and len(self.digits) < MAX_DIGITS:
            self.digits += digit
        wait_ms = 0 if finished else self._settings.digits_pause_ms
        self._deadlines.set(DIGITS, now_ms + wait_ms)

    def due(self, now_ms: int) -> None:
        """The entry is over; it waits for what must not be interrupted."""
        if self._speaker.audible and not self._may_interrupt(now_ms):
            self._deadlines.set(DIGITS, now_ms + RETRY_MS)
            return
        digits, self.digits = self.digits, ""
        if digits:
            self._speaker.cut(now_ms, "interrupted")
            turn = CallerTurn(f"DTMF: {digits}", (), now_ms, now_ms, now_ms)
            self._taking.take(now_ms, turn)

    def _may_interrupt(self, now_ms: int) -> bool:
        overlap = self._settings.overlap
        protected = self._speaker.is_protected(now_ms, overlap.protected)
        return overlap.keys_interrupt and self._barge_in.may_interrupt and not protected
