"""Both sides of a call on one timeline: the caller left, the agent right, as 16-bit samples.

Pure: times are inputs, in milliseconds from the start of the stream. Audio is kept as it came
from the line and is decoded only when it is taken, a few times a second:

    timeline.caller(1200, frame); timeline.agent(1210, chunk); timeline.cut_agent(1900)
    wav.write(timeline.take(until_ms=2000))

One rule places everything: what is written later replaces what its side holds from that time
on. A time that is wrong once thus spoils only its own audio.
"""

from collections import deque
from typing import Any

import msgspec
import numpy as np

from media.audio.convert import transcoder
from media.audio.format import FRAME_MS, AudioFormat, Encoding
from media.audio.resample import Resampler

SNAP_MS = 20
"""Audio that begins this close to the end of what its side holds continues it exactly, so that
times in whole milliseconds and a jittering clock leave no clicks."""
CALLER_AHEAD_MS = 10_000
AGENT_AHEAD_MS = 120_000
"""How far a side may be written ahead of what was taken; audio beyond is dropped. The agent's
may be a whole reply, the caller's is never in the future, only late to be taken."""
TAKE_LIMIT_MS = 60_000

Samples = np.ndarray[Any, np.dtype[np.int16]]
_SAMPLE = np.dtype("<i2")
_NEVER = -(1 << 62)


class RecordingLosses(msgspec.Struct, frozen=True):
    """Audio that is not in the recording, in milliseconds of both sides together."""

    late_ms: int = 0
    """It belonged to a time already taken."""
    ahead_ms: int = 0
    """It lay too far ahead."""


class RecordingTimeline:
    """Makes interleaved stereo PCM16 at ``rate_hz``, the higher of the two lines' rates."""

    def __init__(
        self,
        caller: AudioFormat,
        agent: AudioFormat,
        *,
        caller_ahead_ms: int = CALLER_AHEAD_MS,
        agent_ahead_ms: int = AGENT_AHEAD_MS,
    ) -> None:
        self.rate_hz = max(caller.rate_hz, agent.rate_hz)
        self.taken_ms = 0
        self._caller = _Side(caller, self.rate_hz, caller_ahead_ms)
        self._agent = _Side(agent, self.rate_hz, agent_ahead_ms)

    def caller(self, at_ms: int, audio: bytes) -> None:
        """Audio of the caller that begins at ``at_ms`` of the line's own time (frames counted,
        not the moment of arrival). Part of a sample at its end is dropped."""
        self._caller.write(at_ms, audio)

    def agent(self, at_ms: int, audio: bytes) -> None:
        """Audio that the carrier begins to play at ``at_ms``; may lie ahead."""
        self._agent.write(at_ms, audio)

    def cut_agent(self, at_ms: int) -> None:
        """The carrier dropped at ``at_ms`` what it had not yet played."""
        self._agent.cut(at_ms)

    @property
    def caller_end_ms(self) -> int:
        """Where the caller's audio ends so far, rounded down; 0 when there is none."""
        return self._caller.end_ms

    def take(self, until_ms: int) -> bytes:
        """Everything before ``until_ms`` that was not yet taken, four bytes a sample; where
        neither side has audio, silence. At most ``TAKE_LIMIT_MS`` at once: call again until
        ``taken_ms`` says that it is all. Lines of different rates come up to 30 ms late, the
        rest with ``finish()``."""
        until_ms = min(until_ms, self.taken_ms + TAKE_LIMIT_MS)
        if until_ms <= self.taken_ms:
            return b""
        self.taken_ms = until_ms
        self._caller.take(until_ms)
        self._agent.take(until_ms)
        return self._interleave(min(self._caller.ready, self._agent.ready))

    def finish(self) -> bytes:
        """What the change of rate still held back. Call it once, after the last ``take()``."""
        self._caller.flush()
        self._agent.flush()
        return self._interleave(max(self._caller.ready, self._agent.ready))

    @property
    def losses(self) -> RecordingLosses:
        caller, agent = self._caller, self._agent
        return RecordingLosses(caller.late_ms + agent.late_ms, caller.ahead_ms + agent.ahead_ms)

    def _interleave(self, count: int) -> bytes:
        both = np.zeros((count, 2), _SAMPLE)
        for column, side in enumerate((self._caller, self._agent)):
            samples = side.hand_out(count)
            both[: len(samples), column] = samples
        return both.tobytes()


