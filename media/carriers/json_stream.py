"""The codec of one stream of JSON messages in the shape that Twilio gave to the field: ``start``,
``media`` with base64 in it, ``mark``, ``dtmf``, ``stop``. A carrier's own file says how its
streams start, and what else it says and asks for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pybase64

from media.audio.format import AudioFormat, Encoding
from media.carrier import (
    AudioIn,
    CarrierCommand,
    CarrierEvent,
    CarrierProtocolError,
    Clear,
    Dtmf,
    Mark,
    MarkPlayed,
    Play,
    StreamEnded,
    StreamStarted,
)
from media.carriers.wire import (
    MESSAGE_LIMIT_BYTES,
    UNREADABLE,
    ByteOrder,
    check_outbound,
    dtmf_digit,
    l16_from_wire,
    refusal,
    swapped,
    too_large,
)

_encode = msgspec.json.encode
_b64encode = pybase64.b64encode


# Counters are strings in the documents and numbers in some captures: decode with strict=False.
# A base64 payload is decoded by msgspec into its ``bytes`` field and by nothing else: for a
# 20 ms frame that is faster than a string and a second call (0.5 against 0.9 us).


class Media(msgspec.Struct, gc=False):
    payload: bytes
    track: str = "inbound"
    chunk: int | None = None
    timestamp: int | None = None


class MarkName(msgspec.Struct):
    name: str


class Key(msgspec.Struct):
    digit: str


class ConnectedMessage(msgspec.Struct, tag_field="event", tag="connected"):
    pass


class StartMessage(msgspec.Struct, tag_field="event", tag="start"):
    """Each carrier's own has the same tag, and its fields."""


class MediaMessage(msgspec.Struct, tag_field="event", tag="media", gc=False):
    media: Media


class MarkMessage(msgspec.Struct, tag_field="event", tag="mark"):
    mark: MarkName


class DtmfMessage(msgspec.Struct, tag_field="event", tag="dtmf"):
    dtmf: Key


class StopMessage(msgspec.Struct, tag_field="event", tag="stop"):
    pass


CommonMessage = MediaMessage | MarkMessage | DtmfMessage | StopMessage | ConnectedMessage
COMMON_EVENTS = frozenset({"connected", "start", "media", "mark", "dtmf", "stop"})


class JsonStreamCodec(ABC):
    """One stream; see ``media.carrier.Carrier``. A reconnect is a new socket and so a new codec.

    ``decode`` makes a message of bytes, ``events`` are those it knows, ``byte_order`` is that of
    16-bit samples on the wire, both ways."""

    name: str

    def __init__(
        self,
        decode: Callable[[bytes], object],
        events: Collection[str],
        byte_order: ByteOrder,
    ) -> None:
        self._decode = decode
        self._events = events
        self._byte_order = byte_order
        self._inbound_is_l16 = False
        self._outbound_is_swapped = False
        self._outbound: AudioFormat | None = None
        self._ended = False
        self._address_messages(b"")

    @abstractmethod
    def _start(self, message: Any) -> StreamStarted:
        """What the carrier's ``StartMessage`` says; comes once.

        :raises CarrierProtocolError: it cannot be spoken with, or makes no sense."""

    def _receive_own(self, message: object) -> list[CarrierEvent]:
        """A message that only this carrier sends."""
        return []

    def _chunk(self, payload: bytes, audio: AudioFormat) -> bytes:
        """Whole samples as this carrier takes them in one message.

        :raises ValueError: it does not take them."""
        return payload

    def _address_messages(self, address: bytes) -> None:
        """``address``, such as ``,"streamSid":"MZ1"``, stands in each message that is sent."""
        self._media_head = b'{"event":"media"%b,"media":{"payload":"' % address
        self._mark_head = b'{"event":"mark"%b,"mark":{"name":' % address
        self._clear = b'{"event":"clear"%b}' % address

    def receive(self, message: bytes) -> list[CarrierEvent]:
        if self._ended:
            return []
        if len(message) > MESSAGE_LIMIT_BYTES:
            raise too_large(message)
        try:
            decoded = self._decode(message)
        except UNREADABLE as error:
            refused = refusal(message, error, self._events)
            if refused is None:
                return []
            raise refused from error
        if type(decoded) is not MediaMessage:
            return self._receive_other(decoded)
        if self._outbound is None:
            raise CarrierProtocolError("audio_before_start", "media came before start")
        media = decoded.media
        if media.track != "inbound" and media.track.startswith("outbound"):
            return []
        payload = media.payload
        if self._inbound_is_l16:
            payload = l16_from_wire(payload, self._byte_order)
        return [AudioIn(payload, media.timestamp, media.chunk)]

    def _receive_other(self, decoded: object) -> list[CarrierEvent]:
        started = self._outbound is not None
        match decoded:
            case StartMessage():
                return [self._receive_start(decoded)]
            case StopMessage():
                if not started:
                    raise CarrierProtocolError("stop_before_start", "stop came before start")
                self._ended = True
                return [StreamEnded()]
            case MarkMessage(mark=mark):
                return [MarkPlayed(mark.name)] if started else []
            case DtmfMessage(dtmf=key):
                return [Dtmf(dtmf_digit(key.digit))] if started else []
        return self._receive_own(decoded)

    def _receive_start(self, message: StartMessage) -> StreamStarted:
        if self._outbound is not None:
            raise CarrierProtocolError("duplicate_start", "a stream starts once on a socket")
        started = self._start(message)
        self._inbound_is_l16 = started.inbound.encoding is Encoding.L16
        self._outbound = started.outbound
        is_l16 = started.outbound.encoding is Encoding.L16
        self._outbound_is_swapped = is_l16 and self._byte_order == "big"
        return started

    def send(self, command: CarrierCommand) -> bytes:
        """:raises RuntimeError: before the start; :raises ValueError: a payload without whole
        samples, or more than the carrier takes. Both are bugs of the caller's."""
        audio = self._outbound
        if audio is None:
            raise RuntimeError("nothing can be sent before the stream has started")
        match command:
            case Play():
                payload = command.payload
                check_outbound(payload, audio)
                payload = self._chunk(payload, audio)
                if self._outbound_is_swapped:
                    payload = swapped(payload)
                return self._media_head + _b64encode(payload) + b'"}}'
            case Mark():
                return self._mark_head + _encode(command.name) + b"}}"
            case Clear():
                return self._clear
