"""How loud a line is: its noise, and a caller's speech."""

import math

from media.audio.levels import FULL_SCALE, mean_square, mean_square_of_dbfs

MEASURE_EVERY = 8
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
_STANDS_OUT = 10**0.8
"""Somebody softer is louder than the line's noise by so much."""
_CROWD_RISE, _CROWD_FADE, _CROWD_FALL = 1.03, 0.7, 0.0025
"""A crowd is not: it is noise, which rises to it by six decibels a second, and falls by ten where
nobody speaks. It goes on while the caller listens, and is not to become the caller in a dozen
seconds; but who hardly stands out of it is not to be unheard for long either."""
_CROWD_FRAMES = 50
"""A crowd has no fewer frames of voice between eight without."""
_BELOW_IN_CROWD = 10**-1.8
"""Some voices of a crowd are nearer: in one the caller is not this far below the louder moments."""


class LineLevels:
    """Mean squares of 16-bit samples: of the noise, smoothed; of the loudest voice since the last
    ``reset``; and of the caller's louder moments all along."""

    def __init__(self) -> None:
        self._noise = 0.0
        self._crowd = 0.0
        """The noise, with what sounds like voice and never pauses."""
        self._in_crowd = False
        self._apart = 0
        """Frames of voice that were not the caller's since the noise was measured."""
        self._voice = 0.0
        self._caller = 0.0
        self._recent = 0.0
        self._skipped = 0

    def unvoiced(self, pcm16: bytes) -> None:
        """A frame in which nobody speaks."""
        if self._skipped:
            self._skipped -= 1
            return
        self._skipped = MEASURE_EVERY - 1
        level = max(mean_square(pcm16), _LEAST)
        self._noise += (level - self._noise) * (_SMOOTHING if self._noise else 1.0)
        self._crowd = max(self._crowd * _CROWD_FADE, self._noise)
        self._in_crowd = self._apart >= _CROWD_FRAMES
        self._apart = 0

    def voiced(self, level: float) -> bool:
        """A frame that sounds like speech, with its mean square. False: it is far too quiet to
        be the caller's."""
        caller = self._caller
        self._recent += (level - self._recent) * _RECENT
        least = caller * _FAR_BELOW
        if self._in_crowd:
            crowd, most = self._crowd * _STANDS_OUT, caller * _BELOW_IN_CROWD
            if crowd > least:
                least = crowd if crowd < most else most
        if level < least:
            self._is_apart(level)
            return False
        self._caller += (level - caller) * (_RISE if level > caller else _FALL)
        if level > self._voice:
            self._voice = level
        return True

    def _is_apart(self, level: float) -> None:
        """A frame of voice is not the caller's. A crowd's go on; between the words of one person
        there is the line's noise."""
        crowd = self._crowd
        if crowd < _LEAST:
            crowd = _LEAST
        stands_out = level > crowd * _STANDS_OUT
        self._caller += (level - self._caller) * (_FALL if stands_out else _CROWD_FALL)
        if level > crowd:
            self._crowd = crowd * _CROWD_RISE
        else:
            self._crowd = crowd + (level - crowd) * _SMOOTHING
        self._apart += 1
        if self._apart == _CROWD_FRAMES:
            self._in_crowd = True

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
