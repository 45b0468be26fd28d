"""Twilio Media Streams, bidirectional (``<Connect><Stream>``).

Sources: twilio.com/docs/voice/media-streams/websocket-messages (messages),
/docs/voice/twiml/stream (answer document), /docs/usage/webhooks/webhooks-security (signatures),
/docs/voice/api/call-resource (hanging up).
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from typing import cast
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
import pybase64

from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K
from media.carrier import StreamStarted
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
from media.carriers.rest import FORM, RestRequest
from media.carriers.wire import ByteOrder, choose, supported_format

API_URL = "https://api.twilio.com/2010-04-01"
PARAMETER_LIMIT_CHARS = 500
_FORM_FIELDS_LIMIT = 1000

# The documentation knows µ-law at 8 kHz only; the others are what Twilio's SDK lets one ask
# for. SignalWire, which speaks this dialect, has L16 too.
_FORMATS = {
    ("audio/x-mulaw", 8000): MULAW_8K,
    ("audio/x-alaw", 8000): ALAW_8K,
    ("audio/x-l16", 8000): L16_8K,
    ("audio/x-l16", 16000): L16_16K,
    ("audio/l16", 8000): L16_8K,
    ("audio/l16", 16000): L16_16K,
}

# No document says how L16 is ordered here; vendors who document theirs send little-endian.
_OPTIONS = {"l16_byte_order": ("little", "big")}


class _MediaFormat(msgspec.Struct, rename="camel"):
    encoding: str
    sample_rate: int
    channels: int = 1


class _Start(msgspec.Struct, rename="camel"):
    stream_sid: str
    call_sid: str
    media_format: _MediaFormat
    custom_parameters: dict[str, str] | None = None


class _StartMessage(StartMessage, tag_field="event", tag="start"):
    start: _Start


_decode = msgspec.json.Decoder(CommonMessage | _StartMessage, strict=False).decode


class TwilioCodec(JsonStreamCodec):
    """One Twilio stream. Both directions have one format."""

    name = "twilio"

    def __init__(self, *, l16_byte_order: ByteOrder = "little") -> None:
        super().__init__(_decode, COMMON_EVENTS, l16_byte_order)

    def _start(self, message: _StartMessage) -> StreamStarted:
        start = message.start
        wire = start.media_format
        audio = supported_format(_FORMATS, wire.encoding, wire.sample_rate, wire.channels)
        self._address_messages(b',"streamSid":%b' % msgspec.json.encode(start.stream_sid))
        return StreamStarted(
            carrier=self.name,
            stream_id=start.stream_sid,
            call_id=start.call_sid,
            inbound=audio,
            outbound=audio,
            parameters=start.custom_parameters or {},
        )


def make_codec(settings: Mapping[str, str] = {}, /) -> TwilioCodec:
    """Settings: ``l16_byte_order``, ``little`` or ``big``.

    :raises ValueError: an unknown setting or value."""
    chosen = choose(settings, _OPTIONS)
    return TwilioCodec(l16_byte_order=cast(ByteOrder, chosen["l16_byte_order"]))


def twiml(request: StreamRequest, *, action_url: str = "") -> AnswerDocument:
    """TwiML that answers a call and streams it both ways. When the server closes the stream,
    Twilio asks ``action_url`` for more, or else ends the call.

    :raises ValueError: a stream URL that is not ``wss`` or has a query string (Twilio drops
        it), or a parameter of 500 characters or more, name and value together."""
    check_stream_url(request.url, query_allowed=False)
    for name, value in request.parameters.items():
        if not name or len(name) + len(value) >= PARAMETER_LIMIT_CHARS:
            raise ValueError(
                f"a parameter has a name, and name and value together stay under "
                f"{PARAMETER_LIMIT_CHARS} characters: {name[:40]!r}"
            )
    stream = {"url": request.url, "statusCallback": request.status_url}
    return connect_stream(stream, request.parameters, {"action": action_url})


def hang_up(account_sid: str, call_sid: str) -> RestRequest:
    """End a call. 404 with code 20404 says that it is over already."""
    return RestRequest(
        "POST",
        f"{API_URL}/Accounts/{quote(account_sid, safe='')}/Calls/{quote(call_sid, safe='')}.json",
        b"Status=completed",
        FORM,
        settled=((404, 20404),),
    )


def verify_webhook(request: SignedRequest, auth_token: str, now_s: int = 0) -> bool:
    """Did Twilio sign this webhook with the account's Auth Token (HMAC-SHA1)?

    A form is signed field by field; any other body only by ``bodySHA256`` in the query, and is
    refused without it. Requests signed with a shared key instead of the Auth Token (they say so
    in ``X-Twilio-Webhooks-Signature-Settings``) are refused. Twilio's signatures have no time,
    so ``now_s`` is not looked at."""
    if "x-twilio-webhooks-signature-settings" in request.headers:
        return False
    try:
        signed = _signed_fields(request)
    except ValueError:
        return False
    if signed is None:
        return False
    return _matches(request, auth_token, (url + signed for url in _ports(request.url)))


def verify_upgrade(request: SignedRequest, auth_token: str, now_s: int = 0) -> bool:
    """Did Twilio sign this WebSocket upgrade? ``request.url`` is the ``url`` of ``<Stream>``.

    Reports differ on whether Twilio signs ``wss:`` or ``https:`` and whether a final slash is
    added, so each form is tried."""
    head, slash, tail = request.url.partition("://")
    if not slash or head not in ("wss", "https"):
        return False
    texts = [tail]
    if "?" not in tail:
        texts.append(tail[:-1] if tail.endswith("/") else tail + "/")
    urls = (f"{scheme}://{text}" for text in texts for scheme in ("wss", "https"))
    return _matches(request, auth_token, (form for url in urls for form in _ports(url)))


def _signed_fields(request: SignedRequest) -> str | None:
    """What is signed behind the URL; None when the body is not covered at all."""
    query = dict(parse_qsl(urlsplit(request.url).query, max_num_fields=_FORM_FIELDS_LIMIT))
    if "bodySHA256" in query:
        digest = hashlib.sha256(request.body).hexdigest()
        given = query["bodySHA256"].lower().encode()
        return "" if hmac.compare_digest(digest.encode(), given) else None
    if not request.body:
        return ""
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        return None
    fields = parse_qsl(
        request.body.decode(),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=_FORM_FIELDS_LIMIT,
    )
    # A name that comes more than once counts once for each different value, as in Twilio's SDK.
    return "".join(name + value for name, value in sorted(set(fields)))


def _ports(url: str) -> Iterator[str]:
    """The URL as it is, without its port, and with its scheme's default one: Twilio's own
    practice varies."""
    yield url
    match = re.fullmatch(r"(https?|wss?)://([^/?#]*?)(:\d+)?([/?#].*)?", url, re.DOTALL)
    if match is None:
        return
    scheme, host, port, rest = match.groups(default="")
    if port:
        yield f"{scheme}://{host}{rest}"
    else:
        yield f"{scheme}://{host}:{443 if scheme in ('https', 'wss') else 80}{rest}"


def _matches(request: SignedRequest, auth_token: str, texts: Iterator[str]) -> bool:
    given = request.headers.get("x-twilio-signature", "").encode(errors="replace")
    key = auth_token.encode()
    if not given or not key:
        return False
    return any(
        hmac.compare_digest(
            pybase64.b64encode(hmac.digest(key, text.encode(errors="replace"), "sha1")), given
        )
        for text in texts
    )


def _answer(request: StreamRequest, settings: Mapping[str, str]) -> AnswerDocument:
    choose(settings, _OPTIONS)
    return twiml(request)


KIND = CarrierKind(
    name="twilio",
    path="/media/twilio",
    codec=make_codec,
    answer=_answer,
    hang_up=hang_up,
    verify_webhook=verify_webhook,
    verify_upgrade=verify_upgrade,
    start_timeout_ms=10_000,
)
