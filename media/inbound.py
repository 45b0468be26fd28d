"""A carrier's audio, in pieces of any size, made into exact 20 ms frames: put in order, with
silence where audio was lost. Pure."""

from media.audio.format import FRAME_MS, AudioFormat
from media.carrier import AudioIn
from media.line_quality import InboundCounters

# A jump in the timestamps beyond this is a broken clock, not a loss.
ABSURD_JUMP_MS = 60_000

# So many jumps one after another are a clock in another unit (RTP ticks, say), and so many bad
# timestamps one after another are the clock's new state.
_JUMPS_IN_A_ROW = 8

# A sequence number further off than this, either way, starts a new count.
_SEQUENCE_JUMP = 50


class Inbound:
    """One leg's audio on its way in.

    ``reorder_frames``: how many pieces are held back for a missing one; 0 takes pieces as they
    come and ignores sequence numbers. Whatever number comes first is the start.
    ``gap_limit_ms``: the most silence put in for one gap. At most ``reorder_frames`` pieces and
    a part of a frame are kept between calls."""

    def __init__(
        self, audio: AudioFormat, *, reorder_frames: int = 0, gap_limit_ms: int = 1000
    ) -> None:
        self._audio = audio
        self._frame_bytes = audio.frame_bytes
        self._bytes_per_ms = audio.bytes_per_ms
        self._gap_limit_ms = gap_limit_ms
        self._frames = 0
        self._rest = b""

        self._window = reorder_frames
        self._next_sequence: int | None = None
        self._held: dict[int, AudioIn] = {}
        self._given_up: set[int] = set()

        # The carrier's clock in bytes of audio: where the next piece is due.
        self._due: int | None = None
        self._tolerance = self._frame_bytes
        self._jumps = 0
        self._bad_in_a_row = 0

        self._gap_ms = 0
        self._unfilled_ms = 0
        self._late = 0
        self._duplicate = 0
        self._reordered = 0
        self._bad_timestamps = 0

    @property
    def position_ms(self) -> int:
        """Media time handed out so far, silence for gaps included."""
        return self._frames * FRAME_MS

    @property
    def counters(self) -> InboundCounters:
        return InboundCounters(
            self._gap_ms,
            self._unfilled_ms,
            self._late,
            self._duplicate,
            self._reordered,
            self._bad_timestamps,
        )

    def receive(self, audio: AudioIn) -> list[bytes]:
        """The frames that this piece completes, in order; maybe none."""
        if not self._window or audio.sequence is None:
            return self._take(audio)
        if audio.sequence == self._next_sequence and not self._held:
            self._next_sequence += 1
            return self._take(audio)
        return self._in_order(audio, audio.sequence)

    def flush(self) -> list[bytes]:
        """What is still held back, at the end of the stream; the last frame is filled up with
        silence."""
        frames = self._release_held()
        if self._rest:
            silence = self._audio.silence(FRAME_MS)
            frames.append(self._rest + silence[len(self._rest) :])
            self._rest = b""
            self._frames += 1
        return frames

    # Order

    def _in_order(self, audio: AudioIn, sequence: int) -> list[bytes]:
        expected = self._next_sequence
        if expected is None or abs(sequence - expected) > _SEQUENCE_JUMP:
            frames = self._release_held()
            self._given_up = set(range(sequence - _SEQUENCE_JUMP, sequence))
            self._next_sequence = sequence + 1
            return frames + self._take(audio)
        held = self._held
        if sequence in self._given_up:
            self._given_up.discard(sequence)
            self._late += 1
            return []
        if sequence < expected or sequence in held:
            self._duplicate += 1
            return []
        if held and sequence < max(held):
            self._reordered += 1
        held[sequence] = audio
        if sequence != expected:
            if len(held) <= self._window:
                return []
            self._next_sequence = min(held)
            self._give_up(expected, self._next_sequence)
        return self._release_run()

    def _give_up(self, first: int, end: int) -> None:
        """Wait no longer for the pieces from ``first`` to before ``end``. What lies further back
        than a jump is forgotten: it would start a new count."""
        recent = {number for number in self._given_up if number >= end - _SEQUENCE_JUMP}
        self._given_up = recent.union(range(first, end))

    def _release_run(self) -> list[bytes]:
        frames: list[bytes] = []
        sequence = self._next_sequence
        while sequence is not None and (audio := self._held.pop(sequence, None)) is not None:
            frames += self._take(audio)
            sequence += 1
        self._next_sequence = sequence
        return frames

    def _release_held(self) -> list[bytes]:
        frames: list[bytes] = []
        for sequence in sorted(self._held):
            frames += self._take(self._held[sequence])
            self._next_sequence = sequence + 1
        self._held.clear()
        return frames

    # Time

    def _take(self, audio: AudioIn) -> list[bytes]:
        payload = audio.payload
        size = len(payload)
        if audio.timestamp_ms is not None:
            silence = self._silence_before(audio.timestamp_ms * self._bytes_per_ms, size)
            if silence:
                payload = silence + payload
        elif self._due is not None:
            self._due += size
        if size == self._frame_bytes and payload is audio.payload and not self._rest:
            self._frames += 1
            return [payload]
        return self._cut(payload)

    def _cut(self, payload: bytes) -> list[bytes]:
        size = self._frame_bytes
        data = self._rest + payload if self._rest else payload
        end = len(data) - len(data) % size
        self._rest = data[end:]
        self._frames += end // size
        return [data[start : start + size] for start in range(0, end, size)]

    def _silence_before(self, at: int, size: int) -> bytes:
        """Silence for what is missing before a piece of ``size`` bytes at ``at`` on the
        carrier's clock; moves the clock on."""
        due = self._due
        if due is None:
            self._due = at + size
            return b""
        jump = at - due
        if -self._tolerance < jump < self._tolerance:
            self._due = due + size
            self._jumps = self._bad_in_a_row = 0
            return b""
        if jump > 0 and jump <= ABSURD_JUMP_MS * self._bytes_per_ms:
            self._jumps += 1
            if self._jumps <= _JUMPS_IN_A_ROW:
                self._due = at + size
                self._bad_in_a_row = 0
                return self._fill(jump // self._bytes_per_ms)
        self._bad_timestamps += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row < _JUMPS_IN_A_ROW:
            self._due = due + size
        else:
            self._due = at + size
            self._bad_in_a_row = 0
        return b""

    def _fill(self, gap_ms: int) -> bytes:
        filled_ms = min(gap_ms, self._gap_limit_ms)
        self._gap_ms += filled_ms
        self._unfilled_ms += gap_ms - filled_ms
        return self._audio.silence(filled_ms)
