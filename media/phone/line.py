"""The carrier's playout buffer, and what the caller hears through it.

Audio is queued and played at the line's rate; a mark comes back when the playhead reaches it, at
once when nothing is queued, and with all others after a clear. Twilio holds ten minutes and
discards the rest (warning 31931). Time is an input, in microseconds, and never runs backwards.
"""

from collections import deque

import msgspec

from media.audio.format import AudioFormat
from media.phone.loudness import Loudness

BUFFER_US = 600_000_000
AUDIBLE_DBFS = -45.0
GAP_MAX_US = 1_000_000
"""A longer silence is a pause between replies, not a hole in one."""
_JOIN_US = 10_000
"""Audible pieces this close are one: a frame a few milliseconds late does not end a word."""


class Interval(msgspec.Struct):
    """From ``start_us`` up to ``end_us``."""

    start_us: int
    end_us: int


class Dry(msgspec.Struct, frozen=True, gc=False):
    """The buffer ran dry within continuous speech: the audio due at ``start_us`` came at
    ``end_us``, that much too late. ``in_speech``: the hole lies between two audible frames
    rather than in a pause of the speaker's."""

    start_us: int
    end_us: int
    in_speech: bool


class Line:
    """One call's ear. ``keep_audio`` keeps every byte heard, in ``heard``, and those that a clear
    took back, in ``unheard``, with the time at which it cut the sound off."""

    def __init__(
        self, audio: AudioFormat, *, audible_dbfs: float = AUDIBLE_DBFS, keep_audio: bool = True
    ) -> None:
        self.audio = audio
        self.heard: list[tuple[int, bytearray]] = []
        self.audible: list[Interval] = []
        self.late: list[Dry] = []
        self.clears: list[int] = []
        self.unheard: list[tuple[int, bytes]] = []
        self.received_us = 0
        self.heard_us = 0
        self.discarded_us = 0
        self._loudness = Loudness(audio, audible_dbfs)
        self._keep_audio = keep_audio
        self._window_bytes = audio.frame_bytes
        self._byte_rate = audio.rate_hz * audio.sample_bytes
        self._run_start_us: int | None = None
        self._run_bytes = 0
        self._judged_bytes = 0
        self._pending = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        self._dry_since_us: int | None = None
        self._dries: list[tuple[int, int]] = []
        self._fresh: Interval | None = None

    def play(self, now_us: int, payload: bytes) -> int:
        """Queue audio, a whole number of samples. Returns how much did not fit, in
        microseconds: that much is discarded."""
        self.advance(now_us)
        self.received_us += self._us(len(payload))
        if self._run_start_us is None:
            self._begin(now_us)
        room = self._bytes_in(BUFFER_US - (self._end_us() - now_us))
        lost_us = self._us(len(payload) - room) if room < len(payload) else 0
        self.discarded_us += lost_us
        kept = payload[:room] if lost_us else payload
        self._run_bytes += len(kept)
        self._pending += kept
        return lost_us

    def mark(self, now_us: int, name: str) -> None:
        """Queue a mark behind the audio."""
        self.advance(now_us)
        self._marks.append((now_us if self._run_start_us is None else self._end_us(), name))

    def clear(self, now_us: int) -> None:
        """Drop what has not been played; all marks become due."""
        self.advance(now_us)
        self.clears.append(now_us)
        self._cut(now_us)
        self._marks = deque((now_us, name) for _, name in self._marks)

    def hang_up(self, now_us: int) -> None:
        """The call ends: what has not been played is never heard, no mark comes back."""
        self.advance(now_us)
        self._cut(now_us)
        self._marks.clear()

    def due(self, now_us: int) -> list[str]:
        """The marks to send back by now, in their order."""
        names: list[str] = []
        while self._marks and self._marks[0][0] <= now_us:
            names.append(self._marks.popleft()[1])
        return names

    def next_deadline(self) -> int | None:
        """When the next mark is due, microseconds."""
        return self._marks[0][0] if self._marks else None

    def queued_us(self, now_us: int) -> int:
        """How much audio is still to be played."""
        return 0 if self._run_start_us is None else max(self._end_us() - now_us, 0)

    def take_audible(self) -> tuple[int, int] | None:
        """The span of audible audio found since the last time this was asked."""
        fresh, self._fresh = self._fresh, None
        return None if fresh is None else (fresh.start_us, fresh.end_us)

    def advance(self, now_us: int) -> None:
        """Hear everything that has been played by now."""
        if self._run_start_us is None:
            return
        played = min(self._bytes_in(now_us - self._run_start_us), self._run_bytes)
        whole = (played - self._judged_bytes) // self._window_bytes * self._window_bytes
        if whole > 0:
            self._hear(whole)
        if self._end_us() <= now_us:
            self._hear(self._run_bytes - self._judged_bytes)
            self._dry_since_us = self._end_us()
            self._run_start_us = None

    def _begin(self, now_us: int) -> None:
        dry_us, self._dry_since_us = self._dry_since_us, None
        if not self.audible or now_us - self.audible[-1].end_us >= GAP_MAX_US:
            self._dries.clear()
        elif dry_us is not None and dry_us < now_us:
            self._dries.append((dry_us, now_us))
        self._run_start_us = now_us
        self._run_bytes = self._judged_bytes = 0
        if self._keep_audio:
            self.heard.append((now_us, bytearray()))

    def _cut(self, now_us: int) -> None:
        if self._run_start_us is not None:
            played = min(self._bytes_in(now_us - self._run_start_us), self._run_bytes)
            self._hear(played - self._judged_bytes)
            if self._keep_audio:
                self.unheard.append((now_us, bytes(self._pending)))
            self._pending.clear()
            self._run_start_us = None
        self._dry_since_us = None
        self._dries.clear()

    def _hear(self, size: int) -> None:
        """Judge the next ``size`` bytes of the run: whole windows, or the run's rest."""
        if size <= 0:
            return
        payload = bytes(self._pending[:size])
        del self._pending[:size]
        if self._keep_audio:
            self.heard[-1][1].extend(payload)
        self.heard_us += self._us(size)
        offset = self._judged_bytes
        for audible in self._loudness.audible(payload):
            end = min(offset + self._window_bytes, self._judged_bytes + size)
            if audible:
                self._sound(self._at(offset), self._at(end))
            offset = end
        self._judged_bytes += size

    def _sound(self, start_us: int, end_us: int) -> None:
        last = self.audible[-1] if self.audible else None
        if self._dries:
            self._judge_dries(last, start_us)
        if last is not None and start_us - last.end_us <= _JOIN_US:
            last.end_us = end_us
        else:
            self.audible.append(Interval(start_us, end_us))
        if self._fresh is None:
            self._fresh = Interval(start_us, end_us)
        else:
            self._fresh.end_us = end_us

    def _judge_dries(self, last: Interval | None, start_us: int) -> None:
        if last is not None and start_us - last.end_us < GAP_MAX_US:
            for dry_us, until_us in self._dries:
                in_speech = dry_us - last.end_us <= 1 and start_us - until_us <= 1
                self.late.append(Dry(dry_us, until_us, in_speech))
        self._dries.clear()

    def _at(self, offset: int) -> int:
        assert self._run_start_us is not None
        return self._run_start_us + self._us(offset)

    def _end_us(self) -> int:
        """When the run's last sample has been played, rounded up."""
        assert self._run_start_us is not None
        return self._run_start_us - (-self._run_bytes * 1_000_000 // self._byte_rate)

    def _us(self, size: int) -> int:
        return size * 1_000_000 // self._byte_rate

    def _bytes_in(self, duration_us: int) -> int:
        """Whole samples played in a time."""
        samples = duration_us * self.audio.rate_hz // 1_000_000
        return max(samples, 0) * self.audio.sample_bytes
