"""From per-frame judgements to the beginnings and ends of speech."""

import msgspec

from media.audio.format import FRAME_MS


class SpeechStarted(msgspec.Struct, frozen=True):
    """Speech began ``ago_ms`` before the end of the frame just judged."""

    ago_ms: int


class SpeechStopped(msgspec.Struct, frozen=True):
    """The last voiced frame ended ``ago_ms`` before the end of the frame just judged."""

    ago_ms: int


class SpeechSustained(msgspec.Struct, frozen=True):
    """Speech has lasted ``sustain_ms`` and is voiced now: no click, no cough."""


Edge = SpeechStarted | SpeechSustained | SpeechStopped


class SpeechEdges:
    """Speech starts once ``start_ms`` of voiced frames lie within a window of twice that, is
    sustained at the first voiced frame ``sustain_ms`` after its beginning, and stops after
    ``stop_ms`` without a voiced frame. Time is counted in frames, never read."""

    def __init__(self, *, start_ms: int = 60, sustain_ms: int = 300, stop_ms: int = 200) -> None:
        self.speaking = False
        self._need = max(1, -(-start_ms // FRAME_MS))
        self._window = (1 << (2 * self._need)) - 1
        self._sustain_frames = -(-sustain_ms // FRAME_MS)
        self._stop_frames = max(1, -(-stop_ms // FRAME_MS))
        self._recent = 0
        self._frames = 0
        self._sustained = False
        self._quiet_frames = 0

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
        self._sustained = False
        self._quiet_frames = 0
        self._frames = recent.bit_length()
        return SpeechStarted(self._frames * FRAME_MS)

    def _going_on(self, voiced: bool) -> Edge | None:
        self._frames += 1
        if voiced:
            self._quiet_frames = 0
            if self._sustained or self._frames < self._sustain_frames:
                return None
            self._sustained = True
            return SpeechSustained()
        self._quiet_frames += 1
        if self._quiet_frames < self._stop_frames:
            return None
        self.speaking = False
        self._recent = 0
        return SpeechStopped(self._quiet_frames * FRAME_MS)
