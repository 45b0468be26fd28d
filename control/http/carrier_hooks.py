"""``POST /webhooks/calls/inbound``: a carrier asks who answers a call.

Twilio's form and Telnyx' TeXML form are answered with a document that streams the call. Telnyx'
Call Control sends an event instead, which is answered through its REST API. Each request is signed
by the carrier, and the document holds a token that lets one stream in.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID
from xml.sax.saxutils import escape

import aiohttp
import asyncpg
import msgspec
import structlog
from aiohttp import web

from control.agent_maker import AgentMaker
from control.call_log import MOST_ID, MOST_NUMBER
from control.call_server import CallServer, Route, TooManyCalls
from control.call_tickets import Coming, counts_for
from control.db import routing
from control.db.database import AWAY, PLATFORM, Connection, Database, Row
from control.http.errors import Refusal, Refused, request_id_of
from control.http.uploads import read_body
from control.plane import Plane
from control.tenant_agents import TenantAgentError
from control.vault import KeyShut, Vault
from media.carriers import CARRIERS, CarrierKind
from media.carriers.answer import AnswerDocument, StreamRequest
from media.carriers.kind import SignedRequest
from media.carriers.rest import RestRequest
from media.carriers.telnyx import answer_call, outbound_format, reject_call
from voicecore.adapters.registry import VendorConfigError
from voicecore.providers.errors import VendorError

BODY_LIMIT_BYTES = 64 * 1024
INBOUND_TIMEOUT_S = 13.0
"""Carriers wait some 15 s for the answer; then they try the number's fallback."""
LOADING_TIMEOUT_S = 10.0
REST_TIMEOUT_S = 5.0
ASKED, MOST_ASKED, PAUSE_S = "asked", 4, 2
"""Of an agent that is being loaded the carrier asks so often again, after so long a pause."""

BAD_SIGNATURE = Refusal(403, "BAD_SIGNATURE", "The carrier's signature is missing or wrong")
NOT_SET_UP = Refusal(
    403,
    "CARRIER_NOT_SET_UP",
    "There is no key to check this carrier by: VOICECORE_TWILIO_AUTH_TOKEN or "
    "VOICECORE_TELNYX_PUBLIC_KEY, and VOICECORE_TELNYX_API_KEY for Call Control",
)
KEY_SHUT = Refusal(
    503,
    "CARRIER_KEY_SHUT",
    "The key to check this carrier by is stored, and cannot be opened: see the server's log",
)
BAD_WEBHOOK = Refusal(400, "BAD_WEBHOOK", "The request is no carrier's webhook")
UNAVAILABLE = Refusal(503, "UNAVAILABLE", "No call is taken now")

REJECT = AnswerDocument(
    b'<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="rejected"/></Response>'
)

Change = Callable[[Connection, UUID, str, UUID], Awaitable[None]]

log = structlog.get_logger("control.carrier_hooks")


def signing_keys(vault: Vault) -> Callable[[str], str]:
    """What a carrier signs with, by its name, for requests to be checked by; empty where there is
    no key. One that is stored and does not open has the request refused, by 503: the fault is
    ours, and the carrier tries the number's fallback. The log was told when that was found."""

    def signing_key(carrier: str) -> str:
        try:
            return vault.signing_key(carrier)
        except KeyShut as error:
            raise Refused(KEY_SHUT) from error

    return signing_key


class Incoming(msgspec.Struct, frozen=True):
    """A call that a carrier asks about."""

    kind: CarrierKind
    call_id: str
    """As the carrier calls it."""
    caller_number: str
    called_number: str
    control_id: str = ""
    """Of a Telnyx Call Control call: answered by REST."""
    event_id: str = ""

    def command_id(self, action: str) -> str:
        """The same for each copy of a webhook: Telnyx ignores a command that it has seen."""
        return f"{action}-{self.event_id}"[:128] if self.event_id else ""