class _Side:
    """One channel: pieces of encoded audio in order, none overlapping, positions in samples."""

    def __init__(self, audio: AudioFormat, to_hz: int, ahead_ms: int) -> None:
        self.late_ms = 0
        self.ahead_ms = 0
        self._audio = audio
        self._per_ms = audio.rate_hz // 1000
        self._sample_bytes = audio.sample_bytes
        self._decode = transcoder(audio.encoding, Encoding.L16)
        self._resampler = Resampler(audio.rate_hz, to_hz) if audio.rate_hz != to_hz else None
        self._snap = SNAP_MS * self._per_ms
        self._small_bytes = audio.bytes_per_ms * FRAME_MS // 2
        self._ahead = ahead_ms * self._per_ms
        self._taken = 0
        self._taken_end = _NEVER
        self._end = _NEVER
        """Where the audio ends, taken or not."""
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._decoded = np.zeros(0, _SAMPLE)

    @property
    def ready(self) -> int:
        """Samples that can be handed out."""
        return len(self._decoded)

    @property
    def end_ms(self) -> int:
        return max(0, self._end // self._per_ms)

    def write(self, at_ms: int, audio: bytes) -> None:
        size = self._sample_bytes
        if size > 1 and len(audio) % size:
            audio = audio[: -(len(audio) % size)]
        at = at_ms * self._per_ms
        if -self._snap <= at - self._end <= self._snap:
            at = self._end
        if at < self._taken:
            late_bytes = (self._taken - at) * size
            self.late_ms += self._audio.duration_ms(min(late_bytes, len(audio)))
            at, audio = self._taken, audio[late_bytes:]
        room_bytes = max(0, self._taken + self._ahead - at) * size
        if len(audio) > room_bytes:
            self.ahead_ms += self._audio.duration_ms(len(audio) - room_bytes)
            audio = audio[:room_bytes]
        if audio:
            if at < self._end:
                self._truncate(at)
            self._append(at, audio)

    def cut(self, at_ms: int) -> None:
        at = max(at_ms * self._per_ms, self._taken)
        if at < self._end:
            self._truncate(at)

    def take(self, until_ms: int) -> None:
        until = until_ms * self._per_ms
        samples = np.zeros(until - self._taken, _SAMPLE)
        for start, run in self._runs_before(until):
            decoded = np.frombuffer(self._decode(run), _SAMPLE)
            samples[start - self._taken : start - self._taken + len(decoded)] = decoded
        self._taken = until
        if self._resampler is not None:
            self._decoded_more(self._resampler.process(samples.tobytes()))
        elif len(self._decoded):
            self._decoded = np.concatenate((self._decoded, samples))
        else:
            self._decoded = samples

    def flush(self) -> None:
        if self._resampler is not None:
            self._decoded_more(self._resampler.flush())

    def hand_out(self, count: int) -> Samples:
        """The next ``count`` samples, or fewer when there are no more."""
        samples, self._decoded = self._decoded[:count], self._decoded[count:]
        return samples

    def _decoded_more(self, pcm16: bytes) -> None:
        self._decoded = np.concatenate((self._decoded, np.frombuffer(pcm16, _SAMPLE)))

    def _append(self, at: int, audio: bytes) -> None:
        if at == self._end and self._pieces and len(self._pieces[-1][1]) < self._small_bytes:
            # Crumbs are joined, so that memory goes with the audio and not with its pieces.
            start, before = self._pieces.pop()
            self._pieces.append((start, before + audio))
        else:
            self._pieces.append((at, audio))
        self._end = at + len(audio) // self._sample_bytes

    def _truncate(self, at: int) -> None:
        while self._pieces and self._pieces[-1][0] >= at:
            self._pieces.pop()
        if not self._pieces:
            self._end = self._taken_end
            return
        start, audio = self._pieces[-1]
        kept = audio[: (at - start) * self._sample_bytes]
        self._pieces[-1] = (start, kept)
        self._end = start + len(kept) // self._sample_bytes

    def _runs_before(self, until: int) -> list[tuple[int, bytes]]:
        """Removes the audio before ``until``; pieces that touch come as one run."""
        runs: list[tuple[int, list[bytes]]] = []
        while self._pieces and self._pieces[0][0] < until:
            start, audio = self._pieces.popleft()
            split_bytes = (until - start) * self._sample_bytes
            if len(audio) > split_bytes:
                self._pieces.appendleft((until, audio[split_bytes:]))
                audio = audio[:split_bytes]
            if not runs or start != self._taken_end:
                runs.append((start, []))
            runs[-1][1].append(audio)
            self._taken_end = start + len(audio) // self._sample_bytes
        return [(start, b"".join(pieces)) for start, pieces in runs]
