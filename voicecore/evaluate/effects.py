"""Sounds and noise made from seeds: coughs and the like, and what lies on a telephone line.
Pure: 8 kHz samples as floats, full scale 1.0.

They are models, not recordings: a cough is a sharp burst of breath noise and a voiced tail, a
laugh a row of voiced breaths. Nothing here knows who will hear them.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

RATE_HZ = 8_000
SPEECH_DBFS = -20.0
"""Level of ordinary speech on the line (RMS while it is voiced); carriers aim at about this."""


def band_passed(samples: Samples, low_hz: float = 300.0, high_hz: float = 3_400.0) -> Samples:
    """The telephone's band (ITU-T G.712 passes 300 to 3400 Hz), with soft edges."""
    if not len(samples):
        return samples
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    rise = 1 / (1 + np.exp(-(hz - low_hz) / 25.0))
    fall = 1 / (1 + np.exp((hz - high_hz) / 60.0))
    passed: Samples = np.fft.irfft(spectrum * rise * fall, len(samples))
    return passed


def at_level(samples: Samples, level_dbfs: float) -> Samples:
    """Scaled so that the RMS of its louder 20 ms pieces (within 25 dB of the loudest) is the
    level: pauses do not count."""
    size = RATE_HZ // 50
    whole = len(samples) // size * size
    if not whole:
        return samples
    power = (samples[:whole].reshape(-1, size) ** 2).mean(axis=1)
    active = power[power >= power.max() * 10 ** (-25 / 10)]
    rms = float(np.sqrt(active.mean())) if power.max() > 0 else 0.0
    return samples if rms == 0 else samples * (10 ** (level_dbfs / 20) / rms)


def sound(name: str, seed: int) -> Samples:
    """One of ``SOUND_NAMES`` at the level of ordinary speech; the same for the same seed."""
    made = _SOUNDS[name](np.random.default_rng(seed))
    return at_level(made, SPEECH_DBFS)


def line_noise(name: str, seconds: float, rms_dbfs: float, seed: int) -> Samples:
    """Noise for a line; ``babble`` and ``street`` swell and fade as the real ones do."""
    size = int(seconds * RATE_HZ)
    if name == "none":
        return np.zeros(size)
    rng = np.random.default_rng(seed)
    noise = band_passed(_NOISES[name](rng, size))
    rms = float(np.sqrt((noise**2).mean()))
    return noise * (10 ** (rms_dbfs / 20) / rms)


def _cough(rng: np.random.Generator) -> Samples:
    bursts = [_breath(rng, int(rng.integers(90, 140)), 5, 500, 2_800)]
    for _ in range(int(rng.integers(0, 2)) + 1):
        bursts += [np.zeros(int(rng.integers(60, 140)) * 8)]
        bursts += [_breath(rng, int(rng.integers(80, 130)), 5, 400, 2_400) * rng.uniform(0.5, 0.9)]
    tail = _voiced(rng, 90, 150, 110) * _fade(90)
    return np.concatenate([*bursts, tail * 0.3])


def _throat(rng: np.random.Generator) -> Samples:
    """Clearing the throat: two low, rough, voiced strokes."""
    strokes = []
    for size_ms in (int(rng.integers(180, 240)), int(rng.integers(140, 200))):
        rough = _voiced(rng, size_ms, 95, 80) + 0.6 * _breath(rng, size_ms, 30, 200, 1_500)
        strokes += [rough * _swell(size_ms), np.zeros(8 * int(rng.integers(50, 90)))]
    return np.concatenate(strokes)


def _laugh(rng: np.random.Generator) -> Samples:
    parts = []
    pitch = float(rng.uniform(170, 260))
    for index in range(int(rng.integers(4, 7))):
        size_ms = int(rng.integers(80, 120))
        breath = _breath(rng, size_ms, 20, 600, 2_600)
        ha = _voiced(rng, size_ms, pitch * 0.96**index, pitch * 0.9 * 0.96**index)
        parts += [(0.4 * breath + ha) * _swell(size_ms) * 0.9**index]
        parts += [np.zeros(8 * int(rng.integers(60, 100)))]
    return np.concatenate(parts)


def _sniff(rng: np.random.Generator) -> Samples:
    size_ms = int(rng.integers(220, 320))
    return _breath(rng, size_ms, 90, 1_200, 3_300) * _swell(size_ms)