class CarrierHooks:
    """The webhooks' handlers."""

    def __init__(
        self, plane: Plane, server: CallServer, maker: AgentMaker, database: Database
    ) -> None:
        self._plane = plane
        self._database = database
        self._server = server
        self._maker = maker

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/webhooks/calls/inbound", self.inbound)

    async def inbound(self, request: web.Request) -> web.StreamResponse:
        """Answer the call with its number's agent, or have it rejected."""
        try:
            async with asyncio.timeout(INBOUND_TIMEOUT_S):
                return await self._inbound(request)
        except TimeoutError as error:
            log.error("a webhook was not answered in time", code="webhook_late")
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"}) from error

    async def _inbound(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, BODY_LIMIT_BYTES)
        headers = {name.lower(): value for name, value in request.headers.items()}
        kind = _kind_of(headers)
        self._check_signature(kind, request, headers, body)
        incoming = _incoming(kind, request, body)
        if incoming is None:  # an event that asks for nothing
            return web.Response(status=200)
        entrance = self._server.entrance
        if (refusal := entrance.unavailable()) is not None:
            raise Refused(refusal, headers={"Retry-After": "5"})
        coming = self._coming(incoming)
        route = await self._route(coming, request_id_of(request))
        if route is None:
            return await self._rejected(incoming)
        try:
            token = await self._ticket(coming, route)
        except TooManyCalls:
            log.warning("call rejected", code="too_many_calls", request_id=request_id_of(request))
            return await self._rejected(incoming)
        except TimeoutError:
            return self._asked_again(incoming, request)
        url = stream_url(self._plane.settings.streams_reach, request.host, kind, token)
        options = entrance.carrier_options.get(kind.name, {})
        if incoming.control_id:
            await self._send_to_telnyx(_answer(incoming, url, options))
            return web.Response(status=200)
        return _document(kind.answer(StreamRequest(url, {"token": token}), options))

    def _check_signature(
        self, kind: CarrierKind, request: web.Request, headers: Mapping[str, str], body: bytes
    ) -> None:
        """:raises Refused: it is not the carrier's, or nobody can tell."""
        settings = self._plane.settings
        secret = self._server.entrance.secret_of(kind)
        if not secret:
            if settings.allow_unsigned_webhooks and not self._is_guarded():
                return
            log.warning("request refused", code="carrier_not_set_up", carrier=kind.name)
            raise Refused(NOT_SET_UP)
        public = settings.public_url or f"{request.scheme}://{request.host}"
        signed = SignedRequest(public.rstrip("/") + request.raw_path, headers, body)
        if not kind.verify_webhook(signed, secret, int(time.time())):
            log.warning("request refused", code="bad_signature", carrier=kind.name)
            raise Refused(BAD_SIGNATURE)

    def _is_guarded(self) -> bool:
        """Whether any carrier's webhooks are checked: whose it is, the request itself says, and
        one that nobody checks would be the way in past the others."""
        return any(self._server.entrance.secret_of(kind) for kind in CARRIERS)

    def _coming(self, incoming: Incoming) -> Coming:
        numbers = (incoming.caller_number, incoming.called_number)
        return self._server.named(Coming(incoming.kind.name, incoming.call_id, *numbers))

    async def _route(self, coming: Coming, request_id: str) -> Row | None:
        """The agent, with a place for this call among its workspace's; None: nobody answers."""
        code, place = "no_such_number", (coming.asked_by, coming.call_id)
        try:
            async with self._database.transaction(PLATFORM) as db:
                route = await routing.of_number(db, coming.called_number)
                if route is not None:
                    code = await routing.refusal(db, route, *place, counts_for())
        except AWAY as error:
            log.error("the database does not answer", code="database_away", error=str(error))
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"}) from error
        if code:
            log.warning("call rejected", code=code, request_id=request_id)
            return None
        return route

    async def _ticket(self, coming: Coming, route: Row) -> str:
        """The token for the call's stream.

        :raises TimeoutError: the agent is being loaded, and the carrier waits no longer.
        :raises Refused: the agent cannot be loaded; the carrier tries the number's fallback."""
        version, make = self._maker.plan(route)
        wanted = Route(route["workspace_id"], version, make, route["max_concurrent_calls"])
        try:
            async with asyncio.timeout(LOADING_TIMEOUT_S):
                token, call_id = await self._server.expect(wanted, coming)
        except TooManyCalls:
            await self._replace(routing.release, route, coming, coming.call_id)
            raise
        except TimeoutError:
            log.warning("an agent is still being loaded", agent_id=str(route["agent_id"]))
            raise
        except (VendorError, VendorConfigError, TenantAgentError, *AWAY) as error:
            await self._replace(routing.release, route, coming, coming.call_id)
            log.error("an agent cannot answer", agent_id=str(route["agent_id"]), error=str(error))
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"}) from error
        if call_id != coming.call_id:  # a copy of this webhook was answered meanwhile
            await self._replace(routing.rename, route, coming, call_id)
        return token

    def _asked_again(self, incoming: Incoming, request: web.Request) -> web.Response:
        """The agent is being loaded for the first time: have the carrier ask once more, instead of
        losing the call. (Telnyx sends an event again that was not taken.)

        :raises Refused: it has asked often enough."""
        asked = request.query.get(ASKED, "0")
        count = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 3 else MOST_ASKED
        if incoming.control_id or count >= MOST_ASKED:
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"})
        public = self._plane.settings.public_url.rstrip("/")
        return _document(ask_again(f"{public}{request.path}?{ASKED}={count + 1}"))

    async def _replace(self, change: Change, route: Row, coming: Coming, call_id: UUID) -> None:
        """Change the call's place; if the database is away, it is forgotten in half a minute."""
        try:
            async with self._database.transaction(PLATFORM) as db:
                await change(db, route["workspace_id"], coming.asked_by, call_id)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.error("the database does not answer", code="database_away", error=str(error))

    async def _rejected(self, incoming: Incoming) -> web.Response:
        if incoming.control_id:
            command_id = incoming.command_id("reject")
            await self._send_to_telnyx(reject_call(incoming.control_id, command_id=command_id))
            return web.Response(status=200)
        return _document(REJECT)

    async def _send_to_telnyx(self, wanted: RestRequest) -> None:
        key = self._plane.vault.telnyx_api_key
        if not key:
            raise Refused(NOT_SET_UP)
        timeout = aiohttp.ClientTimeout(total=REST_TIMEOUT_S)
        api_url = self._plane.settings.telnyx_api_url
        target = wanted.url.replace("https://api.telnyx.com", api_url, 1)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": wanted.content_type}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(target, data=wanted.body, headers=headers) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            log.error("telnyx is not reached", error=str(error))
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"}) from error
        if status >= 300:
            log.error("telnyx refuses to answer", status=status)
            raise Refused(UNAVAILABLE, headers={"Retry-After": "5"})


