"""The caller's sounds, cut into frames and ready to send before the call begins."""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import pybase64

from media.audio.convert import convert_all
from media.audio.format import AudioFormat, Encoding
from media.carriers.wire import swapped
from media.phone.loudness import FULL_SCALE

VOICED_DBFS = -45.0
_QUIETEST_VOICE_DB = 20.0
_IDLE_FRAMES = 64

Pcm = npt.NDArray[np.float64]


class Frame(msgspec.Struct, frozen=True, gc=False):
    """20 ms as the carrier sends them, raw and in base64."""

    payload: bytes
    base64: bytes


class Utterance(msgspec.Struct, frozen=True):
    """A sound. ``first_voiced`` and ``last_voiced`` count frames: what lies before and after
    is silence, which no latency is measured from."""

    frames: tuple[Frame, ...]
    first_voiced: int
    last_voiced: int


class Sounds(msgspec.Struct, frozen=True):
    """Everything the caller may send: ``utterances`` by ``Utter.sound``, and the frames of a
    quiet line, to be sent in turn."""

    idle: tuple[Frame, ...]
    utterances: Mapping[str, Utterance]


class Wire(msgspec.Struct, frozen=True):
    """How samples travel on this call's line, and the noise that lies on it."""

    audio: AudioFormat
    big_endian: bool = False
    noise_dbfs: float | None = None


def make_sounds(wire: Wire, speech: Mapping[str, bytes]) -> Sounds:
    """``speech`` is each utterance as 16-bit samples at the line's rate. The same noise at each
    making: a call can be repeated exactly."""
    rng = np.random.default_rng(20)
    utterances = {key: _utterance(pcm16, wire, rng) for key, pcm16 in speech.items()}
    return Sounds(_idle(wire, rng), utterances)


def cough(rate_hz: int) -> bytes:
    """Two bursts of shaped noise, about a quarter of a second in all: 16-bit samples."""
    rng = np.random.default_rng(250)
    parts = [
        _burst(rng, rate_hz, 120, 9000.0),
        np.zeros(rate_hz * 40 // 1000),
        _burst(rng, rate_hz, 100, 6000.0),
    ]
    return np.rint(np.concatenate(parts)).astype("<i2").tobytes()


def linear(wire: Wire, payload: bytes) -> bytes:
    """Frames as they were sent, as 16-bit little-endian samples at the line's rate."""
    if wire.audio.encoding is Encoding.L16:
        return swapped(payload) if wire.big_endian else payload
    return convert_all(payload, wire.audio, AudioFormat(Encoding.L16, wire.audio.rate_hz))


def _burst(rng: np.random.Generator, rate_hz: int, size_ms: int, rms: float) -> Pcm:
    """Noise with a sharp start and a soft end, its highest frequencies taken off."""
    size = rate_hz * size_ms // 1000
    noise = np.convolve(rng.standard_normal(size), np.ones(3) / 3, mode="same")
    shape = np.minimum(np.arange(size) / (rate_hz * 0.004), 1) * np.exp(-np.arange(size) / size * 3)
    wave: Pcm = noise * shape
    scaled: Pcm = np.clip(wave * rms / np.sqrt((wave**2).mean()), -32_000, 32_000)
    return scaled


def _utterance(pcm16: bytes, wire: Wire, rng: np.random.Generator) -> Utterance:
    samples = np.frombuffer(pcm16, dtype="<i2").astype(np.float64)
    size = wire.audio.rate_hz // 50
    count = max(-(-len(samples) // size), 1)
    padded = np.zeros(count * size)
    padded[: len(samples)] = samples
    levels = np.sqrt((padded.reshape(count, size) ** 2).mean(axis=1))
    threshold = min(_rms(VOICED_DBFS), levels.max() * 10 ** (-_QUIETEST_VOICE_DB / 20))
    voiced = np.flatnonzero(levels >= threshold)
    frames = _frames(padded + _noise(count * size, wire, rng), wire)
    return Utterance(frames, int(voiced[0]), int(voiced[-1]))


def _idle(wire: Wire, rng: np.random.Generator) -> tuple[Frame, ...]:
    if wire.noise_dbfs is None:
        return _frames(np.zeros(wire.audio.rate_hz // 50), wire)
    return _frames(_noise(_IDLE_FRAMES * wire.audio.rate_hz // 50, wire, rng), wire)


def _noise(size: int, wire: Wire, rng: np.random.Generator) -> Pcm:
    if wire.noise_dbfs is None:
        return np.zeros(size)
    return rng.standard_normal(size) * _rms(wire.noise_dbfs)


def _frames(samples: Pcm, wire: Wire) -> tuple[Frame, ...]:
    pcm16 = np.rint(np.clip(samples, -32_768, 32_767)).astype("<i2").tobytes()
    audio = wire.audio
    payload = convert_all(pcm16, AudioFormat(Encoding.L16, audio.rate_hz), audio)
    if audio.encoding is Encoding.L16 and wire.big_endian:
        payload = swapped(payload)
    size = audio.frame_bytes
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    return tuple(Frame(piece, pybase64.b64encode(piece)) for piece in pieces)


def _rms(level_dbfs: float) -> float:
    return float(FULL_SCALE * 10 ** (level_dbfs / 20))
