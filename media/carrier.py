"""What a carrier is to the rest of the program: a pure codec of one stream's messages.

A codec is made per WebSocket. Text in becomes events, commands become text. It never awaits,
logs, or reads a clock; whoever owns the socket drains it:

    for event in codec.receive(message):    # may raise CarrierProtocolError
        ...
    socket.send(codec.send(Play(payload)))  # only after StreamStarted
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from media.audio.format import AudioFormat


class StreamStarted(msgspec.Struct, frozen=True):
    """The carrier announced the stream. Comes exactly once, before any audio.

    ``inbound`` and ``outbound`` may differ on one call (Telnyx)."""

    carrier: str
    stream_id: str
    call_id: str
    inbound: AudioFormat
    outbound: AudioFormat
    parameters: Mapping[str, str] = {}
    from_number: str = ""
    to_number: str = ""


class AudioIn(msgspec.Struct, frozen=True, gc=False):
    """Audio from the caller, any number of bytes, in ``StreamStarted.inbound`` format.

    ``timestamp_ms`` is the carrier's media clock (its first value is not 0) and
    ``sequence`` its order on the track; None where the carrier gives none."""

    payload: bytes
    timestamp_ms: int | None = None
    sequence: int | None = None


class Dtmf(msgspec.Struct, frozen=True):
    """A key the caller pressed: one of ``0-9 A-D * #``."""

    digit: str


class MarkPlayed(msgspec.Struct, frozen=True):
    """A mark came back: its audio was played, *or* was flushed by a clear. Carriers do not
    say which; the playout knows."""

    name: str


class CarrierFault(msgspec.Struct, frozen=True):
    """The carrier reports an error on its side; the stream goes on."""

    code: str
    detail: str


class StreamEnded(msgspec.Struct, frozen=True):
    """The carrier said that the stream is over."""


CarrierEvent = StreamStarted | AudioIn | Dtmf | MarkPlayed | CarrierFault | StreamEnded


class Play(msgspec.Struct, frozen=True, gc=False):
    """Queue audio in ``StreamStarted.outbound`` format behind what the carrier holds."""

    payload: bytes


class Mark(msgspec.Struct, frozen=True):
    """Ask for ``MarkPlayed(name)`` when everything queued so far has been played."""

    name: str


class Clear(msgspec.Struct, frozen=True):
    """Drop everything the carrier holds; all outstanding marks come back."""


CarrierCommand = Play | Mark | Clear


class CarrierProtocolError(Exception):
    """The peer broke the protocol; the answer is to close that one socket.

    ``code`` is stable: ``malformed_message``, ``malformed_payload``, ``audio_before_start``,
    ``duplicate_start``, ``stop_before_start``, ``unsupported_codec``, ``message_too_large``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Carrier(Protocol):
    """The server's side of one media stream."""

    name: str

    def receive(self, message: bytes) -> list[CarrierEvent]:
        """Decode one text message. Unknown events and fields give no events.

        :raises CarrierProtocolError: the peer broke the protocol."""

    def send(self, command: CarrierCommand) -> bytes:
        """Encode one command as the text of one message.

        :raises RuntimeError: called before ``StreamStarted`` (a bug of the caller's)."""
