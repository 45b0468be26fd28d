"""The sound of the caller, for a model that hears ends of turns. Pure.

A voice falls at the end of what it says, but from where it usually is: a model hears that better
if it is given what the same caller said before, in this turn and in earlier ones, than if it has
to judge a first word by itself.
"""

from collections import deque

from media.audio.format import FRAME_MS

WINDOW_MS = 8000
"""What such models hear at most."""
BEFORE_MS = 200
"""From before the first voiced frame: a word begins before the VAD is sure of it."""
FRAMES = WINDOW_MS // FRAME_MS
_LONGEST_START_MS = 2000
"""No VAD can be set to notice speech later."""


class TurnAudio:
    """Keeps the frames of the caller's speech, the last 8 s of them; of a silence what the VAD
    needed to notice it, and ``BEFORE_MS``."""

    def __init__(self) -> None:
        self._speech: deque[bytes] = deque(maxlen=FRAMES)
        self._silence: deque[bytes] = deque(maxlen=(_LONGEST_START_MS + BEFORE_MS) // FRAME_MS)
        self._spoke_before = False
        """There is something of an earlier time: the caller was silent for a while since."""
        self.add = self._silence.append
        """Take a frame; what the event loop pays for it is this append."""

    def speech_started(self, ago_ms: int) -> None:
        """Speech began ``ago_ms`` before the end of the last frame."""
        silence = self._silence
        self._spoke_before |= bool(self._speech) and len(silence) == silence.maxlen
        for _ in range(len(silence) - (ago_ms + BEFORE_MS) // FRAME_MS):
            silence.popleft()
        self._speech.extend(silence)
        silence.clear()
        self.add = self._speech.append

    def speech_stopped(self) -> bytes:
        """What the caller said, up to the last frame. The first words of a call come twice, so
        that there is something before them too."""
        self.add = self._silence.append
        said = b"".join(self._speech)
        return said if self._spoke_before or 2 * len(self._speech) > FRAMES else said + said
