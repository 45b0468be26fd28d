"""Is the caller speaking? A detector judges frames, ``SpeechEdges`` turns judgements into
the beginnings and ends of speech."""

from collections.abc import Callable, Mapping
from typing import Protocol

from media.audio.format import AudioFormat
from media.vad.line_levels import LineLevels
from media.vad.webrtc import WebRtcVad


class Vad(Protocol):
    levels: LineLevels
    """Fed with every frame that is judged; its owner resets it when speech ends."""

    def voiced(self, frame: bytes) -> bool:
        """Judge one 20 ms frame in the format that the detector was made for."""


DETECTORS: Mapping[str, Callable[[AudioFormat, int], Vad]] = {"webrtcvad": WebRtcVad}
"""Detectors by the name an agent file gives them, called with the line's format and a
sensitivity ``mode`` (0 lets most through, 3 least)."""
