"""Calls in real time, made again where the machine was too slow for them."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.answering import Server
from voicecore.phone.phone import RunResult

ATTEMPTS = 5

Called = tuple[Server, RunResult]


async def in_time(
    play: Callable[[Path], Awaitable[Called]], folder: Path, *, late_ms: float
) -> Called:
    """The first call in which the telephone was never later than this, or the last one: what fails
    each time is not the machine's fault. The server is in the same loop, and as late. Each call has
    a folder of its own."""
    for attempt in range(ATTEMPTS):
        place = folder / f"attempt-{attempt}"
        place.mkdir()
        called = await play(place)
        if (called[1].report.send_late_ms.max or 0.0) <= late_ms:
            break
    return called