def _answer(incoming: Incoming, url: str, options: Mapping[str, str]) -> RestRequest:
    """:raises Refused: the codec that is set cannot be asked for so."""
    command_id = incoming.command_id("answer")
    try:
        outbound = outbound_format(options)
        return answer_call(incoming.control_id, url, outbound, command_id=command_id)
    except ValueError as error:
        log.error("a call cannot be answered", code="telnyx_codec", error=str(error))
        raise Refused(UNAVAILABLE, headers={"Retry-After": "5"}) from error


def stream_url(reach: str, host: str, kind: CarrierKind, token: str) -> str:
    """Where the call's stream comes in. The token is in the path, too: not every carrier brings
    parameters back."""
    base = "wss://" + (reach.partition("://")[2].rstrip("/") if reach else host)
    return f"{base}{kind.path}/{token}" if kind.token_in_path else base + kind.path


def _kind_of(headers: Mapping[str, str]) -> CarrierKind:
    """Whose webhook it says it is; its signature shows whether that is so."""
    name = "telnyx" if "telnyx-signature-ed25519" in headers else "twilio"
    if headers.get("content-type", "").startswith("application/json"):
        name = "telnyx"
    return next(kind for kind in CARRIERS if kind.name == name)


def _incoming(kind: CarrierKind, request: web.Request, body: bytes) -> Incoming | None:
    """None: the event is not about a call that comes in.

    :raises Refused: it is none of the carrier's webhooks."""
    if request.content_type == "application/json":
        return _of_event(kind, body)
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=200))
    except (ValueError, UnicodeDecodeError):
        raise Refused(BAD_WEBHOOK) from None
    call_id, caller, called = (fields.get(name, "") for name in ("CallSid", "From", "To"))
    if not call_id or not called or not _is_text(call_id, caller, called):
        raise Refused(BAD_WEBHOOK)
    return Incoming(kind, call_id[:MOST_ID], caller[:MOST_NUMBER], called[:MOST_NUMBER])


def _of_event(kind: CarrierKind, body: bytes) -> Incoming | None:
    try:
        data: Any = msgspec.json.decode(body)["data"]
        payload = data["payload"]
        kind_of_event, control_id = data["event_type"], payload["call_control_id"]
        caller, called = str(payload.get("from") or ""), str(payload.get("to") or "")
        incoming = payload.get("direction") == "incoming"
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise Refused(BAD_WEBHOOK) from None
    if kind_of_event != "call.initiated" or not incoming or not isinstance(control_id, str):
        return None
    event_id = str(data.get("id") or "")
    if not control_id or not _is_text(control_id, caller, called, event_id):
        raise Refused(BAD_WEBHOOK)
    numbers = (caller[:MOST_NUMBER], called[:MOST_NUMBER])
    return Incoming(kind, control_id[:MOST_ID], *numbers, control_id[:MOST_ID], event_id)


def _is_text(*texts: str) -> bool:
    """Whether a database and a carrier understand them: no carrier sends others."""
    return not any("\0" in text for text in texts)


def ask_again(url: str) -> AnswerDocument:
    """Wait, and ask again (twilio.com/docs/voice/twiml/redirect,
    developers.telnyx.com/docs/voice/programmable-voice/texml-verbs)."""
    waits = f'<Pause length="{PAUSE_S}"/><Redirect method="POST">{escape(url)}</Redirect>'
    return AnswerDocument(
        f'<?xml version="1.0" encoding="UTF-8"?><Response>{waits}</Response>'.encode()
    )


def _document(document: AnswerDocument) -> web.Response:
    return web.Response(body=document.body, headers={"Content-Type": document.content_type})
