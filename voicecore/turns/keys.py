"""Keys pressed unasked: they are the caller's turn after a pause. Part of the turn machine."""

from voicecore.turns.deadlines import Deadlines
from voicecore.turns.settings import TurnSettings

DIGITS = "digits"
MAX_DIGITS = 100
"""Keys in one entry; those beyond it are dropped."""


class Keys:
    """The entry that is being made."""

    def __init__(self, settings: TurnSettings, deadlines: Deadlines) -> None:
        self.digits = ""
        self._settings = settings
        self._deadlines = deadlines

    def pressed(self, now_ms: int, digit: str) -> None:
        """One more; the entry ends with the finish key, or a pause."""
        finished = digit == self._settings.digits_finish_key
        if not finished and len(self.digits) < MAX_DIGITS:
            self.digits += digit
        wait_ms = 0 if finished else self._settings.digits_pause_ms
        self._deadlines.set(DIGITS, now_ms + wait_ms)

    def take(self) -> str:
        """The entry, which is over; empty if there was none."""
        digits, self.digits = self.digits, ""
        return digits
