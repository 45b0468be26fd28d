"""The sound of the caller's turn so far, for a model that hears ends of turns. Pure."""

from collections import deque

from media.audio.format import FRAME_MS

WINDOW_MS = 8000
"""What such models hear at most."""
BEFORE_MS = 500
"""From before the first voiced frame: a word begins before the VAD is sure of it."""


class TurnAudio:
    """Keeps the frames of the line since the caller's turn began, the last 8 s of them. A pause
    longer than ``longest_pause_ms`` ends a turn, whatever became of it."""

    def __init__(self, longest_pause_ms: int) -> None:
        self._longest_pause_ms = longest_pause_ms
        self._frames: deque[bytes] = deque(maxlen=WINDOW_MS // FRAME_MS)
        self._stopped_ms: int | None = None
        self.add = self._frames.append
        """Take a frame; what the event loop pays for it is this append."""

    def speech_started(self, at_ms: int, ago_ms: int) -> None:
        """Speech began at ``at_ms``, ``ago_ms`` before the end of the last frame."""
        stopped_ms = self._stopped_ms
        if stopped_ms is not None and at_ms - stopped_ms <= self._longest_pause_ms:
            return
        keep = (ago_ms + BEFORE_MS) // FRAME_MS
        for _ in range(len(self._frames) - keep):
            self._frames.popleft()

    def speech_stopped(self, at_ms: int) -> bytes:
        """The turn so far."""
        self._stopped_ms = at_ms
        return b"".join(self._frames)
