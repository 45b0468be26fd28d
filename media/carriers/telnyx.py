"""Telnyx media streaming over WebSocket, bidirectional mode ``rtp``.

Sources: Telnyx, "Media Streaming over WebSockets" (messages, codecs, chunk sizes), the Call
Control v2 reference and TeXML ``<Stream>`` (starting a stream), "Receiving Webhooks"
(signatures).
"""

import base64
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec
import pybase64
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat, Encoding
from media.carrier import CarrierEvent, CarrierFault, CarrierProtocolError, StreamStarted
from media.carriers.answer import (
    AnswerDocument,
    StreamRequest,
    check_stream_url,
    connect_stream,
)
from media.carriers.json_stream import (
    COMMON_EVENTS,
    CommonMessage,
    JsonStreamCodec,
    StartMessage,
)
from media.carriers.kind import CarrierKind, SignedRequest
from media.carriers.rest import RestRequest
from media.carriers.wire import ByteOrder, choose, supported_format

API_URL = "https://api.telnyx.com/v2"
SIGNATURE_TOLERANCE_S = 300
MIN_CHUNK_MS = 20
MAX_CHUNK_MS = 30_000

_CODECS = {"PCMU": MULAW_8K, "PCMA": ALAW_8K, "L16": L16_16K}
_CODEC_NAMES = {audio: name for name, audio in _CODECS.items()}
_FORMATS = {(name.lower(), audio.rate_hz): audio for name, audio in _CODECS.items()}

# PCMU is what Telnyx expects from a server that asked for nothing. The byte order of L16 is not
# documented: RFC 2586 and users' reports say network order, so that is the default.
_OPTIONS = {
    "outbound_codec": ("PCMU", "PCMA", "L16", "inbound"),
    "l16_byte_order": ("big", "little"),
}


class _MediaFormat(msgspec.Struct):
    encoding: str
    sample_rate: int
    channels: int = 1


class _Start(msgspec.Struct):
    call_control_id: str
    media_format: _MediaFormat
    caller: str | None = msgspec.field(name="from", default=None)
    called: str | None = msgspec.field(name="to", default=None)
    client_state: str | None = None
    custom_parameters: Any = None


class _Fault(msgspec.Struct):
    code: int | str = "unknown_error"
    title: str | None = None
    detail: str | None = None


class _StartMessage(StartMessage, tag_field="event", tag="start"):
    start: _Start
    stream_id: str = ""
    custom_parameters: Any = None


class _ErrorMessage(msgspec.Struct, tag_field="event", tag="error"):
    payload: _Fault


_decode = msgspec.json.Decoder(CommonMessage | _StartMessage | _ErrorMessage, strict=False).decode


class TelnyxCodec(JsonStreamCodec):
    """One Telnyx stream.

    Inbound audio has the codec of the telephone leg (PCMA outside North America); ``outbound``
    must be what was asked for when the stream was started, None for the same as inbound. Audio
    events carry ``media.chunk`` as their sequence: Telnyx does not promise their order."""

    name = "telnyx"

    def __init__(
        self, *, outbound: AudioFormat | None = None, l16_byte_order: ByteOrder = "big"
    ) -> None:
        """:raises ValueError: an outbound format that is not spoken here."""
        if outbound is not None:
            _codec_name(outbound)
        super().__init__(_decode, COMMON_EVENTS | {"error"}, l16_byte_order)
        self._wanted = outbound

    def _start(self, message: _StartMessage) -> StreamStarted:
        start = message.start
        wire = start.media_format
        inbound = supported_format(_FORMATS, wire.encoding, wire.sample_rate, wire.channels)
        parameters = _parameters(message.custom_parameters) | _parameters(start.custom_parameters)
        if start.client_state:
            parameters["client_state"] = start.client_state
        return StreamStarted(
            carrier=self.name,
            stream_id=message.stream_id,
            call_id=start.call_control_id,
            inbound=inbound,
            outbound=self._wanted or inbound,
            parameters=parameters,
            from_number=start.caller or "",
            to_number=start.called or "",
        )

    def _receive_own(self, message: object) -> list[CarrierEvent]:
        if not isinstance(message, _ErrorMessage):
            return []
        fault = message.payload
        texts = [text for text in (fault.title, fault.detail) if text]
        return [CarrierFault(str(fault.code), ": ".join(texts))]

    def _chunk(self, payload: bytes, audio: AudioFormat) -> bytes:
        """A payload under 20 ms, the least that Telnyx takes, is filled up with silence.

        :raises ValueError: it is over 30 s."""
        size = len(payload)
        if size < audio.frame_bytes:
            return payload + audio.silence(MIN_CHUNK_MS)[size:]
        if size > audio.bytes_per_ms * MAX_CHUNK_MS:
            raise ValueError(f"a chunk holds at most {MAX_CHUNK_MS} ms")
        return payload


