"""How audio is written down: an encoding and a rate, always one channel."""

from enum import StrEnum
from functools import cached_property

import msgspec

FRAME_MS = 20


class Encoding(StrEnum):
    """A sample encoding. ``L16`` is signed 16-bit little-endian everywhere inside the
    program; a carrier that sends another byte order swaps it in its codec."""

    MULAW = "mulaw"
    ALAW = "alaw"
    L16 = "l16"


_SILENCE = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5", Encoding.L16: b"\x00\x00"}


class AudioFormat(msgspec.Struct, frozen=True, dict=True):
    """One channel of audio at ``rate_hz`` samples a second."""

    encoding: Encoding
    rate_hz: int

    @cached_property
    def sample_bytes(self) -> int:
        return 2 if self.encoding is Encoding.L16 else 1

    @cached_property
    def bytes_per_ms(self) -> int:
        """Bytes in a millisecond; every supported rate is a multiple of 1,000 Hz."""
        return self.rate_hz * self.sample_bytes // 1000

    @cached_property
    def frame_bytes(self) -> int:
        """Bytes in a 20 ms frame."""
        return self.bytes_per_ms * FRAME_MS

    def silence(self, duration_ms: int) -> bytes:
        return _SILENCE[self.encoding] * (self.rate_hz * duration_ms // 1000)

    def duration_ms(self, size_bytes: int) -> int:
        """Whole milliseconds in ``size_bytes`` of this format, rounded down."""
        return size_bytes // self.bytes_per_ms


MULAW_8K = AudioFormat(Encoding.MULAW, 8000)
ALAW_8K = AudioFormat(Encoding.ALAW, 8000)
L16_8K = AudioFormat(Encoding.L16, 8000)
L16_16K = AudioFormat(Encoding.L16, 16000)
L16_24K = AudioFormat(Encoding.L16, 24000)
