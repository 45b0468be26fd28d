"""What the caller really heard: the carrier's playout buffer, told naively, and audio in which
every word can be recognised.

Each word of a simulated voice is a pattern of four bytes of its own, repeated for as long as it
lasts. What comes out of the line therefore says by itself which words were heard, and how much of
each; nothing that the server believes is asked.
"""

from collections import Counter
from sys import byteorder
from typing import NamedTuple

from media.audio.format import AudioFormat, Encoding

PATTERN_BYTES = 4
_SAMPLED_MS = 10


class SpokenWord(NamedTuple):
    """A word that a voice made."""

    key: bytes
    text: str
    duration_ms: int


def pattern(audio: AudioFormat, code: int) -> bytes:
    """The four bytes of a word: loud, and like nothing else that is played."""
    if audio.encoding is Encoding.L16:
        high, low = 0x1000 + (code >> 12 & 0xFFF), -(0x1000 + (code & 0xFFF))
        return high.to_bytes(2, "little", signed=True) + low.to_bytes(2, "little", signed=True)
    sixths = (code >> 18 & 63, code >> 12 & 63, code >> 6 & 63, code & 63)
    return bytes((0x80 | sixths[0], sixths[1], 0x80 | sixths[2], sixths[3]))


class _Stretch:
    __slots__ = ("end_us", "payload", "reply", "start_us")

    def __init__(self, start_us: int, end_us: int, payload: bytes, reply: int) -> None:
        self.start_us = start_us
        self.end_us = end_us
        self.payload = payload
        self.reply = reply


class Ear:
    """One line's buffer. Times are microseconds and never run backwards."""

    def __init__(self, audio: AudioFormat) -> None:
        self._bytes_per_ms = audio.bytes_per_ms
        self._stretches: list[_Stretch] = []
        self._marks: list[tuple[int, str]] = []
        self.end_us = 0
        """When everything sent so far will have been played."""

    def play(self, at_us: int, payload: bytes, reply: int) -> None:
        start_us = self.end_us if self.end_us > at_us else at_us
        self.end_us = start_us + len(payload) * 1000 // self._bytes_per_ms
        self._stretches.append(_Stretch(start_us, self.end_us, payload, reply))

    def mark(self, at_us: int, name: str) -> None:
        self._marks.append((max(at_us, self.end_us), name))

    def clear(self, at_us: int) -> None:
        """Drop what has not been played; all marks become due."""
        self.cut(at_us)
        self._marks = [(min(due_us, at_us), name) for due_us, name in self._marks]

    def cut(self, at_us: int) -> None:
        """Nothing is heard from this moment on of what has come so far."""
        for stretch in reversed(self._stretches):
            if stretch.end_us <= at_us:
                break
            stretch.end_us = max(stretch.start_us, at_us)
        self.end_us = min(self.end_us, at_us)

    def take_marks(self, now_us: int) -> list[str]:
        names = []
        while self._marks and self._marks[0][0] <= now_us:
            names.append(self._marks.pop(0)[1])
        return names

    def next_mark_us(self) -> int | None:
        return self._marks[0][0] if self._marks else None

    def sounds(self, now_us: int) -> bool:
        """Whether the agent is heard now."""
        return self._stretches[-1].start_us <= now_us < self.end_us if self._stretches else False

    def quiet_us(self, now_us: int) -> int:
        """For how long nothing has been heard; since the beginning if nothing ever was."""
        return max(now_us - self.end_us, 0)

    @property
    def heard_us(self) -> int:
        return sum(stretch.end_us - stretch.start_us for stretch in self._stretches)

    def tally(self) -> dict[tuple[int, bytes], int]:
        """How many milliseconds were heard of each word of each reply, by the word's key."""
        step = _SAMPLED_MS * self._bytes_per_ms
        heard: dict[int, list[bytes]] = {}
        for stretch in self._stretches:
            payload = stretch.payload
            size = (stretch.end_us - stretch.start_us) * self._bytes_per_ms // 1000
            samples = -(-min(size, len(payload)) // step)
            if samples > 0:
                pieces = heard.setdefault(stretch.reply, [])
                pieces.append(payload[: samples * step].ljust(samples * step, b"\0"))
        return {
            (reply, key.to_bytes(PATTERN_BYTES, byteorder)): count * _SAMPLED_MS
            for reply, pieces in heard.items()
            for key, count in Counter(_every(step, b"".join(pieces))).items()
        }


def _every(step: int, audio: bytes) -> list[int]:
    """The four bytes at each step, as numbers, which are counted faster."""
    numbers: list[int] = memoryview(audio).cast("I")[:: step // PATTERN_BYTES].tolist()
    return numbers
