"""What a playout tells of its replies."""

import msgspec


class ReplyStarted(msgspec.Struct, frozen=True):
    """The first audio of a reply was handed to the carrier."""

    reply: int
    at_ms: int


class ReplyPlayed(msgspec.Struct, frozen=True):
    """The caller heard the reply to its end."""

    reply: int
    at_ms: int
    played_ms: int


PlayoutEvent = ReplyStarted | ReplyPlayed
