"""Messages between the media process and a worker: a header and raw bytes.

A frame is ``<II`` header size and body size (little-endian), the header as MessagePack, then
the body as it is (audio, usually), so that audio is never re-encoded. Both sides treat the
other as hostile: sizes are bounded, and a frame that does not decode ends the connection.
"""

import struct
from typing import Any

import msgspec

MAX_HEADER_BYTES = 256 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
_SIZES = struct.Struct("<II")
PREFIX_BYTES = _SIZES.size


class WireError(Exception):
    """The other side sent something that is not a frame of this protocol."""


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: how its engine is to be set up."""

    settings: dict[str, Any]


class Job(msgspec.Struct, frozen=True, tag=True):
    """Work for the engine; its input is in ``args`` and the body."""

    id: int
    args: dict[str, Any]


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """The answer of this job is no longer wanted."""

    id: int


Request = Start | Job | Cancel


class Progress(msgspec.Struct, frozen=True, tag=True):
    """What the worker is doing while it starts, for a person to read."""

    text: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The engine is loaded. ``info`` is the engine's own."""

    info: dict[str, Any]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The engine cannot be started, and starting it again would not help."""

    code: str
    detail: str


class Output(msgspec.Struct, frozen=True, tag=True):
    """A piece of a job's result: facts about it here, data in the body."""

    id: int
    facts: dict[str, Any]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The job's last message."""

    id: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The job's last message, where it did not work out."""

    id: int
    code: str
    detail: str
    retryable: bool


Response = Progress | Ready | Refused | Output | Done | Failed

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_responses: msgspec.msgpack.Decoder[Response] = msgspec.msgpack.Decoder(Response)


def encode(header: Request | Response, body: bytes = b"") -> bytes:
    """One frame.

    :raises WireError: it is larger than a frame may be."""
    head = _encoder.encode(header)
    if len(head) > MAX_HEADER_BYTES or len(body) > MAX_BODY_BYTES:
        raise WireError(f"frame too large: {len(head)} + {len(body)} bytes")
    return _SIZES.pack(len(head), len(body)) + head + body


def sizes(prefix: bytes) -> tuple[int, int]:
    """Header and body size from a frame's first ``PREFIX_BYTES``.

    :raises WireError: a size is out of bounds."""
    head, body = _SIZES.unpack(prefix)
    if not 0 < head <= MAX_HEADER_BYTES or body > MAX_BODY_BYTES:
        raise WireError(f"frame sizes out of bounds: {head} + {body} bytes")
    return head, body


def decode_request(header: bytes) -> Request:
    """:raises WireError: it is no request."""
    try:
        return _requests.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"not a request: {error}") from None


def decode_response(header: bytes) -> Response:
    """:raises WireError: it is no response."""
    try:
        return _responses.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"not a response: {error}") from None
