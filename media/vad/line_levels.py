"""How far a caller's speech stands out from the noise of the line."""

import math

from media.audio.levels import mean_square, mean_square_of_dbfs

MEASURE_EVERY = 8
"""Of the frames without voice, one in so many is measured: noise changes slowly."""

_SMOOTHING = 0.15
_LEAST = mean_square_of_dbfs(-75)
"""Digital silence is not taken for a line without noise."""


class LineLevels:
    """Mean squares of 16-bit samples: of the noise, smoothed, and of the loudest voice since the
    last ``reset``."""

    def __init__(self) -> None:
        self._noise = 0.0
        self._voice = 0.0
        self._skipped = 0

    def unvoiced(self, pcm16: bytes) -> None:
        """A frame in which nobody speaks."""
        if self._skipped:
            self._skipped -= 1
            return
        self._skipped = MEASURE_EVERY - 1
        level = max(mean_square(pcm16), _LEAST)
        self._noise += (level - self._noise) * (_SMOOTHING if self._noise else 1.0)

    def voiced(self, level: float) -> None:
        """A frame of speech with its mean square."""
        if level > self._voice:
            self._voice = level

    def reset(self) -> None:
        """The speech is over."""
        self._voice = 0.0

    def above_noise_db(self) -> float:
        """How much louder the voice is than the noise; 0 while there has been none."""
        if not self._voice:
            return 0.0
        return 10 * math.log10(self._voice / max(self._noise, _LEAST))
