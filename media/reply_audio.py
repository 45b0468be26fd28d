"""One reply's audio on its way to the caller. Pure."""

_COMPACT_BYTES = 16_384
"""What was read of a buffer is dropped when it is so much."""


class ReplyAudio:
    """One reply's audio: a buffer that is read from ``read`` on, and where it was played."""

    __slots__ = ("buffer", "end_marked", "finished", "frame_bytes", "keep_bytes", "marked_bytes",
                 "number", "paused", "read", "rest_bytes", "run", "sent_bytes",
                 "stretches")  # fmt: skip

    def __init__(self, number: int, frame_bytes: int, keep_bytes: int) -> None:
        self.number = number
        self.frame_bytes = frame_bytes
        self.keep_bytes = keep_bytes
        self.paused = False
        self.run = 0
        self.buffer = bytearray()
        self.read = 0
        self.finished = False
        self.end_marked = False
        self.sent_bytes = 0
        self.marked_bytes = -1
        self.rest_bytes = -1
        # Unbroken stretches as the carrier plays them: when each began, at which byte.
        self.stretches: list[tuple[int, int]] = []

    def unsent_bytes(self) -> int:
        """Whole frames that wait to be sent: carriers do not take less (Telnyx), and ``finish``
        fills up the last."""
        waiting = len(self.buffer) - self.read
        return waiting - waiting % self.frame_bytes

    def take(self, size: int) -> bytes:
        """The next audio, to be sent."""
        size = min(size, self.unsent_bytes())
        payload = bytes(self.buffer[self.read : self.read + size])
        self.read += len(payload)
        if self.read >= _COMPACT_BYTES + self.keep_bytes:
            # What was sent lately may have to be sent again, after a pause.
            del self.buffer[: self.read - self.keep_bytes]
            self.read = self.keep_bytes
        return payload

    def rewind(self, position_bytes: int) -> None:
        """Go back to a position that was sent, as far as the audio is kept; never forward."""
        kept_from = self.sent_bytes - self.read
        position_bytes -= position_bytes % self.frame_bytes
        position_bytes = min(max(position_bytes, kept_from), self.sent_bytes)
        self.read -= self.sent_bytes - position_bytes
        self.sent_bytes = position_bytes

    def ahead(self, size: int) -> bytes:
        """The next audio, as far as it is there."""
        return bytes(self.buffer[self.read : self.read + size])

    def before(self, size: int) -> bytes:
        """The last audio that was sent, as far as it is kept."""
        return bytes(self.buffer[max(self.read - size, 0) : self.read])

    def skip(self, size: int) -> None:
        """Take some of the next audio for sent."""
        size = min(size, self.unsent_bytes())
        if size > 0:
            self.read += size
            self.sent_bytes += size

    def name(self) -> str:
        """What its marks are called by."""
        return f"{self.number}.{self.run}" if self.run else f"{self.number}"