def _sneeze(rng: np.random.Generator) -> Samples:
    inhale = _breath(rng, 260, 150, 900, 2_600) * _swell(260) * 0.3
    return np.concatenate([inhale, np.zeros(8 * 60), _breath(rng, 240, 8, 900, 3_400)])


def _click(rng: np.random.Generator) -> Samples:
    """A pen or a tongue."""
    return np.concatenate([_breath(rng, 25, 1, 800, 3_200), np.zeros(8 * 120),
                           _breath(rng, 20, 1, 800, 3_200)])  # fmt: skip


def _thud(rng: np.random.Generator) -> Samples:
    """Something is put on the table."""
    return _breath(rng, 140, 3, 250, 700)


_SOUNDS: Mapping[str, Callable[[np.random.Generator], Samples]] = {
    "cough": _cough,
    "throat": _throat,
    "laugh": _laugh,
    "sniff": _sniff,
    "sneeze": _sneeze,
    "click": _click,
    "thud": _thud,
}
SOUND_NAMES = tuple(_SOUNDS)


def _breath(
    rng: np.random.Generator, size_ms: int, attack_ms: int, low_hz: float, high_hz: float
) -> Samples:
    """Noise of a band with a sharp start and a soft end."""
    size = size_ms * RATE_HZ // 1000
    noise = band_passed(rng.standard_normal(size), low_hz, high_hz)
    rise = np.minimum(np.arange(size) / (attack_ms * RATE_HZ / 1000), 1)
    shaped: Samples = (
        noise / np.sqrt((noise**2).mean()) * rise * np.exp(-np.arange(size) / size * 3)
    )
    return shaped


def _voiced(rng: np.random.Generator, size_ms: int, from_hz: float, to_hz: float) -> Samples:
    """A rough voice: twelve falling harmonics, with some jitter."""
    size = size_ms * RATE_HZ // 1000
    hz = np.linspace(from_hz, to_hz, size) * (1 + 0.02 * rng.standard_normal(size).cumsum() / 40)
    phase = 2 * np.pi * hz.cumsum() / RATE_HZ
    wave = sum(np.sin(number * phase) / number for number in range(1, 13))
    voiced: Samples = np.asarray(wave, np.float64)
    return voiced


def _fade(size_ms: int) -> Samples:
    return np.linspace(1.0, 0.0, size_ms * RATE_HZ // 1000)


def _swell(size_ms: int) -> Samples:
    return np.sin(np.linspace(0.0, np.pi, size_ms * RATE_HZ // 1000)) ** 0.7


def _white(rng: np.random.Generator, size: int) -> Samples:
    return rng.standard_normal(size)


def _hum(rng: np.random.Generator, size: int) -> Samples:
    """Mains hum and its harmonics, as far as they come through, over a little hiss."""
    at = np.arange(size) / RATE_HZ
    wave = sum(
        np.sin(2 * np.pi * 50 * number * at + rng.uniform(0, 6)) / number for number in range(6, 20)
    )
    hum: Samples = np.asarray(wave, np.float64) + 0.05 * rng.standard_normal(size)
    return hum


def _babble(rng: np.random.Generator, size: int) -> Samples:
    """Many talkers at once: noise of speech's spectrum, in syllables of many rates."""
    total = np.zeros(size)
    at = np.arange(size) / RATE_HZ
    for _ in range(8):
        low = rng.uniform(250, 700)
        talker = band_passed(rng.standard_normal(size), low, low + rng.uniform(400, 1_600))
        syllables = np.maximum(
            np.sin(2 * np.pi * rng.uniform(2.5, 5.0) * at + rng.uniform(0, 6)), 0
        )
        phrases = np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * at + rng.uniform(0, 6)) > -0.4
        total += talker * syllables * phrases
    return total


def _street(rng: np.random.Generator, size: int) -> Samples:
    """Traffic: low noise that swells and fades over seconds."""
    rumble = band_passed(rng.standard_normal(size), 200, 900)
    hiss = band_passed(rng.standard_normal(size), 300, 3_000)
    at = np.arange(size) / RATE_HZ
    passing = 0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(0.08, 0.2) * at + rng.uniform(0, 6))
    mixed: Samples = rumble * passing * 2 + hiss * 0.4
    return mixed


_NOISES: Mapping[str, Callable[[np.random.Generator, int], Samples]] = {
    "white": _white,
    "hum": _hum,
    "babble": _babble,
    "street": _street,
}
