"""Are the words that are guessed at a sound words at all? Part of the turn machine.

A speech-to-text that hears a laugh, an engine or a murmur writes something. It is not sure of it,
and with more of the sound it writes something else. What is said is guessed better and better, and
what was guessed right stays.
"""

from voicecore.turns.backchannels import plain, without
from voicecore.turns.overlap import OverlapPolicy

WILD_CONFIDENCE = 0.4
"""Speech is never guessed at with less all the time. Of words that say nothing alone even a murmur
is guessed with more."""
LONG_LETTERS = 4
"""Of shorter words it writes the same ones again at random."""
BEGINNING_MS = 300
"""So little of a sound can be anything."""


class Guesses:
    """Those at one sound."""

    def __init__(self, policy: OverlapPolicy) -> None:
        self._idle = policy.never | policy.hollow
        self._sure = policy.min_confidence
        self._last: frozenset[str] = frozenset()
        self._some = self._speech = False

    @property
    def wild(self) -> bool:
        """There were guesses, none of them sure, and no long word that tells anything came twice in
        a row."""
        return self._some and not self._speech

    def started(self) -> None:
        """A new sound begins."""
        self._last, self._some, self._speech = frozenset(), False, False

    def told(self, text: str, confidence: float, sound_ms: int) -> None:
        """Another guess, at the first ``sound_ms``."""
        words = plain(text)
        if not words:
            return
        telling = without(words, self._idle)
        long = frozenset(word for word in telling if len(word) >= LONG_LETTERS)
        agrees = not long.isdisjoint(self._last)
        self._last = long
        if sound_ms >= BEGINNING_MS:
            self._some = True
            sure = confidence >= (WILD_CONFIDENCE if telling else self._sure)
            self._speech = self._speech or sure or agrees
