"""Cutting a caller's audio into utterances, by the edges that our VAD reports. Pure.

Every pushed byte belongs to one utterance at most, so that no text is heard twice, and every
byte between speech begin and end belongs to one, so that none is lost.
"""

from collections import deque

import msgspec
import numpy as np

from media.audio.convert import transcoder
from media.audio.format import FRAME_MS, AudioFormat, Encoding

PRE_ROLL_MS = 200
"""A VAD reports speech up to this long after it began. More would only add noise, which the
model hears words in."""

_CUT_WITHIN_MS = 3000


class Utterance(msgspec.Struct, frozen=True, gc=False):
    """Speech, and where it begins in the stream."""

    start_ms: int
    audio: bytes


class Utterances:
    """One caller's stream. Speech that does not end is cut at a quiet place before
    ``max_ms``."""

    def __init__(self, audio: AudioFormat, *, max_ms: int) -> None:
        self.audio = audio
        self._max_bytes = audio.bytes_per_ms * max_ms
        self._pushed_bytes = 0
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL_MS // FRAME_MS)
        self._speech = bytearray()
        self._speaking = False
        self._start_byte = 0

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def speech_ms(self) -> int:
        """How much of the open utterance there is."""
        return self.audio.duration_ms(len(self._speech))

    def push(self, frame: bytes) -> Utterance | None:
        """Take a frame in; returns the first part of an utterance that has grown too long."""
        self._pushed_bytes += len(frame)
        if not self._speaking:
            self._pre_roll.append(frame)
            return None
        self._speech += frame
        if len(self._speech) < self._max_bytes:
            return None
        return self._take(self._quiet_place())

    def speech_started(self) -> None:
        """Speech began a moment ago. Idempotent while it lasts."""
        if self._speaking:
            return
        self._speaking = True
        self._speech += b"".join(self._pre_roll)
        self._pre_roll.clear()
        self._start_byte = self._pushed_bytes - len(self._speech)

    def finalize(self) -> Utterance | None:
        """Speech ended: the utterance, None where there was no speech."""
        if not self._speaking:
            return None
        self._speaking = False
        return self._take(len(self._speech)) if self._speech else None

    def so_far(self, last_ms: int) -> bytes:
        """The open utterance, its last ``last_ms`` at most."""
        return bytes(self._speech[-self.audio.bytes_per_ms * last_ms :])

    def _take(self, size: int) -> Utterance:
        taken = Utterance(self.audio.duration_ms(self._start_byte), bytes(self._speech[:size]))
        del self._speech[:size]
        self._start_byte += size
        return taken

    def _quiet_place(self) -> int:
        """Where to cut: in the middle of the quietest 100 ms of the last seconds."""
        frame = self.audio.frame_bytes
        recent = min(self.audio.bytes_per_ms * _CUT_WITHIN_MS, len(self._speech) // 2)
        recent -= recent % frame
        begin = len(self._speech) - recent
        pcm16 = transcoder(self.audio.encoding, Encoding.L16)(bytes(self._speech[begin:]))
        samples = np.frombuffer(pcm16, "<i2").astype(np.float32)
        energy = np.square(samples).reshape(recent // frame, -1).mean(axis=1)
        if len(energy) < 5:
            return len(self._speech)
        quietest = int(np.convolve(energy, np.ones(5), "valid").argmin())
        return begin + (quietest + 2) * frame
