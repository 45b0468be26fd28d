"""Telnyx' side of media streaming over WebSocket, bidirectional mode ``rtp``.

Source: Telnyx, "Media Streaming over Websockets". Counters are strings, order is not promised,
a server's chunk holds 20 ms to 30 s, and errors are reported on the socket. Where the custom
parameters of ``streaming_start`` appear is not documented; here they are
``start.custom_parameters``.
"""

from datetime import UTC, datetime

import msgspec

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat, Encoding
from media.carriers.wire import swapped
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

TELNYX = CarrierKind(
    "telnyx", (MULAW_8K, ALAW_8K, L16_16K), keeps_order=False, max_parameter_chars=0
)

_NAMES = {Encoding.MULAW: "PCMU", Encoding.ALAW: "PCMA", Encoding.L16: "L16"}
_MIN_CHUNK_MS = 20
_MAX_CHUNK_MS = 30_000
_MALFORMED_FRAME = 100003
_INVALID_MEDIA = 100004


class _Media(msgspec.Struct):
    payload: bytes


class _Mark(msgspec.Struct):
    name: str


class _Message(msgspec.Struct):
    event: str
    stream_id: str = ""
    media: _Media | None = None
    mark: _Mark | None = None


_decode = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.encode


class TelnyxSide:
    """See ``CarrierSide``. ``spec.outbound`` is the ``stream_bidirectional_codec`` that the
    application asked for.

    :raises ValueError: the spec asks for a codec that is not spoken here."""

    def __init__(self, spec: StreamSpec) -> None:
        if spec.inbound not in TELNYX.inbound or spec.outbound not in TELNYX.inbound:
            raise ValueError("Telnyx streams PCMU and PCMA at 8 kHz and L16 at 16 kHz")
        self.spec = spec
        self._sequence = 0
        self._chunk = 0
        self._tail = b'"},"stream_id":%b}' % _encode(spec.ids.stream_id)

    def connected(self) -> bytes:
        return b'{"event":"connected","version":"1.0.0"}'

    def start(self) -> bytes:
        spec, ids = self.spec, self.spec.ids
        start = {
            "user_id": ids.account_id,
            "call_control_id": ids.call_id,
            "call_session_id": ids.stream_id,
            "from": spec.from_number,
            "to": spec.to_number,
            "tags": [],
            "client_state": "",
            "media_format": {
                "encoding": _NAMES[spec.inbound.encoding],
                "sample_rate": spec.inbound.rate_hz,
                "channels": 1,
            },
            "custom_parameters": dict(spec.parameters),
        }
        return _encode(
            {
                "event": "start",
                "sequence_number": self._next(),
                "start": start,
                "stream_id": ids.stream_id,
            }
        )

    def media(self, payload_base64: bytes, timestamp_ms: int) -> bytes:
        self._sequence += 1
        self._chunk += 1
        return (
            b'{"event":"media","sequence_number":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b%b'
            % (self._sequence, self._chunk, timestamp_ms, payload_base64, self._tail)
        )

    def mark(self, name: str) -> bytes:
        return self._event("mark", {"mark": {"name": name}})

    def dtmf(self, digit: str, unix_micros: int) -> bytes:
        moment = datetime.fromtimestamp(unix_micros / 1_000_000, UTC)
        occurred_at = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return _encode(
            {
                "event": "dtmf",
                "stream_id": self.spec.ids.stream_id,
                "occurred_at": occurred_at,
                "sequence_number": self._next(),
                "dtmf": {"digit": digit},
            }
        )

    def stop(self) -> bytes:
        ids = self.spec.ids
        stop = {"user_id": ids.account_id, "call_control_id": ids.call_id}
        return self._event("stop", {"stop": stop})

    def unknown(self) -> bytes:
        return self._event("line_quality", {"line_quality": {"mos": "4.1"}})

    def lose(self) -> None:
        """A lost packet leaves a hole in the numbers as well as in the timestamps."""
        self._chunk += 1

    def receive(self, message: bytes) -> ServerMessage:
        try:
            decoded = _decode(message)
        except msgspec.MsgspecError as error:
            code = "invalid_payload" if "payload" in str(error) else "malformed_message"
            return Violation(code, str(error))
        except UnicodeDecodeError as error:
            return Violation("malformed_message", str(error))
        if not self._sequence:
            return Violation("message_before_start", f"{decoded.event} came before start was sent")
        if decoded.stream_id not in ("", self.spec.ids.stream_id):
            return Violation("wrong_stream_id", f"{decoded.event} names another stream")
        return self._command(decoded)

    def complaint(self, violation: Violation) -> bytes | None:
        if violation.code in ("malformed_message", "unknown_event", "binary_frame"):
            code, title = _MALFORMED_FRAME, "malformed_frame"
        elif violation.code in ("invalid_payload", "empty_payload"):
            code, title = _INVALID_MEDIA, "invalid_media"
        else:
            return None
        payload = {"code": code, "title": title, "detail": violation.detail}
        return _encode({"event": "error", "payload": payload, "stream_id": self.spec.ids.stream_id})

    def _command(self, decoded: _Message) -> ServerMessage:
        match decoded.event:
            case "media" if decoded.media is not None:
                return self._audio(decoded.media.payload)
            case "mark" if decoded.mark is not None and decoded.mark.name:
                return ServerMark(decoded.mark.name)
            case "clear":
                return ServerClear()
            case "media" | "mark":
                return Violation("malformed_message", f"{decoded.event} has no content")
        return Violation("unknown_event", f"Telnyx takes no {decoded.event[:40]!r} from a server")

    def _audio(self, payload: bytes) -> ServerMessage:
        audio: AudioFormat = self.spec.outbound
        if wrong := check_audio(payload, audio):
            return wrong
        size_ms = audio.duration_ms(len(payload))
        if size_ms < _MIN_CHUNK_MS:
            return Violation("chunk_too_short", f"{size_ms} ms; Telnyx takes 20 ms to 30 s")
        if size_ms > _MAX_CHUNK_MS:
            return Violation("chunk_too_long", f"{size_ms} ms; Telnyx takes 20 ms to 30 s")
        if audio.encoding is Encoding.L16 and self.spec.l16_big_endian:
            payload = swapped(payload)
        return ServerAudio(payload)

    def _event(self, name: str, content: dict[str, dict[str, str]]) -> bytes:
        head = {
            "event": name,
            "stream_id": self.spec.ids.stream_id,
            "sequence_number": self._next(),
        }
        return _encode({**head, **content})

    def _next(self) -> str:
        self._sequence += 1
        return str(self._sequence)
