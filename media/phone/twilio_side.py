"""Twilio's side of Media Streams.

Source: twilio.com/docs/voice/media-streams/websocket-messages. All counters are strings; the
sequence is 1 for ``start`` and counts every later message; a media's chunk counts per track.
"""

import msgspec

from media.audio.format import MULAW_8K
from media.phone.side import (
    CarrierKind,
    ServerAudio,
    ServerClear,
    ServerMark,
    ServerMessage,
    StreamSpec,
    Violation,
    check_audio,
)

TWILIO = CarrierKind("twilio", (MULAW_8K,), keeps_order=True, max_parameter_chars=500)


class _Media(msgspec.Struct):
    payload: bytes


class _Mark(msgspec.Struct):
    name: str


class _Message(msgspec.Struct):
    event: str
    streamSid: str = ""
    media: _Media | None = None
    mark: _Mark | None = None


_decode = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.encode


class TwilioSide:
    """See ``CarrierSide``. Only mu-law at 8 kHz, both ways.

    :raises ValueError: the spec asks for another codec."""

    def __init__(self, spec: StreamSpec) -> None:
        if spec.inbound != MULAW_8K or spec.outbound != MULAW_8K:
            raise ValueError("Twilio streams mu-law at 8 kHz, both ways")
        self.spec = spec
        self._sequence = 0
        self._chunk = 0
        self._tail = b'"},"streamSid":%b}' % _encode(spec.ids.stream_id)

    def connected(self) -> bytes:
        return b'{"event":"connected","protocol":"Call","version":"1.0.0"}'

    def start(self) -> bytes:
        ids = self.spec.ids
        start = {
            "accountSid": ids.account_id,
            "streamSid": ids.stream_id,
            "callSid": ids.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self.spec.parameters),
        }
        return _encode(
            {
                "event": "start",
                "sequenceNumber": self._next(),
                "start": start,
                "streamSid": ids.stream_id,
            }
        )

    def media(self, payload_base64: bytes, timestamp_ms: int) -> bytes:
        self._sequence += 1
        self._chunk += 1
        return (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b%b'
            % (self._sequence, self._chunk, timestamp_ms, payload_base64, self._tail)
        )

    def mark(self, name: str) -> bytes:
        return self._event("mark", {"mark": {"name": name}})

    def dtmf(self, digit: str, unix_micros: int) -> bytes:
        return self._event("dtmf", {"dtmf": {"track": "inbound_track", "digit": digit}})

    def stop(self) -> bytes:
        ids = self.spec.ids
        return self._event("stop", {"stop": {"accountSid": ids.account_id, "callSid": ids.call_id}})

    def unknown(self) -> bytes:
        return self._event("line-quality", {"line-quality": {"mos": "4.1"}})

    def lose(self) -> None:
        """Loss shows in the timestamps alone: the numbers have no hole."""

    def receive(self, message: bytes) -> ServerMessage:
        try:
            decoded = _decode(message)
        except msgspec.MsgspecError as error:
            code = "invalid_payload" if "payload" in str(error) else "malformed_message"
            return Violation(code, f"{error} (Twilio warns 31951)")
        except UnicodeDecodeError as error:
            return Violation("malformed_message", f"{error} (Twilio warns 31950)")
        return self._misaddressed(decoded) or self._command(decoded)

    def complaint(self, violation: Violation) -> bytes | None:
        """Twilio warns in its console and tells the server nothing."""
        return None

    def _misaddressed(self, decoded: _Message) -> Violation | None:
        if not self._sequence:
            return Violation("message_before_start", f"{decoded.event} came before start was sent")
        if not decoded.streamSid:
            return Violation("missing_stream_id", f"{decoded.event} has no streamSid")
        if decoded.streamSid != self.spec.ids.stream_id:
            return Violation("wrong_stream_id", f"{decoded.event} names another stream")
        return None

    def _command(self, decoded: _Message) -> ServerMessage:
        match decoded.event:
            case "media" if decoded.media is not None:
                payload = decoded.media.payload
                return check_audio(payload, MULAW_8K) or ServerAudio(payload)
            case "mark" if decoded.mark is not None and decoded.mark.name:
                return ServerMark(decoded.mark.name)
            case "clear":
                return ServerClear()
            case "media" | "mark":
                return Violation("malformed_message", f"{decoded.event} has no content")
        return Violation("unknown_event", f"Twilio takes no {decoded.event[:40]!r} from a server")

    def _event(self, name: str, content: dict[str, dict[str, str]]) -> bytes:
        head = {"event": name, "sequenceNumber": self._next(), "streamSid": self.spec.ids.stream_id}
        return _encode({**head, **content})

    def _next(self) -> str:
        self._sequence += 1
        return str(self._sequence)
