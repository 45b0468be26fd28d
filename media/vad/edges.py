"""From per-frame judgements to the beginnings and ends of speech."""

from media.audio.format import FRAME_MS
from media.vad.speech import Edge, SpeechStarted, SpeechStopped, SpeechSustained

_NEVER = 1 << 60
_PERHAPS_OVER_FRAMES = 2
"""Within a word few sounds are without voice for longer."""


class SpeechEdges:
    """Speech starts once ``start_ms`` of voiced frames lie within a window of twice that, is
    sustained at the first voiced frame each of ``sustain_ms`` after its beginning, and stops
    after ``stop_ms`` without a voiced frame. Time is counted in frames, never read."""

    def __init__(
        self, *, start_ms: int = 60, sustain_ms: tuple[int, ...] = (300,), stop_ms: int = 200
    ) -> None:
        self.speaking = False
        self._need = max(1, -(-start_ms // FRAME_MS))
        self._window = (1 << (2 * self._need)) - 1
        # The lengths, each with its frames, and a last one that is never reached.
        lengths = [(-(-length_ms // FRAME_MS), length_ms) for length_ms in sorted(set(sustain_ms))]
        self._lengths = (*lengths, (_NEVER, 0))
        self._stop_frames = max(1, -(-stop_ms // FRAME_MS))
        self._recent = 0
        self._frames = 0
        self._next = 0
        self._quiet_frames = 0

    @property
    def may_start(self) -> bool:
        """A frame of late was voiced: perhaps speech has begun."""
        return not self.speaking and self._recent != 0

    @property
    def may_stop(self) -> bool:
        """The last frames had no voice: perhaps speech is over."""
        return self.speaking and self._quiet_frames >= _PERHAPS_OVER_FRAMES

    def reset(self) -> None:
        """Forget the speech that is going on: the line has fallen silent altogether."""
        self.speaking = False
        self._recent = 0

    def receive(self, voiced: bool) -> Edge | None:
        """Take the judgement of the next frame; at most one edge comes of it."""
        if self.speaking:
            return self._going_on(voiced)
        if not voiced and not self._recent:
            return None
        recent = self._recent = ((self._recent << 1) | voiced) & self._window
        if recent.bit_count() < self._need:
            return None
        self.speaking = True
        self._next = 0
        self._quiet_frames = 0
        self._frames = recent.bit_length()
        return SpeechStarted(self._frames * FRAME_MS)

    def _going_on(self, voiced: bool) -> Edge | None:
        self._frames += 1
        if voiced:
            self._quiet_frames = 0
            frames, length_ms = self._lengths[self._next]
            if self._frames < frames:
                return None
            while self._lengths[self._next + 1][0] <= self._frames:
                self._next += 1
                length_ms = self._lengths[self._next][1]
            self._next += 1
            return SpeechSustained(length_ms)
        self._quiet_frames += 1
        if self._quiet_frames < self._stop_frames:
            return None
        self.speaking = False
        self._recent = 0
        return SpeechStopped(self._quiet_frames * FRAME_MS)
