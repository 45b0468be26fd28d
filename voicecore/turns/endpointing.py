"""How long a pause of the caller must be to end the turn. Pure.

The wait lies between two bounds. Within them it follows the text (a whole sentence ends sooner
than "my number is"), the speech-to-text's own opinion, a model's that hears how it was said, and
how long this caller pauses within turns.
"""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from voicecore.turns.completeness import Completeness, completeness

REMEMBERED_PAUSES = 6
PAUSE_MARGIN = 1.25
"""The wait is longer than this caller's pauses by so much."""
CUT_OFF_MS = 150
"""Each time the caller was cut off the wait grows by so much, and by half of it less after each
turn that went well."""


class Sounds(StrEnum):
    """What a model that hears ends of turns makes of the pause."""

    FINISHED = "finished"
    UNSURE = "unsure"
    """Or it was not asked, or has not answered yet."""
    UNFINISHED = "unfinished"


class Wait(StrEnum):
    MIN = "min"
    OPEN = "open"
    HALF = "half"
    """Half of the way from the shortest to the longest."""
    MAX = "max"


# A text that is not whole is believed against any sound: who dictates a number sounds finished
# after each group. A whole text that sounds unfinished waits half of the way only, because a
# model errs more often here than the text does.
WAITS: Mapping[Completeness, Mapping[Sounds, Wait]] = {
    Completeness.COMPLETE: {
        Sounds.FINISHED: Wait.MIN,
        Sounds.UNSURE: Wait.MIN,
        Sounds.UNFINISHED: Wait.HALF,
    },
    Completeness.OPEN: {
        Sounds.FINISHED: Wait.MIN,
        Sounds.UNSURE: Wait.OPEN,
        Sounds.UNFINISHED: Wait.MAX,
    },
    Completeness.INCOMPLETE: dict.fromkeys(Sounds, Wait.MAX),
}


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
    finished_from: float = 0.9
    """A model's probability from which the caller sounds finished."""
    unfinished_below: float = 0.5
    """And below which not."""

    def sounds(self, probability: float | None) -> Sounds:
        """What a model's probability means; None where there is none."""
        if probability is None:
            return Sounds.UNSURE
        if probability < self.unfinished_below:
            return Sounds.UNFINISHED
        return Sounds.FINISHED if probability >= self.finished_from else Sounds.UNSURE


class Endpointing:
    """One caller's endpointing."""

    def __init__(self, policy: EndpointingPolicy) -> None:
        self._policy = policy
        self._pauses_ms: deque[int] = deque(maxlen=REMEMBERED_PAUSES)
        self._cut_off_ms = 0

    def wait_ms(
        self, text: str, *, vendor_says_over: bool = False, audio: float | None = None
    ) -> int:
        """The quiet after which a turn of this text is over. ``audio`` is a model's probability
        that it is, None where there is none."""
        policy = self._policy
        shortest, longest = policy.min_silence_ms, max(policy.max_silence_ms, policy.min_silence_ms)
        if not policy.adapts:
            return shortest
        judged, sounds = completeness(text, policy.language), policy.sounds(audio)
        whole = judged is Completeness.OPEN and vendor_says_over
        wait = WAITS[Completeness.COMPLETE if whole else judged][sounds]
        wait_ms = {
            Wait.MIN: shortest,
            Wait.OPEN: min(max(shortest, policy.open_silence_ms), longest),
            Wait.HALF: (shortest + longest) // 2,
            Wait.MAX: longest,
        }[wait]
        habit = judged is Completeness.OPEN and sounds is not Sounds.FINISHED
        if self._pauses_ms and habit:
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
