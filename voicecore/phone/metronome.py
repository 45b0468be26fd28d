"""One clock for all calls: every 20 ms, each call once, on an absolute schedule.

Calls are spread over phases a millisecond apart, as real callers are. A beat that comes late is
made up for; the schedule never moves.
"""

import asyncio
import time
from array import array
from collections.abc import Callable

BEAT_US = 20_000
PHASES = 20
_EARLY_US = 500
"""Event loops with millisecond timers wake up to half of one too early."""
_MAX_CATCH_UP = 100
"""Two seconds: a machine that stood still for longer has lost its calls anyway."""

Beat = Callable[[int, int], None]
"""Called with the time now, and with how many beats were left out before this one."""


def now_us() -> int:
    """The phone's clock: microseconds, monotonic."""
    return time.monotonic_ns() // 1000


class Metronome:
    """``late_us`` collects, for each beat of each phase, how late its last call was served."""

    def __init__(self, phases: int = PHASES) -> None:
        self.late_us: array[int] = array("L")
        self._base_us = now_us()
        self._phases = [_Phase(self, index) for index in range(phases)]

    def join(self, beat: Beat) -> Callable[[], None]:
        """Call ``beat`` every 20 ms, first within 20 ms. Returns what ends it."""
        phase = min(self._phases, key=lambda phase: len(phase.beats))
        phase.beats.append(beat)
        if len(phase.beats) == 1:
            phase.start(self._base_us + phase.index * BEAT_US // len(self._phases))

        def leave() -> None:
            if beat in phase.beats:
                phase.beats.remove(beat)

        return leave


class _Phase:
    def __init__(self, metronome: Metronome, index: int) -> None:
        self.index = index
        self.beats: list[Beat] = []
        self._metronome = metronome
        self._next_us = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, base_us: int) -> None:
        elapsed = max(now_us() - base_us, 0)
        self._next_us = base_us + (elapsed // BEAT_US + 1) * BEAT_US
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_us = max(self._next_us - now_us(), 0)
        self._timer = asyncio.get_running_loop().call_later(delay_us / 1e6, self._fire)

    def _fire(self) -> None:
        self._timer = None
        skipped = 0
        while self.beats and (time_us := now_us()) >= self._next_us - _EARLY_US:
            behind = (time_us - self._next_us) // BEAT_US
            if behind > _MAX_CATCH_UP:
                skipped = behind
                self._next_us += behind * BEAT_US
            for beat in tuple(self.beats):
                beat(now_us(), skipped)
            self._metronome.late_us.append(max(now_us() - self._next_us, 0))
            self._next_us += BEAT_US
            skipped = 0
        if self.beats:
            self._arm()
