"""What servers of JSON streams send, as a carrier reads it."""

import msgspec


class _Media(msgspec.Struct):
    payload: bytes


class _Mark(msgspec.Struct):
    name: str


class Message(msgspec.Struct):
    """A server's message. A carrier adds the field that names the stream."""

    event: str
    media: _Media | None = None
    mark: _Mark | None = None
