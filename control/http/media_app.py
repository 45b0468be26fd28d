"""The media engine's HTTP application: carriers' streams, answer documents, health, metrics."""

import secrets
import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from control.http.media_socket import AiohttpSocket, serve_media
from control.metrics import Metrics
from control.settings import Settings
from media.carriers import CARRIERS, CarrierKind
from media.carriers.answer import StreamRequest
from media.carriers.kind import SignedRequest
from media.clock import Clock
from media.transport import Connection, Leg, Socket, StreamRefused
from voicecore.calls import Calls
from voicecore.stream_tokens import TokenGate, mint_token

log = structlog.get_logger("control.media")

TOKEN_PARAMETER = "token"


class MediaEntrance:
    """Who may come in: signatures at the upgrade, tokens at the start, room for both."""

    def __init__(
        self,
        calls: Calls,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        *,
        carrier_options: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.settings = settings
        self.calls = calls
        self.metrics = metrics
        self._clock = clock
        self.carrier_options = carrier_options
        secret = settings.stream_secret.get_secret_value()
        self._gate = TokenGate(secret) if secret else None
        self.waiting = 0
        """Connections that have not started a stream."""

    @property
    def has_room(self) -> bool:
        return self.calls.has_room and self.waiting < self.settings.max_waiting

    def connect(self, kind: CarrierKind, socket: Socket, *, path_token: str = "") -> Connection:
        """A connection that becomes a call when its stream starts and is let in."""
        self.waiting += 1
        settled = False

        def settle() -> None:
            nonlocal settled
            if not settled:
                settled = True
                self.waiting -= 1

        def started(leg: Leg) -> None:
            settle()
            self._admit(leg, path_token)
            self.calls.take(leg)
            self.metrics.calls_live.set(len(self.calls))

        def refused(code: str, detail: str) -> None:
            settle()
            self.metrics.streams_refused.labels(code).inc()
            log.warning("stream closed", carrier=kind.name, code=code, detail=detail)

        return Connection(
            kind,
            kind.codec(self.carrier_options.get(kind.name, {})),
            socket,
            self._clock,
            on_started=started,
            on_refused=refused,
        )

    def mint(self) -> dict[str, str]:
        """The stream parameters that let a stream in."""
        secret = self.settings.stream_secret.get_secret_value()
        if not secret:
            return {}
        return {TOKEN_PARAMETER: mint_token(secret, int(time.time()), secrets.token_bytes(16))}

    def _admit(self, leg: Leg, path_token: str) -> None:
        if self._gate is None:
            return
        token = leg.started.parameters.get(TOKEN_PARAMETER, "") or path_token
        if not self._gate.admit(token, int(time.time())):
            raise StreamRefused("bad_token")


def media_app(entrance: MediaEntrance, *, is_ready: Callable[[], bool]) -> web.Application:
    """The application; ``is_ready`` says whether calls can be answered."""
    app = web.Application(client_max_size=64 * 1024)

    for kind in CARRIERS:
        options = entrance.carrier_options.get(kind.name, {})
        handler = _media_handler(entrance, kind, is_ready)
        app.router.add_get(kind.path, handler)
        app.router.add_get(kind.path + "/{token}", handler)
        app.router.add_post(f"/answer/{kind.name}", _answer_handler(entrance, kind, options))

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        ready = is_ready() and not entrance.calls.draining
        body = {"status": "ready" if ready else "not_ready", "calls": len(entrance.calls)}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        entrance.metrics.calls_live.set(len(entrance.calls))
        return web.Response(
            body=entrance.metrics.render(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _media_handler(
    entrance: MediaEntrance, kind: CarrierKind, is_ready: Callable[[], bool]
) -> Handler:
    async def media(request: web.Request) -> web.StreamResponse:
        if not (is_ready() and entrance.has_room):
            entrance.metrics.streams_refused.labels("busy").inc()
            return _error(503, "busy", "no more calls are taken now", {"Retry-After": "5"})
        if not _upgrade_is_genuine(entrance.settings, kind, request):
            return _refuse_signature(entrance, kind)
        token = request.match_info.get("token", "")

        def connect(socket: AiohttpSocket) -> Connection:
            return entrance.connect(kind, socket, path_token=token)

        return await serve_media(request, connect)

    return media


def _answer_handler(
    entrance: MediaEntrance, kind: CarrierKind, options: Mapping[str, str]
) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        signed = _signed(entrance.settings, request, await request.read())
        secret = _secret_of(entrance.settings, kind)
        if secret and not kind.verify_webhook(signed, secret, int(time.time())):
            return _refuse_signature(entrance, kind)
        public = entrance.settings.public_url or f"{request.scheme}://{request.host}"
        stream_url = "wss://" + public.partition("://")[2].rstrip("/") + kind.path
        document = kind.answer(StreamRequest(stream_url, entrance.mint()), options)
        return web.Response(body=document.body, headers={"Content-Type": document.content_type})

    return answer


def _upgrade_is_genuine(settings: Settings, kind: CarrierKind, request: web.Request) -> bool:
    secret = _secret_of(settings, kind)
    if kind.verify_upgrade is None or not secret:
        return True
    return kind.verify_upgrade(_signed(settings, request, b""), secret, int(time.time()))


def _signed(settings: Settings, request: web.Request, body: bytes) -> SignedRequest:
    """The request under the URL that the carrier was given, not what a proxy says."""
    public = settings.public_url or f"{request.scheme}://{request.host}"
    headers = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest(public.rstrip("/") + request.raw_path, headers, body)


def _secret_of(settings: Settings, kind: CarrierKind) -> str:
    secrets_of = {
        "twilio": settings.twilio_auth_token.get_secret_value(),
        "telnyx": settings.telnyx_public_key,
    }
    return secrets_of.get(kind.name, "")


def _refuse_signature(entrance: MediaEntrance, kind: CarrierKind) -> web.Response:
    entrance.metrics.streams_refused.labels("bad_signature").inc()
    log.warning("request refused", carrier=kind.name, code="bad_signature")
    return _error(403, "bad_signature", "the carrier's signature is missing or wrong", {})


def _error(status: int, code: str, message: str, headers: Mapping[str, str]) -> web.Response:
    body = {"error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)
