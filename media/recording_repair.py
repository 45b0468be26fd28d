"""Recordings that nobody writes any more, as a process that was killed left them. Blocks."""

import os
from pathlib import Path

from media.recording_writer import FRAME_BYTES, WAV_HEADER, WAV_LIMIT_BYTES, wav_header

_RATE_AT = 24
_SIZES = (slice(4, 8), slice(40, 44))
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def repaired_ms(path: Path) -> int:
    """How long the recording is. What is in the file counts: a process that is killed may have
    written more than the header says, and a machine that fails less; the header is made right.
    0: it is no recording, or there is nothing in it.

    :raises OSError: there is none, or it cannot be written."""
    descriptor = os.open(path, _OPEN)
    try:
        header = os.pread(descriptor, WAV_HEADER.size, 0)
        size = min(os.fstat(descriptor).st_size, WAV_LIMIT_BYTES)
        data_bytes = max(size - WAV_HEADER.size, 0) // FRAME_BYTES * FRAME_BYTES
        rate_hz = int.from_bytes(header[_RATE_AT : _RATE_AT + 4], "little")
        if not rate_hz or rate_hz > 2**32 // FRAME_BYTES - 1:
            return 0
        right = wav_header(rate_hz, data_bytes)
        if _but_sizes(header) != _but_sizes(right):
            return 0
        if header != right:
            os.pwrite(descriptor, right, 0)
        return data_bytes // FRAME_BYTES * 1000 // rate_hz
    finally:
        os.close(descriptor)


def _but_sizes(header: bytes) -> bytes:
    found = bytearray(header)
    for size in _SIZES:
        found[size] = bytes(4)
    return bytes(found)