def _parameters(given: Any) -> dict[str, str]:
    """Custom parameters, written as ``[{"name":…,"value":…}]`` or as an object: the request
    has the first form, and the form in ``start`` is not documented.

    :raises CarrierProtocolError: ``malformed_message``, they are neither."""
    match given:
        case None:
            return {}
        case dict():
            pairs = list(given.items())
        case list() if all(isinstance(item, dict) for item in given):
            pairs = [(item.get("name"), item.get("value", "")) for item in given]
        case _:
            pairs = [(None, None)]
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        raise CarrierProtocolError("malformed_message", "start: custom_parameters are no strings")
    return dict(pairs)


def make_codec(settings: Mapping[str, str] = {}, /) -> TelnyxCodec:
    """Settings: ``outbound_codec``, what ``stream_bidirectional_codec`` asked for (``PCMU``,
    ``PCMA``, ``L16``, or ``inbound`` for the same as comes in); ``l16_byte_order``, ``big`` or
    ``little``.

    :raises ValueError: an unknown setting or value."""
    chosen = choose(settings, _OPTIONS)
    return TelnyxCodec(
        outbound=_CODECS.get(chosen["outbound_codec"]),
        l16_byte_order=cast(ByteOrder, chosen["l16_byte_order"]),
    )


def texml(
    request: StreamRequest, outbound: AudioFormat = MULAW_8K, *, reconnect: bool = True
) -> AnswerDocument:
    """TeXML that answers a call and streams it both ways. With ``reconnect`` Telnyx opens a
    dropped socket again by itself and starts the stream anew on it.

    :raises ValueError: a stream URL that is not ``wss``, or a format Telnyx is not asked for
        here."""
    check_stream_url(request.url, query_allowed=True)
    stream = {
        "url": request.url,
        "track": "inbound_track",
        "bidirectionalMode": "rtp",
        "bidirectionalCodec": _codec_name(outbound),
        "bidirectionalSamplingRate": str(outbound.rate_hz),
        "enableReconnect": "true" if reconnect else "false",
        "statusCallback": request.status_url,
    }
    return connect_stream(stream, request.parameters)


def answer_call(
    call_control_id: str,
    stream_url: str,
    outbound: AudioFormat = MULAW_8K,
    *,
    client_state: bytes = b"",
    command_id: str = "",
) -> RestRequest:
    """Answer a call and stream it at once. ``answer`` takes no custom parameters and no
    sampling rate; a token belongs in ``stream_url``. A ``command_id`` seen within 60 s is
    ignored, so one derived from the webhook's id makes a repeated webhook harmless.

    :raises ValueError: as ``texml``, or ``outbound`` is L16, whose rate cannot be asked for."""
    if outbound.encoding is Encoding.L16:
        raise ValueError("answer takes no sampling rate; use streaming_start for L16")
    body = _stream_fields(stream_url, outbound)
    if client_state:
        body["client_state"] = base64.b64encode(client_state).decode()
    return _action(call_control_id, "answer", body, command_id)


