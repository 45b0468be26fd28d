"""The header of a WAV stream, taken off as it comes. Pure."""

from voicecore.adapters.openai_client import VENDOR
from voicecore.providers.errors import VendorError

_MAX_WAV_HEAD_BYTES = 4096
_MAX_WAV_SIZE = 0x7FFF_FF00


class WavHead:
    """Takes a RIFF header (Microsoft's "Multimedia Programming Interface", 1991) off the front
    of a stream of samples, also where a server sends one for ``pcm``. What follows the samples
    is dropped too, if the header gives their size."""

    def __init__(self, rate_hz: int, *, required: bool = False) -> None:
        self._rate_hz = rate_hz
        self._required = required
        self._head = b""
        self._open = True
        self._left: int | None = None

    def strip(self, chunk: bytes) -> bytes:
        """The samples in ``chunk``; nothing while the header is incomplete.

        :raises VendorError: ``garbage``: the header is broken, or tells of another format."""
        if self._open:
            self._head += chunk
            if b"RIFF".startswith(self._head[:4]) and len(self._head) < 4:
                return b""
            if self._head.startswith(b"RIFF"):
                begin = self._read()
                if begin is None:
                    return b""
                chunk = self._head[begin:]
            elif self._required:
                raise VendorError(VENDOR, "garbage", "not a WAV stream", retryable=True)
            else:
                chunk = self._head
            self._open, self._head = False, b""
        if self._left is not None:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        return chunk

    def _read(self) -> int | None:
        at, head, known = 12, self._head, False
        while at + 8 <= len(head):
            name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8
            if name == b"data":
                if not known:
                    raise VendorError(VENDOR, "garbage", "WAV without a format", retryable=True)
                # Servers that stream write 0 or the largest number where they know no size.
                self._left = size if 0 < size < _MAX_WAV_SIZE else None
                return at
            if name == b"fmt " and at + 16 <= len(head):
                self._check(head[at : at + 16])
                known = True
            at += size + size % 2
        if len(head) > _MAX_WAV_HEAD_BYTES:
            raise VendorError(VENDOR, "garbage", "WAV header does not end", retryable=True)
        return None

    def _check(self, fmt: bytes) -> None:
        channels = int.from_bytes(fmt[2:4], "little")
        rate_hz = int.from_bytes(fmt[4:8], "little")
        bits = int.from_bytes(fmt[14:16], "little")
        if (channels, rate_hz, bits) != (1, self._rate_hz, 16):
            detail = f"sends WAV of {channels} channels, {rate_hz} Hz, {bits} bits"
            raise VendorError(VENDOR, "garbage", detail, retryable=False)
