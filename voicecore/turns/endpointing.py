"""How long a pause of the caller must be to end the turn. Pure.

The wait lies between two bounds. Within them it follows the text (a whole sentence ends sooner
than "my number is"), the speech-to-text's own opinion, and how long this caller pauses within
turns.
"""

from collections import deque

import msgspec

from voicecore.turns.completeness import Completeness, completeness

REMEMBERED_PAUSES = 6
PAUSE_MARGIN = 1.25
"""The wait is longer than this caller's pauses by so much."""
CUT_OFF_MS = 150
"""Each time the caller was cut off the wait grows by so much, and by half of it less after each
turn that went well."""


class EndpointingPolicy(msgspec.Struct, frozen=True):
    """All in milliseconds of quiet after the last voiced frame."""

    min_silence_ms: int = 400
    """After a whole sentence."""
    open_silence_ms: int = 600
    """After a text that may or may not be whole."""
    max_silence_ms: int = 1600
    """After a text that is not."""
    adapts: bool = True
    language: str = "en"


class Endpointing:
    """One caller's endpointing."""

    def __init__(self, policy: EndpointingPolicy) -> None:
        self._policy = policy
        self._pauses_ms: deque[int] = deque(maxlen=REMEMBERED_PAUSES)
        self._cut_off_ms = 0

    def wait_ms(self, text: str, *, vendor_says_over: bool = False) -> int:
        """The quiet after which a turn of this text is over."""
        policy = self._policy
        shortest, longest = policy.min_silence_ms, max(policy.max_silence_ms, policy.min_silence_ms)
        if not policy.adapts:
            return shortest
        judged = completeness(text, policy.language)
        if judged is Completeness.INCOMPLETE:
            return longest
        wait_ms = shortest
        if judged is Completeness.OPEN and not vendor_says_over:
            wait_ms = max(shortest, policy.open_silence_ms)
        if self._pauses_ms and judged is Completeness.OPEN:
            wait_ms = max(wait_ms, round(PAUSE_MARGIN * max(self._pauses_ms)))
        return min(wait_ms + self._cut_off_ms, longest)

    def paused(self, duration_ms: int) -> None:
        """The caller went on with the turn after a pause."""
        if 0 < duration_ms <= self._policy.max_silence_ms:
            self._pauses_ms.append(duration_ms)

    def cut_off(self) -> None:
        """The caller went on although the turn had been taken for over."""
        room_ms = self._policy.max_silence_ms - self._policy.min_silence_ms
        self._cut_off_ms = max(min(self._cut_off_ms + CUT_OFF_MS, room_ms), 0)

    def went_well(self) -> None:
        """The caller heard the answer out, or interrupted it with something new."""
        self._cut_off_ms = max(self._cut_off_ms - CUT_OFF_MS // 2, 0)
