"""A playout and a carrier on a clock that is only a number, and audio to play."""

from typing import Any

from media.audio.format import FRAME_MS, MULAW_8K, AudioFormat
from media.carrier import CarrierCommand, Mark
from media.playout import Playout
from tests.support.sim_line import SimLine

LEAD_MS, CHUNK_MS = 200, 60


class Rig:
    """A playout and a carrier; polled after everything and at every deadline, as a leg does."""

    def __init__(
        self,
        audio: AudioFormat = MULAW_8K,
        *,
        lead_ms: int = LEAD_MS,
        chunk_ms: int = CHUNK_MS,
        lag_ms: int | None = 0,
    ) -> None:
        self.now_ms = 1000
        self.playout = Playout(audio, lead_ms=lead_ms, chunk_ms=chunk_ms)
        self.line = SimLine(audio, lag_ms=lag_ms)
        self.most_ahead_ms = max(lead_ms, max(chunk_ms // FRAME_MS, 1) * FRAME_MS + FRAME_MS)
        self.events: list[Any] = []
        self.marks: list[str] = []

    def poll(self) -> list[CarrierCommand]:
        commands = self.playout.poll(self.now_ms)
        self.line.take(self.now_ms, commands)
        self.marks += [c.name for c in commands if isinstance(c, Mark)]
        self.take_events()
        assert self.line.ahead_ms(self.now_ms) <= self.most_ahead_ms + 1
        deadline_ms = self.playout.next_deadline()
        assert deadline_ms is None or deadline_ms > self.now_ms, "polling again would spin"
        assert not self.playout.poll(self.now_ms), "a second poll finds nothing"
        return commands

    def take_events(self) -> None:
        self.events += self.playout.events
        self.playout.events = []

    def write(self, reply: int, payload: bytes) -> list[CarrierCommand]:
        self.playout.write(reply, payload)
        return self.poll()

    def finish(self, reply: int) -> list[CarrierCommand]:
        self.playout.finish(reply)
        return self.poll()

    def clear(self, reply: int) -> tuple[int, list[CarrierCommand]]:
        heard_ms, commands = self.playout.clear(self.now_ms, reply)
        self.line.take(self.now_ms, commands)
        self.take_events()
        return heard_ms, commands

    def pause(self, reply: int) -> list[CarrierCommand]:
        commands = self.playout.pause(self.now_ms, reply)
        self.line.take(self.now_ms, commands)
        self.take_events()
        return commands

    def resume(self, reply: int, from_ms: int) -> list[CarrierCommand]:
        self.playout.resume(reply, from_ms)
        return self.poll()

    def wait(self, duration_ms: int) -> None:
        until_ms = self.now_ms + duration_ms
        for _ in range(100_000):
            times = [self.playout.next_deadline(), self.line.next_mark_ms()]
            at_ms = min((t for t in times if t is not None), default=until_ms + 1)
            if at_ms > until_ms:
                break
            self.now_ms = max(at_ms, self.now_ms)
            for name in self.line.due_marks(self.now_ms):
                self.playout.mark_played(self.now_ms, name)
                self.take_events()
            self.poll()
        else:
            raise AssertionError("the playout never comes to rest")
        self.now_ms = until_ms

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def noise(size: int, seed: int = 0) -> bytes:
    return bytes((seed * 7 + index * 31) % 251 for index in range(size))