def reject_call(call_control_id: str, *, command_id: str = "") -> RestRequest:
    """Refuse a call that was not answered: the caller hears it at once, and nobody pays."""
    return _action(call_control_id, "reject", {"cause": "CALL_REJECTED"}, command_id)


def outbound_format(settings: Mapping[str, str] = {}, /) -> AudioFormat:
    """What the codec of these settings sends; a call is to be answered with the same.

    :raises ValueError: ``inbound``, which is not known beforehand."""
    chosen = choose(settings, _OPTIONS)["outbound_codec"]
    if chosen == "inbound":
        raise ValueError("outbound_codec must name a codec: inbound's is not known beforehand")
    return _CODECS[chosen]


def streaming_start(
    call_control_id: str,
    request: StreamRequest,
    outbound: AudioFormat = MULAW_8K,
    *,
    command_id: str = "",
) -> RestRequest:
    """Stream a call that is already answered. ``request.status_url`` has no place here: Telnyx
    reports to the call's webhook.

    :raises ValueError: as ``texml``."""
    body = _stream_fields(request.url, outbound)
    body["stream_bidirectional_sampling_rate"] = outbound.rate_hz
    if request.parameters:
        body["custom_parameters"] = [
            {"name": name, "value": value} for name, value in request.parameters.items()
        ]
    return _action(call_control_id, "streaming_start", body, command_id)


def hang_up(account_id: str, call_control_id: str) -> RestRequest:
    """End a call; the account is known from the API key. 422 with code 90018 says that the
    call is over already."""
    return _action(call_control_id, "hangup", {}, "", settled=((422, 90018),))


def verify_webhook(request: SignedRequest, public_key: str, now_s: int) -> bool:
    """Did Telnyx sign this webhook (Ed25519 over ``timestamp|body``) within 300 s of ``now_s``?

    ``public_key`` is the account's, 32 bytes in base64."""
    timestamp = request.headers.get("telnyx-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now_s - int(timestamp)) > SIGNATURE_TOLERANCE_S:
        return False
    try:
        signature = pybase64.b64decode(
            request.headers.get("telnyx-signature-ed25519", ""), validate=True
        )
        key = Ed25519PublicKey.from_public_bytes(pybase64.b64decode(public_key, validate=True))
        key.verify(signature, timestamp.encode() + b"|" + request.body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _stream_fields(stream_url: str, outbound: AudioFormat) -> dict[str, Any]:
    check_stream_url(stream_url, query_allowed=True)
    return {
        "stream_url": stream_url,
        "stream_track": "inbound_track",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": _codec_name(outbound),
        "stream_bidirectional_target_legs": "self",
    }


def _codec_name(outbound: AudioFormat) -> str:
    name = _CODEC_NAMES.get(outbound)
    if name is None:
        raise ValueError(f"outbound audio is one of {', '.join(_CODECS)}")
    return name


def _action(
    call_control_id: str,
    action: str,
    body: dict[str, Any],
    command_id: str,
    settled: tuple[tuple[int, int], ...] = (),
) -> RestRequest:
    if command_id:
        body["command_id"] = command_id
    path = f"calls/{quote(call_control_id, safe=':')}/actions/{action}"
    return RestRequest("POST", f"{API_URL}/{path}", msgspec.json.encode(body), settled=settled)


def _answer(request: StreamRequest, settings: Mapping[str, str]) -> AnswerDocument:
    # Closing the socket is how the server hangs up: Telnyx must not open it again.
    return texml(request, outbound_format(settings), reconnect=False)


KIND = CarrierKind(
    name="telnyx",
    path="/media/telnyx",
    codec=make_codec,
    answer=_answer,
    hang_up=hang_up,
    verify_webhook=verify_webhook,
    # The documents name no signature on the upgrade: a token in the URL must do.
    verify_upgrade=None,
    # The socket opens while an outbound call still rings, and start comes only at the answer.
    start_timeout_ms=90_000,
    # Where parameters come back in its start message is not documented.
    token_in_path=True,
    reorder_frames=3,
)
