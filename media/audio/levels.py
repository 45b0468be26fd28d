"""How loud audio is."""

import numpy as np

FULL_SCALE = 32768.0**2
"""The mean square of a full-scale square wave."""


def mean_square(pcm16: bytes) -> float:
    """Mean of the squares of 16-bit samples; 0 for no samples."""
    samples = np.frombuffer(pcm16, dtype="<i2").astype(np.float32)
    return float(np.dot(samples, samples)) / samples.size if samples.size else 0.0


def mean_square_of_dbfs(level_dbfs: float) -> float:
    """The mean square of audio at a level, in decibels below a full-scale square wave."""
    return float((32768 * 10 ** (level_dbfs / 20)) ** 2)
