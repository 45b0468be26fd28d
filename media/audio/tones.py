"""DTMF as audio, for carriers whose streams cannot send a digit otherwise.

Sources: ITU-T Q.23 (frequencies), Q.24 (levels, twist, timing of receivers).
"""

from functools import lru_cache

import numpy as np

DTMF_DIGITS = "0123456789ABCD*#"
MAX_DIGITS = 64

_LOW_HZ = (697, 770, 852, 941)
_HIGH_HZ = (1209, 1336, 1477, 1633)
_KEYPAD = ("123A", "456B", "789C", "*0#D")

# Peak levels below full scale. The high group is 2 dB louder because lines lose more of it;
# receivers take at least 4 dB of twist (Q.24). Together they peak at 0.9 of full scale.
_LOW_PEAK = 32767 * 10 ** (-8 / 20)
_HIGH_PEAK = 32767 * 10 ** (-6 / 20)
_RAMP_MS = 2

_PAUSE_MS = {"w": 500, "W": 1000}


def dtmf(digits: str, rate_hz: int = 8000, *, tone_ms: int = 100, gap_ms: int = 100) -> bytes:
    """Signed 16-bit little-endian samples of ``digits``: each of ``0-9 A-D * #`` is a tone and
    a gap, ``w`` is half a second of silence, ``W`` a second.

    :raises ValueError: another character, no digits or more than ``MAX_DIGITS``, a tone or gap
        outside 40 to 1,000 ms (Q.24 receivers need 40 ms), or a rate under 8,000 Hz."""
    if not 0 < len(digits) <= MAX_DIGITS:
        raise ValueError(f"1 to {MAX_DIGITS} digits at once, not {len(digits)}")
    if not (40 <= tone_ms <= 1000 and 40 <= gap_ms <= 1000):
        raise ValueError(f"tone and gap are 40 to 1000 ms each: {tone_ms}, {gap_ms}")
    if rate_hz < 8000:
        raise ValueError(f"DTMF needs at least 8000 samples a second, not {rate_hz}")
    gap = _silence(gap_ms, rate_hz)
    parts: list[bytes] = []
    for digit in digits:
        if digit in _PAUSE_MS:
            parts.append(_silence(_PAUSE_MS[digit], rate_hz))
        else:
            parts += (_tone(digit, rate_hz, tone_ms), gap)
    return b"".join(parts)


def dtmf_ms(digits: str, *, tone_ms: int = 100, gap_ms: int = 100) -> int:
    """How long ``dtmf`` of the digits lasts."""
    return sum(_PAUSE_MS.get(digit, tone_ms + gap_ms) for digit in digits)


def frequencies_hz(digit: str) -> tuple[int, int]:
    """The low and the high frequency of a digit.

    :raises ValueError: not one of ``0-9 A-D * #``."""
    for low_hz, row in zip(_LOW_HZ, _KEYPAD, strict=True):
        column = row.find(digit)
        if len(digit) == 1 and column >= 0:
            return low_hz, _HIGH_HZ[column]
    raise ValueError(f"not a DTMF digit: {digit!r}")


@lru_cache(maxsize=64)
def _tone(digit: str, rate_hz: int, tone_ms: int) -> bytes:
    low_hz, high_hz = frequencies_hz(digit)
    samples = rate_hz * tone_ms // 1000
    turns = 2 * np.pi * np.arange(samples) / rate_hz
    wave = _LOW_PEAK * np.sin(low_hz * turns) + _HIGH_PEAK * np.sin(high_hz * turns)
    # A short ramp at both ends keeps the click, and its energy in other bands, out.
    ramp = np.linspace(0, 1, rate_hz * _RAMP_MS // 1000, endpoint=False)
    wave[: len(ramp)] *= ramp
    wave[len(wave) - len(ramp) :] *= ramp[::-1]
    return np.rint(wave).astype("<i2").tobytes()


def _silence(duration_ms: int, rate_hz: int) -> bytes:
    return bytes(2 * (rate_hz * duration_ms // 1000))
