"""A carrier's playout buffer, told naively: what was sent, when it ends, which marks are due."""

from media.audio.format import AudioFormat
from media.carrier import CarrierCommand, Clear, Mark, Play


class SimLine:
    """Plays what it is sent in real time. ``lag_ms``: how late marks come back; None: never."""

    def __init__(self, audio: AudioFormat, *, lag_ms: int | None = 0) -> None:
        self.audio = audio
        self.lag_ms = lag_ms
        self.sent = bytearray()
        self.silent_ms: list[float] = []
        self.clears = 0
        self._playing: list[tuple[float, bytes]] = []
        self._end_ms = 0.0
        self._marks: list[tuple[float, str]] = []

    def take(self, now_ms: int, commands: list[CarrierCommand]) -> None:
        for command in commands:
            match command:
                case Play(payload=payload):
                    assert payload, "an empty piece of audio"
                    assert len(payload) % self.audio.frame_bytes == 0, "less than a frame"
                    if self.sent and self._end_ms < now_ms:
                        self.silent_ms.append(now_ms - self._end_ms)
                    self._end_ms = max(self._end_ms, now_ms)
                    self._playing.append((self._end_ms, payload))
                    self._end_ms += len(payload) / self.audio.bytes_per_ms
                    self.sent += payload
                case Mark(name=name):
                    self._marks.append((max(self._end_ms, now_ms), name))
                case Clear():
                    self.clears += 1
                    self._cut(now_ms)
                    self._end_ms = min(self._end_ms, now_ms)
                    self._marks = [(now_ms, name) for _, name in self._marks]

    def _cut(self, now_ms: float) -> None:
        per_ms = self.audio.bytes_per_ms
        cut = ((at, audio, max(0, int((now_ms - at) * per_ms))) for at, audio in self._playing)
        self._playing = [(at, audio[:size]) for at, audio, size in cut if size]

    @property
    def heard(self) -> bytes:
        """What was or will be heard of all that was sent."""
        return b"".join(audio for _, audio in self._playing)

    def ahead_ms(self, now_ms: int) -> float:
        return max(self._end_ms - now_ms, 0.0)

    def next_mark_ms(self) -> int | None:
        """When the next mark reaches the server, rounded up."""
        if not self._marks or self.lag_ms is None:
            return None
        return -int(-(self._marks[0][0] + self.lag_ms) // 1)

    def due_marks(self, now_ms: int) -> list[str]:
        names = []
        while (at_ms := self.next_mark_ms()) is not None and at_ms <= now_ms:
            names.append(self._marks.pop(0)[1])
        return names
