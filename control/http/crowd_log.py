"""Log lines of what comes by the thousand: the first in full, the rest as a number.

Each line takes time from calls, and a thousand alike tell no more than ten.
"""

import structlog

from media.clock import Clock, Timer

WINDOW_MS = 10_000
IN_FULL = 10

log = structlog.get_logger("control.media")


class CrowdLog:
    """Warnings, counted by their sentence and code. Codes are few: they are ours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def warning(self, event: str, code: str, *, in_full: int = IN_FULL, **facts: object) -> None:
        """Log it, unless ``in_full`` of its kind were within the last ``WINDOW_MS``; those
        beyond are one line when that time is over."""
        window = self._windows.get((event, code))
        if window is None:
            window = self._windows[event, code] = _Window(
                self._clock.call_at(
                    self._clock.now_ms() + WINDOW_MS, lambda: self._over(event, code)
                )
            )
        window.count += 1
        if window.count <= in_full:
            log.warning(event, code=code, **facts)
        else:
            window.left_out += 1

    def close(self) -> None:
        """Tell what was not told yet."""
        for (event, code), window in list(self._windows.items()):
            window.timer.cancel()
            self._over(event, code)

    def _over(self, event: str, code: str) -> None:
        left_out = self._windows.pop((event, code)).left_out
        if left_out:
            log.warning("the same again", of=event, code=code, count=left_out, within_ms=WINDOW_MS)


class _Window:
    __slots__ = ("count", "left_out", "timer")

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self.count = 0
        self.left_out = 0
