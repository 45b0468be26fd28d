"""What carriers' sides of JSON streams have in common: numbering what they send, and reading
what servers send. A carrier's own file has its names and its rules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from media.carriers.wire import UNREADABLE
from media.phone.json_messages import Message
from media.phone.side import (
    ServerAudio,
    ServerClear,
    ServerMark,
    ServerMessage,
    StreamSpec,
    Violation,
    check_audio,
)

_encode = msgspec.json.encode


class JsonSide(ABC):
    """See ``CarrierSide``.

    ``title`` is the carrier's name in sentences; ``sequence_key`` and ``stream_key`` are what it
    calls a message's number and stream; ``decode`` makes a ``Message`` of bytes."""

    title: str
    sequence_key: str
    stream_key: str
    decode: Callable[[bytes], Message]

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._sequence = 0
        self._chunk = 0
        # The hot message is put together from bytes; its payload is in base64 already.
        self._media = (
            b'{"event":"media","%b":"%%d","media":{"track":"inbound","chunk":"%%d",'
            b'"timestamp":"%%d","payload":"%%b%%b' % self.sequence_key.encode()
        )
        self._media_tail = b'"},%b:%b}' % (
            _encode(self.stream_key),
            _encode(spec.ids.stream_id),
        )

    @abstractmethod
    def _misaddressed(self, message: Any) -> Violation | None:
        """Is it for another stream?"""

    def _unreadable(self, error: Exception) -> str:
        """How a message that cannot be decoded is described."""
        return str(error)

    def _audio(self, payload: bytes) -> ServerMessage:
        return check_audio(payload, self.spec.outbound) or ServerAudio(payload)

    def media(self, payload_base64: bytes, timestamp_ms: int) -> bytes:
        self._sequence += 1
        self._chunk += 1
        return self._media % (
            self._sequence,
            self._chunk,
            timestamp_ms,
            payload_base64,
            self._media_tail,
        )

    def mark(self, name: str) -> bytes:
        return self._event("mark", {"mark": {"name": name}})

    def receive(self, message: bytes) -> ServerMessage:
        try:
            decoded = self.decode(message)
        except UNREADABLE as error:
            bad_payload = isinstance(error, msgspec.MsgspecError) and "payload" in str(error)
            code = "invalid_payload" if bad_payload else "malformed_message"
            return Violation(code, self._unreadable(error))
        if not self._sequence:
            return Violation("message_before_start", f"{decoded.event} came before start was sent")
        return self._misaddressed(decoded) or self._command(decoded)

    def complaint(self, violation: Violation) -> bytes | None:
        """Most carriers warn in their console and tell the server nothing."""
        return None

    def _command(self, decoded: Message) -> ServerMessage:
        match decoded.event:
            case "media" if decoded.media is not None:
                return self._audio(decoded.media.payload)
            case "mark" if decoded.mark is not None and decoded.mark.name:
                return ServerMark(decoded.mark.name)
            case "clear":
                return ServerClear()
            case "media" | "mark":
                return Violation("malformed_message", f"{decoded.event} has no content")
        detail = f"{self.title} takes no {decoded.event[:40]!r} from a server"
        return Violation("unknown_event", detail)

    def _event(self, name: str, content: Mapping[str, object]) -> bytes:
        """The next message."""
        self._sequence += 1
        head = {"event": name, self.sequence_key: str(self._sequence)}
        return _encode({**head, **content, self.stream_key: self.spec.ids.stream_id})
