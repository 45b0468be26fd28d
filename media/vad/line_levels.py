"""How loud a line is: its noise, and a caller's speech."""

import math

from media.audio.format import FRAME_MS
from media.audio.levels import FULL_SCALE, mean_square, mean_square_of_dbfs

MEASURE_EVERY = 4
"""Of the frames without voice, one in so many is measured: noise changes slowly."""

_SMOOTHING = 0.15
_LEAST = mean_square_of_dbfs(-75)
"""Digital silence is not taken for a line without noise."""

FAR_BELOW_DB = 22
"""What is so much quieter than the caller's louder moments is not the caller, but people or a
television behind. Speech itself varies as much, but its quiet frames stand between loud ones."""
_FAR_BELOW = 10 ** (-FAR_BELOW_DB / 10)
_RECENT = 0.4
_FADED = 10**-1.2
_RISE, _FALL = 0.1, 0.004
"""A loud moment counts after a fifth of a second; it is forgotten at a decibel a second of
voice, so that somebody softer is heard before long."""
FLOOR_MS = 3000
"""In so much time, twice as much at most, every voice has a gap in which the line's noise is heard.
Where none is found a crowd is heard, or an engine: its quietest moment is not much below it."""
_FLOOR_FRAMES = FLOOR_MS // FRAME_MS
_STANDS_OUT = 10**1.0
"""The caller is louder by so much than the quietest moment; what goes on behind hardly ever is."""
_NEAR_BELOW = 10**-1.3
"""Whatever the noise, the caller may be this far below their own louder moments."""


class LineLevels:
    """Mean squares of 16-bit samples: of the noise, smoothed; of the quietest moments of late,
    whether they sound like voice or not; of the loudest voice since the last ``reset``; and of the
    caller's louder moments all along."""

    def __init__(self) -> None:
        self._noise = 0.0
        self._voice = 0.0
        self._caller = 0.0
        self._recent = 0.0
        """The level of the last frames, smoothed."""
        self._skipped = 0
        self._floor = 0.0
        """The quietest moment of the last seconds; 0 until it is known."""
        self._quietest = self._quietest_before = math.inf
        """Of the stretch of ``FLOOR_MS`` that goes on, and of the one before it."""
        self._frames = 0
        """In the stretch so far."""

    def unvoiced(self, pcm16: bytes) -> None:
        """A frame in which nobody speaks."""
        if self._skipped:
            self._skipped -= 1
            return
        self._skipped = MEASURE_EVERY - 1
        level = max(mean_square(pcm16), _LEAST)
        self._noise += (level - self._noise) * (_SMOOTHING if self._noise else 1.0)
        self._hear(level, MEASURE_EVERY)

    def voiced(self, level: float) -> bool:
        """A frame that sounds like speech, with its mean square. False: it is the line's noise, or
        far too quiet to be the caller's."""
        caller = self._caller
        self._hear(level, 1)
        least, most = self._floor * _STANDS_OUT, caller * _NEAR_BELOW
        if self._recent < (least if least < most else most) or level < caller * _FAR_BELOW:
            if level < caller:
                self._caller += (level - caller) * _FALL
            return False
        self._caller += (level - caller) * (_RISE if level > caller else _FALL)
        if level > self._voice:
            self._voice = level
        return True

    def _hear(self, level: float, frames: int) -> None:
        """So many frames of this level."""
        self._recent = recent = self._recent + (level - self._recent) * _RECENT
        if recent < self._quietest:
            self._quietest = recent
        self._frames += frames
        if self._frames >= _FLOOR_FRAMES:
            self._quietest_before, self._quietest = self._quietest, math.inf
            self._frames = 0
        before = self._quietest_before
        if before < math.inf:
            self._floor = before if before < self._quietest else self._quietest

    @property
    def faded(self) -> bool:
        """The last voiced frames are far quieter than the voice was: it is perhaps over, and what
        sounds like voice is the noise of a crowd."""
        return self._recent < self._voice * _FADED

    def reset(self) -> None:
        """The speech is over."""
        self._voice = 0.0

    def above_noise_db(self) -> float:
        """How much louder the voice is than the noise; 0 while there has been none."""
        if not self._voice:
            return 0.0
        return 10 * math.log10(self._voice / max(self._noise, _LEAST))

    def loudest_dbfs(self) -> float:
        """The loudest moment of the voice, in decibels below a full-scale square wave."""
        return 10 * math.log10(max(self._voice, _LEAST) / FULL_SCALE)
