"""Are the words that are guessed at a sound words at all? Part of the turn machine.

A speech-to-text that hears a laugh, an engine or a murmur writes something. It is not sure of it,
and with more of the sound it writes something else. What is said is guessed better and better, and
what was guessed right stays.
"""

from collections import Counter

from voicecore.turns.backchannels import Phrase, plain, said_once, without
from voicecore.turns.overlap import OverlapPolicy

LONG_LETTERS = 4
"""Of shorter words it writes the same ones again at random."""
BEGINNING_MS = 300
"""So little of a sound can be anything."""
SURE_GUESSES = 2
"""So many that were sure of the same words outweigh that it is less sure of them in the end."""
MOST_KEPT = 32
"""Different words of one sound, so many; more are not remembered."""


class Guesses:
    """Those at one sound."""

    def __init__(self, policy: OverlapPolicy) -> None:
        self._idle = policy.never | policy.hollow
        self._sure, self._wild = policy.min_confidence, policy.wild_confidence
        self._sure_of: Counter[Phrase] = Counter()
        """How many guesses were sure of these words."""
        self._last: frozenset[str] = frozenset()
        self._count = 0
        self._speech = False
        self.heard_ms = 0
        """So much of the sound the last guess was made at."""

    @property
    def wild(self) -> bool:
        """There were guesses, none of them sure, and no long word that tells anything came twice in
        a row."""
        return self._count > 0 and not self._speech

    @property
    def several(self) -> bool:
        return self._count > 1

    def started(self) -> None:
        """A new sound begins."""
        self._last, self._count, self._speech = frozenset(), 0, False
        self._sure_of.clear()
        self.heard_ms = 0

    def were_sure(self, text: str) -> bool:
        """Whether that was guessed several times, and surely. A short word that is said twice in
        one guess is the same: some speech-to-texts write one so."""
        return self._sure_of[said_once(plain(text))] >= SURE_GUESSES

    def told(self, text: str, confidence: float, sound_ms: int) -> None:
        """Another guess, at the first ``sound_ms``."""
        words = plain(text)
        if not words:
            return
        telling = without(words, self._idle)
        long = frozenset(word for word in telling if len(word) >= LONG_LETTERS)
        agrees = not long.isdisjoint(self._last)
        self._last = long
        self.heard_ms = sound_ms
        if confidence >= self._sure and len(self._sure_of) < MOST_KEPT:
            self._sure_of[said_once(words)] += 1
        if sound_ms >= BEGINNING_MS:
            self._count += 1
            # Of words that say nothing alone the vendor is surer, though it be a murmur.
            sure = confidence >= (self._wild if telling else self._sure)
            self._speech = self._speech or sure or agrees
