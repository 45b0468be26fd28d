"""Log-mel features of the last seconds of speech, as Whisper's models want them. Pure.

After the published recipe (openai/whisper ``audio.py``; Hugging Face's
``WhisperFeatureExtractor`` with ``chunk_length=8`` and ``do_normalize=True``): Hann windows of
25 ms every 10 ms, the power spectrum through 80 triangles on Slaney's mel scale, the logarithm
kept within 80 dB of the loudest. Unlike there, what is missing is missing at the beginning, as
Smart Turn is trained.
"""

from functools import cache
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

RATE_HZ = 16_000
WINDOW_S = 8
SAMPLES = RATE_HZ * WINDOW_S
BANDS = 80
FRAMES = 800

_FFT = 400
_HOP = 160
_FLOOR = 1e-10
_RANGE = 8.0
"""How far below the loudest a value may lie, in powers of ten."""
_PIECE = 16
"""Frames that are weighed at a time: so few that BLAS does not wake its other threads, which
costs seven times the work itself."""
_LINEAR_HZ, _LINEAR_MELS, _LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27.0
"""Slaney's scale is linear up to 1 kHz, which is 15 mels, and logarithmic above."""


def log_mel(pcm16: bytes) -> Floats:
    """Features of the end of 16 kHz mono audio: ``(BANDS, FRAMES)`` of float32."""
    heard = np.frombuffer(pcm16, "<i2")[-SAMPLES:]
    samples = np.zeros(SAMPLES, np.float32)
    if len(heard):
        samples[-len(heard) :] = heard
    samples /= 32_768
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    around = np.pad(samples, _FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(around, _FFT)[::_HOP][:FRAMES]
    spectrum = np.fft.rfft(frames * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    pieces = power.reshape(-1, _PIECE, power.shape[1]) @ _triangles().T
    levels = np.log10(np.maximum(pieces.reshape(FRAMES, BANDS).T, _FLOOR))
    levels = np.maximum(levels, levels.max() - _RANGE)
    features: Floats = ((levels + 4.0) / 4.0).astype(np.float32)
    return features


@cache
def _window() -> Floats:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)


@cache
def _triangles() -> Floats:
    """``(BANDS, bins)``: each band rises from its neighbour's middle to its own and falls to the
    next one's, with the same area whatever its width."""
    edges_hz = _hertz(np.linspace(0.0, _mels(RATE_HZ / 2), BANDS + 2))
    bins_hz = np.linspace(0.0, RATE_HZ / 2, _FFT // 2 + 1)
    low, middle, high = (edges_hz[at : at + BANDS, None] for at in range(3))
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    triangles: Floats = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    return triangles


def _mels(hertz: float) -> float:
    if hertz < _LINEAR_HZ:
        return hertz * _LINEAR_MELS / _LINEAR_HZ
    return float(_LINEAR_MELS + np.log(hertz / _LINEAR_HZ) / _LOG_STEP)


def _hertz(mels: Floats) -> Floats:
    linear = mels * _LINEAR_HZ / _LINEAR_MELS
    return np.where(
        mels < _LINEAR_MELS, linear, _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MELS))
    )
