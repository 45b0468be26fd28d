"""Streaming change of sampling rate, mono, over soxr."""

import numpy as np
import soxr

_SAMPLE = np.dtype("<i2")
_NOTHING = np.zeros(0, np.float32)


class Resampler:
    """Converts a stream of signed 16-bit little-endian samples from one rate to another.

    It uses soxr's variable-rate engine at a fixed ratio: that one hands out audio as it comes
    in, at most 30 ms behind, where the fixed-rate one holds up to 100 ms back and lets it go in
    lumps. Flat to 3.6 kHz at 8 kHz, images and aliases below -60 dB. Samples are computed as
    floats and rounded, so that equal input gives equal output and silence stays silent (soxr's
    16-bit output is dithered)."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """:raises ValueError: a rate is not positive."""
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"a sampling rate is positive: {from_hz}, {to_hz}")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._odd_byte = b""
        self._stream = _stream(from_hz, to_hz) if from_hz != to_hz else None

    def process(self, pcm16: bytes) -> bytes:
        """The next samples; may be empty. Half a sample at the end waits for its other half."""
        if self._odd_byte:
            pcm16 = self._odd_byte + pcm16
            self._odd_byte = b""
        if len(pcm16) & 1:
            self._odd_byte = pcm16[-1:]
            pcm16 = pcm16[:-1]
        if self._stream is None or not pcm16:
            return pcm16
        samples = np.frombuffer(pcm16, _SAMPLE).astype(np.float32)
        return _to_bytes(self._stream.resample_chunk(samples))

    def flush(self) -> bytes:
        """The tail of the stream; afterwards the resampler is as new. Half a sample is lost."""
        self._odd_byte = b""
        if self._stream is None:
            return b""
        tail = _to_bytes(self._stream.resample_chunk(_NOTHING, last=True))
        self._stream.clear()
        return tail

    def reset(self) -> None:
        """Forget everything taken in, so that nothing of it sounds in what follows."""
        self._odd_byte = b""
        if self._stream is not None:
            self._stream.clear()


def resample_all(pcm16: bytes, from_hz: int, to_hz: int) -> bytes:
    """A whole recording at once, in soxr's high quality.

    :raises ValueError: half a sample at the end, or a rate that is not positive."""
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"a sampling rate is positive: {from_hz}, {to_hz}")
    samples = np.frombuffer(pcm16, _SAMPLE)
    if from_hz == to_hz or not pcm16:
        return pcm16
    return _to_bytes(soxr.resample(samples.astype(np.float32), from_hz, to_hz))


def _stream(from_hz: int, to_hz: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ", vr=True)


def _to_bytes(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> bytes:
    return np.rint(samples).clip(-32768, 32767).astype(_SAMPLE).tobytes()
