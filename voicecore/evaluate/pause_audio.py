"""Turns with pauses as audio: pieces of speech joined by silences of given lengths. Pure.

The pieces are cut out of the whole turn, spoken in one breath: where a caller is going to go on
the melody does not fall as at an end, and a piece that is spoken by itself falls at its end even
with a comma behind it. What counts as a pause is measured afterwards, in what was made: voices
rest at commas too.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float64]

RATE_HZ = 8000
VOICED_DB = 30.0
"""A 10 ms window is voiced when it is no more than this below the loudest of the turn."""
SHORTEST_PAUSE_MS = 100
_WINDOW_MS = 10
_MARGIN_MS = 15
_FADE_MS = 60
_LEVEL = 2800.0
"""RMS of the voiced parts: -21 dB of full scale, as a telephone network levels speech."""
_BAND_HZ = (300.0, 3400.0)


class Silence(msgspec.Struct, frozen=True):
    """From the last voiced window before it to the first after it."""

    from_ms: int
    to_ms: int

    @property
    def duration_ms(self) -> int:
        return self.to_ms - self.from_ms


class TurnAudio(msgspec.Struct, frozen=True):
    """16-bit samples at 8 kHz, and the silences within the speech that they hold."""

    pcm16: bytes
    pauses: tuple[Silence, ...]
    begin_ms: int
    end_ms: int
    """Of the last voiced window."""


def spoken_pieces(pieces: Sequence[str]) -> tuple[str, ...]:
    """What the voice is given for each piece, to find it in the whole turn."""
    *firsts, last = pieces
    return (*(piece.rstrip(".,?!") + "," for piece in firsts), last)


def join(pieces: Sequence[Samples], pauses_ms: Sequence[int]) -> TurnAudio:
    """One turn out of its pieces at 8 kHz, with the pauses between them, limited to the
    telephone's band."""
    parts: list[Samples] = [_quiet(60)]
    for index, piece in enumerate(pieces):
        if index:
            # The margins that are left on both sides are silence already.
            parts.append(_quiet(max(pauses_ms[index - 1] - 2 * _MARGIN_MS, 0)))
        spoken = trimmed(piece)
        parts.append(spoken if index == len(pieces) - 1 else dying_away(spoken))
    parts.append(_quiet(60))
    return measured(levelled(telephone_band(np.concatenate(parts))))


def measured(samples: Samples) -> TurnAudio:
    voiced = np.flatnonzero(voiced_windows(samples))
    ends = [int(window + 1) * _WINDOW_MS for window in voiced]
    starts = [int(window) * _WINDOW_MS for window in voiced]
    pauses = tuple(
        Silence(end, start)
        for end, start in zip(ends[:-1], starts[1:], strict=True)
        if start - end >= SHORTEST_PAUSE_MS
    )
    pcm16 = np.rint(np.clip(samples, -32_768, 32_767)).astype("<i2").tobytes()
    return TurnAudio(pcm16, pauses, starts[0], ends[-1])


def voiced_windows(samples: Samples) -> npt.NDArray[np.bool_]:
    """Which windows of 10 ms have voice in them."""
    levels = _levels(samples)
    loud: npt.NDArray[np.bool_] = levels > levels.max(initial=1.0) * 10 ** (-VOICED_DB / 20)
    return loud


def trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends."""
    voiced = np.flatnonzero(voiced_windows(samples))
    size = RATE_HZ * _WINDOW_MS // 1000
    margin = RATE_HZ * _MARGIN_MS // 1000
    if not len(voiced):
        return samples[:0]
    return samples[max(int(voiced[0]) * size - margin, 0) : (int(voiced[-1]) + 1) * size + margin]


def dying_away(samples: Samples) -> Samples:
    """With a soft end: a voice that halts dies away, a cut does not."""
    size = min(RATE_HZ * _FADE_MS // 1000, len(samples))
    return np.concatenate([samples[: len(samples) - size], samples[len(samples) - size :]
                           * np.linspace(1.0, 0.0, size)])  # fmt: skip


def pitched(samples: Samples, factor: float, rate_hz: int) -> Samples:
    """Samples of any rate at 8 kHz, with pitch and formants raised by ``factor``; shorter by as
    much."""
    made = soxr.resample(samples, rate_hz * factor, RATE_HZ)
    return np.asarray(made, np.float64)


def telephone_band(samples: Samples) -> Samples:
    """300 to 3400 Hz."""
    spectrum = np.fft.rfft(samples)
    at_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    low_hz, high_hz = _BAND_HZ
    rise = np.clip((at_hz - low_hz / 2) / (low_hz / 2), 0, 1)
    fall = np.clip((high_hz + 300 - at_hz) / 300, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * rise * fall, len(samples)), np.float64)


def levelled(samples: Samples) -> Samples:
    levels = _levels(samples)
    voiced = levels[voiced_windows(samples)]
    rms = float(np.sqrt(np.mean(voiced**2))) if len(voiced) else 1.0
    return np.clip(samples * (_LEVEL / max(rms, 1e-9)), -30_000, 30_000)


def _levels(samples: Samples) -> Samples:
    size = RATE_HZ * _WINDOW_MS // 1000
    count = len(samples) // size
    return np.asarray(
        np.sqrt(np.mean(samples[: count * size].reshape(count, size) ** 2, axis=1)), np.float64
    )


def _quiet(duration_ms: int) -> Samples:
    return np.zeros(RATE_HZ * duration_ms // 1000)
