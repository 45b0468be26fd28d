"""The audio of one speech-to-text stream, from the vendor's point of view. Pure.

Vendors count time in the audio that they received on one connection. The conversation counts
it from the first frame it pushed. The two part where audio was dropped because the vendor was
slow, where silence was put in because the line was quiet, and at every new connection.
``AudioLog`` keeps them together, cuts 20 ms frames into larger messages, and holds the audio
that no final transcript covers yet, so that a new connection can hear it again.
"""

from bisect import bisect_right
from collections import deque

from media.audio.format import AudioFormat

_MAX_ANCHORS = 256


class AudioLog:
    """``chunk_ms`` is the size of a message, ``keep_ms`` the most audio held for a replay."""

    def __init__(self, audio: AudioFormat, *, chunk_ms: int, keep_ms: int) -> None:
        self.audio = audio
        self._chunk_bytes = audio.bytes_per_ms * chunk_ms
        self._keep_bytes = audio.bytes_per_ms * keep_ms
        self._batch = bytearray()
        self._handed = 0  # pushed bytes that left the batch
        self._vendor_bytes = 0  # what this connection was, or will be, sent
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._settled = 0
        self._connection_start = 0
        # (where in the vendor's audio, where in the pushed audio): equal pace from there on.
        self._anchors: list[tuple[int, int]] = [(0, 0)]

    @property
    def pushed_ms(self) -> int:
        return self.audio.duration_ms(self._handed + len(self._batch))

    @property
    def connection_start_ms(self) -> int:
        """Where in the pushed audio the present connection began to hear it."""
        return self.audio.duration_ms(self._connection_start)

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def push(self, frame: bytes) -> bytes:
        """Add a frame; returns a message to send once enough has gathered, else nothing."""
        self._batch += frame
        return self.flush() if len(self._batch) >= self._chunk_bytes else b""

    def flush(self) -> bytes:
        """What has gathered so far, as a message to send; may be empty."""
        chunk = bytes(self._batch)
        self._batch.clear()
        if chunk:
            self._kept.append((self._handed, chunk))
            self._kept_bytes += len(chunk)
            self._handed += len(chunk)
            self._vendor_bytes += len(chunk)
            while self._kept_bytes > self._keep_bytes:
                self._kept_bytes -= len(self._kept.popleft()[1])
        return chunk

    def silence_added(self, size_bytes: int) -> None:
        """The vendor was sent this much silence that nobody pushed."""
        self._vendor_bytes += size_bytes
        self._add_anchor(self._vendor_bytes, self._handed)

    def dropped(self, at_bytes: int, size_bytes: int) -> None:
        """A message waiting at ``at_bytes`` of the vendor's audio will never be sent."""
        after = at_bytes + size_bytes
        resumed = self._pushed_at(after)
        later = [(v - size_bytes, p) for v, p in self._anchors if v > after]
        self._anchors = [a for a in self._anchors if a[0] < at_bytes]
        self._vendor_bytes -= size_bytes
        self._add_anchor(at_bytes, resumed)
        self._anchors += later

    def replay(self) -> list[bytes]:
        """Start a new connection: the messages to send it, oldest first. They begin where the
        last final transcript ended, or ``keep_ms`` ago if that is longer."""
        chunks: list[bytes] = []
        start = self._handed
        for begin, chunk in self._kept:
            skip = min(max(self._settled - begin, 0), len(chunk))
            if skip == len(chunk):
                continue
            start = min(start, begin + skip)
            chunks.append(chunk[skip:])
        self._anchors = [(0, start)]
        self._connection_start = start
        self._vendor_bytes = self._handed - start
        return chunks

    def to_ms(self, vendor_s: float) -> int:
        """A time in the vendor's audio, in milliseconds of the pushed audio. Times that the
        vendor cannot know of (negative, or past what it was sent) are pulled into range."""
        vendor_ms = min(max(vendor_s, 0.0), 1e7) * 1000
        position = min(round(vendor_ms * self.audio.bytes_per_ms), self._vendor_bytes)
        return self.audio.duration_ms(self._pushed_at(position))

    def settle(self, until_ms: int) -> None:
        """Everything before ``until_ms`` of the pushed audio has been dealt with."""
        self._settled = max(self._settled, until_ms * self.audio.bytes_per_ms)
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= self._settled:
            self._kept_bytes -= len(self._kept.popleft()[1])
        while len(self._anchors) > 1 and self._anchors[1][1] <= self._settled:
            del self._anchors[0]

    def _pushed_at(self, vendor_bytes: int) -> int:
        index = max(bisect_right(self._anchors, vendor_bytes, key=lambda a: a[0]) - 1, 0)
        vendor, pushed = self._anchors[index]
        position = pushed + max(vendor_bytes - vendor, 0)
        if index + 1 < len(self._anchors):
            position = min(position, self._anchors[index + 1][1])
        return position

    def _add_anchor(self, vendor_bytes: int, pushed_bytes: int) -> None:
        if self._anchors and self._anchors[-1][0] == vendor_bytes:
            self._anchors.pop()
        self._anchors.append((vendor_bytes, pushed_bytes))
        if len(self._anchors) > _MAX_ANCHORS:
            del self._anchors[0]
