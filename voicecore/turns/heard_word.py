"""A word of the agent, and whether the caller heard it."""

from typing import Literal

import msgspec


class HeardWord(msgspec.Struct, frozen=True):
    """A word of the agent; ``heard`` is ``"cut"`` when the clear fell into it. Times are
    milliseconds from the reply's first sample."""

    text: str
    start_ms: int
    end_ms: int
    heard: bool | Literal["cut"]
