"""Keeping Python's garbage collector out of calls.

A full collection looks at every object of every call: 5 to 12 ms at 200 calls, the longest
stall that the process has. Calls leave hardly anything for it (some 150 small objects each,
the rest goes by reference counting), so it runs when nobody is talking, or after so many calls
that it must.
"""

import gc

NEVER = 1_000_000
CALLS_BETWEEN = 500
"""Calls that may end before a full collection while others go on; their garbage is a few
megabytes."""


class Collector:
    """Decides when to collect. The young generations, which are cheap, collect as always."""

    def __init__(self) -> None:
        self._ended = 0

    def settle(self) -> None:
        """What is loaded by now lives for ever: leave it out of every collection."""
        gc.collect()
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)

    def call_ended(self, live_calls: int) -> None:
        """A call is over and ``live_calls`` go on."""
        self._ended += 1
        if live_calls == 0 or self._ended >= CALLS_BETWEEN:
            self._ended = 0
            gc.collect()
