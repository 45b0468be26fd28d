"""The sound of the caller, for a model that hears ends of turns. Pure.

A voice falls at the end of what it says, but from where it usually is: a model hears that better
if it is given what the same caller said before, in this turn and in earlier ones, than if it has
to judge a first word by itself. While there is little of that, even the agent's voice before it
helps: it shows what speech to its end sounds like.
"""

from collections import deque

from media.audio.format import FRAME_MS

WINDOW_MS = 8000
"""What such models hear at most."""
BEFORE_MS = 200
"""From before the first voiced frame: a word begins before the VAD is sure of it."""
FRAMES = WINDOW_MS // FRAME_MS
AGENT_MS = 2500
"""So much of the agent's voice, where there is room."""
_LONGEST_START_MS = 2000
"""No VAD can be set to notice speech later."""


class TurnAudio:
    """Keeps the frames of the caller's speech, the last 8 s of them; of a silence what the VAD
    needed to notice it, and ``BEFORE_MS``. A frame has ``frame_bytes``."""

    def __init__(self, frame_bytes: int) -> None:
        self._agent = bytearray()
        self._agent_bytes = AGENT_MS // FRAME_MS * frame_bytes
        self._window_bytes = FRAMES * frame_bytes
        self._speech: deque[bytes] = deque(maxlen=FRAMES)
        self._silence: deque[bytes] = deque(maxlen=(_LONGEST_START_MS + BEFORE_MS) // FRAME_MS)
        self._spoke_before = False
        """There is something of an earlier time: the caller was silent for a while since."""
        self.add = self._silence.append
        """Take a frame; what the event loop pays for it is this append."""

    def agent_said(self, payload: bytes) -> None:
        """The agent says this, in the caller's format."""
        agent = self._agent
        agent += payload
        if len(agent) > 2 * self._agent_bytes:
            del agent[: -self._agent_bytes]

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
        """What the caller said, up to the last frame, behind what the agent did. Where it has
        said nothing, the first words of a call come twice, so that there is something before
        them too."""
        self.add = self._silence.append
        said = b"".join(self._speech)
        if self._agent:
            room = min(self._window_bytes - len(said), self._agent_bytes)
            return bytes(self._agent[-room:]) + said if room > 0 else said
        return said if self._spoke_before or 2 * len(self._speech) > FRAMES else said + said
