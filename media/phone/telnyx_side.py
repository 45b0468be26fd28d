"""Telnyx' side of media streaming over WebSocket, bidirectional mode ``rtp``.

Source: Telnyx, "Media Streaming over Websockets". Counters are strings, order is not promised,
a server's chunk holds 20 ms to 30 s, and errors are reported on the socket. Where the custom
parameters of ``streaming_start`` appear is not documented; here they are
``start.custom_parameters``.
"""

from datetime import UTC, datetime

import msgspec

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, Encoding
from media.carriers.wire import swapped
from media.phone.json_messages import Message
from media.phone.json_side import JsonSide
from media.phone.side import (
    CarrierKind,
    ServerAudio,
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


class _Message(Message):
    stream_id: str = ""


class TelnyxSide(JsonSide):
    """See ``CarrierSide``. ``spec.outbound`` is the ``stream_bidirectional_codec`` that the
    application asked for.

    :raises ValueError: the spec asks for a codec that is not spoken here."""

    title = "Telnyx"
    sequence_key = "sequence_number"
    stream_key = "stream_id"
    decode = msgspec.json.Decoder(_Message).decode

    def __init__(self, spec: StreamSpec) -> None:
        if spec.inbound not in TELNYX.inbound or spec.outbound not in TELNYX.inbound:
            raise ValueError("Telnyx streams PCMU and PCMA at 8 kHz and L16 at 16 kHz")
        super().__init__(spec)

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
        return self._event("start", {"start": start})

    def dtmf(self, digit: str, unix_micros: int) -> bytes:
        moment = datetime.fromtimestamp(unix_micros / 1_000_000, UTC)
        occurred_at = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return self._event("dtmf", {"occurred_at": occurred_at, "dtmf": {"digit": digit}})

    def stop(self) -> bytes:
        ids = self.spec.ids
        stop = {"user_id": ids.account_id, "call_control_id": ids.call_id}
        return self._event("stop", {"stop": stop})

    def unknown(self) -> bytes:
        return self._event("line_quality", {"line_quality": {"mos": "4.1"}})

    def lose(self) -> None:
        """A lost packet leaves a hole in the numbers as well as in the timestamps."""
        self._chunk += 1

    def complaint(self, violation: Violation) -> bytes | None:
        if violation.code in ("malformed_message", "unknown_event", "binary_frame"):
            code, title = _MALFORMED_FRAME, "malformed_frame"
        elif violation.code in ("invalid_payload", "empty_payload"):
            code, title = _INVALID_MEDIA, "invalid_media"
        else:
            return None
        payload = {"code": code, "title": title, "detail": violation.detail}
        return msgspec.json.encode(
            {"event": "error", "payload": payload, "stream_id": self.spec.ids.stream_id}
        )

    def _misaddressed(self, message: _Message) -> Violation | None:
        if message.stream_id not in ("", self.spec.ids.stream_id):
            return Violation("wrong_stream_id", f"{message.event} names another stream")
        return None

    def _audio(self, payload: bytes) -> ServerMessage:
        audio = self.spec.outbound
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
