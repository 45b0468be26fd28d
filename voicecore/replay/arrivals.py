"""When the caller's frames came. Pure.

The recording has no times of arrival, but the events have: each edge of the caller's speech was
noticed with a certain frame. Between two edges, frames come as late as at the next one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from media.audio.format import FRAME_MS
from media.vad import Vad
from media.vad.edges import SpeechEdges
from media.vad.speech import SpeechStarted, SpeechStopped

LATEST_MS = 460
"""A frame that came later than this was placed anew in the recording."""


class Edge(msgspec.Struct, frozen=True):
    """An edge of speech at a frame. ``predicted_ms`` is when speech began or ended if that frame
    came without any delay, at its own beginning."""

    frame: int
    starts: bool
    predicted_ms: int


def find_edges(frames: Iterable[bytes], vad: Vad, edges: SpeechEdges) -> list[Edge]:
    """Judge the frames as the call did."""
    found = []
    for number, frame in enumerate(frames):
        edge = edges.receive(vad.voiced(frame))
        if isinstance(edge, SpeechStarted | SpeechStopped):
            starts = isinstance(edge, SpeechStarted)
            found.append(Edge(number, starts, number * FRAME_MS - edge.ago_ms))
            if not starts:
                vad.levels.reset()
    return found


class Arrivals:
    """``recorded`` are the call's own edges: whether speech started, and when."""

    def __init__(self, edges: Sequence[Edge], recorded: Sequence[tuple[bool, int]]) -> None:
        self._frames: list[int] = []
        self._late_ms: list[int] = []
        waiting = list(reversed(recorded))
        for edge in edges:
            while waiting and waiting[-1][1] < edge.predicted_ms:
                waiting.pop()
            if not waiting:
                break
            starts, at_ms = waiting[-1]
            late_ms = at_ms - edge.predicted_ms
            if starts == edge.starts and late_ms <= LATEST_MS:
                waiting.pop()
                self._frames.append(edge.frame)
                self._late_ms.append(late_ms)

    @property
    def matched(self) -> int:
        """How many edges were found again."""
        return len(self._frames)

    def at_ms(self, frame: int) -> int:
        """When a frame comes. It is never before the one before it, and never so late that it
        would be placed elsewhere in the recording."""
        if not self._frames:
            return (frame + 1) * FRAME_MS
        place = min(bisect_left(self._frames, frame), len(self._frames) - 1)
        late_ms = self._late_ms[place]
        return frame * FRAME_MS + (min(late_ms, FRAME_MS) if frame == 0 else late_ms)
