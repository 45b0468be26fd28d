"""Everything that happened in a simulated call, as text.

A line has the microsecond, the caller's number, and ``>`` a message to the server, ``<`` one from
it, ``!`` an event, ``~`` a vendor, ``=`` the plan.
"""

from hashlib import blake2b

from tests.sim.timers import START_S


class Trace:
    """``note`` is handed to ``run_call``. ``clock`` is set by it."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def note(self, now_s: float, line: int, way: str, text: bytes) -> None:
        at_us = round((now_s - START_S) * 1_000_000)
        self._lines.append(b"%12d %d %b %b\n" % (at_us, line, way.encode(), text))

    @property
    def content(self) -> bytes:
        return b"".join(self._lines)

    @property
    def digest(self) -> str:
        return blake2b(self.content, digest_size=16).hexdigest()
