"""How loud a line is: its noise, and a caller's speech."""

import math

from media.audio.format import FRAME_MS
from media.audio.levels import FULL_SCALE, mean_square, mean_square_of_dbfs

MEASURE_EVERY, MEASURE_BEHIND = 8, 8
"""Of the frames without voice, one in so many is measured: noise changes slowly. And all of the
first behind a voice: its gaps are short."""

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
"""Every few seconds a voice has a gap in which the line's noise is heard; a crowd has none, and its
quietest moment in that time, twice as much at most, is not far below it."""
_FLOOR_FRAMES = FLOOR_MS // FRAME_MS
_STANDS_OUT = 10**1.1
"""Who speaks is louder by so much than the quietest moment."""
_CROWD_SHARE, _SHARE_SMOOTHING = 0.35, 0.01
"""Where so much of what does not stand out sounds like voice, it is a crowd's. Noise that does not
sound so hides nobody: the VAD tells it by itself."""
_NEAR_BELOW = 10**-1.3
"""Even in a crowd the caller may be this far below their own louder moments."""
_CROWD_FALL, _CROWD_FRAMES = 0.002, 50
"""Half of ``_FALL``: a crowd goes on while the caller listens, and is not to become the caller in
half a minute; but who hardly stands out of it is not to be unheard for ever either. Nor is a crowd
that has only begun: it has so many frames of voice between ``MEASURE_BEHIND`` without."""


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
        self._skipped = self._behind = 0
        self._apart = 0
        """Frames of voice that were not the caller's, without a pause."""
        self._floor = 0.0
        """The quietest moment of the last seconds; 0 until it is known."""
        self._quietest = self._quietest_before = math.inf
        """Of the stretch of ``FLOOR_MS`` that goes on, and of the one before it."""
        self._frames = 0
        """In the stretch so far."""
        self._share = 0.0
        """How much of what does not stand out sounds like voice."""

    def unvoiced(self, pcm16: bytes) -> None:
        """A frame in which nobody speaks."""
        if self._behind:
            self._behind -= 1
            if not self._behind:
                self._apart = 0
            self._hear(max(mean_square(pcm16), _LEAST), 1, 0.0)
            return
        if self._skipped:
            self._skipped -= 1
            return
        self._skipped = MEASURE_EVERY - 1
        level = max(mean_square(pcm16), _LEAST)
        self._noise += (level - self._noise) * (_SMOOTHING if self._noise else 1.0)
        self._hear(level, MEASURE_EVERY, 0.0)

    def voiced(self, level: float) -> bool:
        """A frame that sounds like speech, with its mean square. False: it is a crowd's, or far too
        quiet to be the caller's."""
        caller = self._caller
        self._behind = MEASURE_BEHIND
        self._hear(level, 1, 1.0)
        if self._share > _CROWD_SHARE:
            least, most = self._floor * _STANDS_OUT, caller * _NEAR_BELOW
            if self._recent < (least if least < most else most):
                if level < caller:
                    self._caller += (level - caller) * _CROWD_FALL
                return False
        if level < caller * _FAR_BELOW:
            self._apart += 1
            fall = _FALL if self._apart < _CROWD_FRAMES else _CROWD_FALL
            self._caller += (level - caller) * fall
            return False
        self._caller += (level - caller) * (_RISE if level > caller else _FALL)
        if level > self._voice:
            self._voice = level
        return True

    def _hear(self, level: float, frames: int, voiced: float) -> None:
        """One frame, which stands for so many; ``voiced`` is 1 if it sounds like voice, else 0."""
        self._recent = recent = self._recent + (level - self._recent) * _RECENT
        if recent < self._quietest:
            self._quietest = recent
        self._frames += frames
        if self._frames >= _FLOOR_FRAMES:
            self._quietest_before, self._quietest = self._quietest, math.inf
            self._frames = 0
        before = self._quietest_before
        if before < math.inf:
            self._floor = floor = before if before < self._quietest else self._quietest
            if level < floor * _STANDS_OUT:
                self._share += (voiced - self._share) * _SHARE_SMOOTHING * frames

    def missing(self) -> None:
        """Frames are missing. Carriers that send none while nobody speaks leave out the noise."""
        self._quietest = 0.0
        self._share = 0.0

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
