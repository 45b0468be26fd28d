"""How loud audio is."""

import numpy as np
import numpy.typing as npt

from media.audio.convert import transcoder
from media.audio.format import AudioFormat, Encoding

_SAMPLE = np.dtype("<i2")

FULL_SCALE = 32768.0**2
"""The mean square of a full-scale square wave."""


def mean_square(pcm16: bytes) -> float:
    """Mean of the squares of 16-bit samples; 0 for no samples."""
    samples = np.frombuffer(pcm16, _SAMPLE).astype(np.float32)
    return float(samples.dot(samples)) / samples.size if samples.size else 0.0


def mean_square_of_dbfs(level_dbfs: float) -> float:
    """The mean square of audio at a level, in decibels below a full-scale square wave."""
    return float((32768 * 10 ** (level_dbfs / 20)) ** 2)


def quiet_ms(payload: bytes, audio: AudioFormat, below_dbfs: float) -> int:
    """How long audio is before its first sample that is as loud as ``below_dbfs``."""
    loud = _loud(payload, audio, below_dbfs)
    return audio.duration_ms(int(loud[0]) * audio.sample_bytes if loud.size else len(payload))


def quiet_end_ms(payload: bytes, audio: AudioFormat, below_dbfs: float) -> int:
    """How long audio is after its last sample that is as loud as ``below_dbfs``."""
    loud = _loud(payload, audio, below_dbfs)
    until = (int(loud[-1]) + 1) * audio.sample_bytes if loud.size else 0
    return audio.duration_ms(len(payload) - until)


def _loud(payload: bytes, audio: AudioFormat, below_dbfs: float) -> npt.NDArray[np.intp]:
    whole = payload[: len(payload) - len(payload) % audio.sample_bytes]
    samples = np.frombuffer(transcoder(audio.encoding, Encoding.L16)(whole), "<i2")
    return np.flatnonzero(np.abs(samples.astype(np.int32)) >= 32768 * 10 ** (below_dbfs / 20))
