"""G.711 companding by table: µ-law and A-law to and from signed 16-bit little-endian samples.

Source: ITU-T Recommendation G.711 (11/88), tables 1 and 2. A 14-bit µ-law or 13-bit A-law
value fills the upper bits of the 16-bit sample, the usual scaling. Bytes in, bytes out.
"""

import numpy as np
from numpy.typing import NDArray

_BYTE = np.dtype(np.uint8)
_WORD = np.dtype("<u2")
_SAMPLE = np.dtype("<i2")

# Up to about four 20 ms frames at 8 kHz the bytes' own methods beat numpy, whose fixed cost per
# call is a microsecond; above that numpy wins by throughput.
_SHORT = 640


def _mulaw_decoding() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << ((code & 0x70) >> 4)) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(_SAMPLE)


def _alaw_decoding() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    exponent = (code & 0x70) >> 4
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, step, (step + 256) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(_SAMPLE)


def _every_sample() -> NDArray[np.int64]:
    """All 16-bit samples, at the index of their unsigned reading."""
    return np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64)


def _bit_length(value: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(value)[1].astype(np.int64)


def _mulaw_encoding() -> NDArray[np.uint8]:
    sample = _every_sample() >> 2
    biased: NDArray[np.int64] = np.minimum(np.abs(sample), 8158) + 33
    exponent = _bit_length(biased) - 6
    code = (exponent << 4) | (biased >> (exponent + 1) & 0x0F)
    return np.where(sample < 0, code ^ 0x7F, code ^ 0xFF).astype(np.uint8)


def _alaw_encoding() -> NDArray[np.uint8]:
    sample = _every_sample() >> 3
    magnitude = np.where(sample < 0, ~sample, sample)
    exponent = np.maximum(_bit_length(magnitude) - 5, 0)
    code = (exponent << 4) | (magnitude >> np.maximum(exponent, 1) & 0x0F)
    return (np.where(sample < 0, code, code | 0x80) ^ 0x55).astype(np.uint8)


def _halves(samples: NDArray[np.int16]) -> tuple[bytes, bytes]:
    """The low and the high bytes of 256 samples, as tables for ``bytes.translate``."""
    code_units = samples.view(_WORD)
    return (code_units & 255).astype(_BYTE).tobytes(), (code_units >> 8).astype(_BYTE).tobytes()


_FROM_MULAW = _mulaw_decoding()
_FROM_ALAW = _alaw_decoding()
_TO_MULAW = _mulaw_encoding()
_TO_ALAW = _alaw_encoding()
_MULAW_ALAW = _TO_ALAW.take(_FROM_MULAW.view(_WORD)).tobytes()
_ALAW_MULAW = _TO_MULAW.take(_FROM_ALAW.view(_WORD)).tobytes()

# The same decoding tables by halves, for frames: two translations into a buffer take less time
# than numpy needs to begin.
_MULAW_LOW, _MULAW_HIGH = _halves(_FROM_MULAW)
_ALAW_LOW, _ALAW_HIGH = _halves(_FROM_ALAW)


def decode_mulaw(mulaw: bytes) -> bytes:
    """Two bytes for each µ-law byte."""
    if len(mulaw) > _SHORT:
        return _FROM_MULAW.take(np.frombuffer(mulaw, _BYTE)).tobytes()
    pcm16 = bytearray(2 * len(mulaw))
    pcm16[::2] = mulaw.translate(_MULAW_LOW)
    pcm16[1::2] = mulaw.translate(_MULAW_HIGH)
    return bytes(pcm16)


def decode_alaw(alaw: bytes) -> bytes:
    """Two bytes for each A-law byte."""
    if len(alaw) > _SHORT:
        return _FROM_ALAW.take(np.frombuffer(alaw, _BYTE)).tobytes()
    pcm16 = bytearray(2 * len(alaw))
    pcm16[::2] = alaw.translate(_ALAW_LOW)
    pcm16[1::2] = alaw.translate(_ALAW_HIGH)
    return bytes(pcm16)


def encode_mulaw(pcm16: bytes) -> bytes:
    """One µ-law byte for each sample.

    :raises ValueError: half a sample at the end."""
    return _TO_MULAW.take(np.frombuffer(pcm16, _WORD)).tobytes()


def encode_alaw(pcm16: bytes) -> bytes:
    """One A-law byte for each sample.

    :raises ValueError: half a sample at the end."""
    return _TO_ALAW.take(np.frombuffer(pcm16, _WORD)).tobytes()


def mulaw_to_alaw(mulaw: bytes) -> bytes:
    """Through the 16-bit value of each code; silence stays silence."""
    return mulaw.translate(_MULAW_ALAW)


def alaw_to_mulaw(alaw: bytes) -> bytes:
    """Through the 16-bit value of each code; A-law's smallest step is µ-law's ±8."""
    return alaw.translate(_ALAW_MULAW)
