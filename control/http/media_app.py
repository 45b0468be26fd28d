"""The media engine's HTTP application: carriers' streams, answer documents, health, metrics."""

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from control.http.errors import Refusal, Refused, error_form, request_id_of
from control.http.media_entrance import TOKEN_PARAMETER, MediaEntrance, Upgrade
from control.http.media_socket import AiohttpSocket, serve_media
from control.http.uploads import INCOMPLETE_BODY
from media.carriers import CARRIERS, CarrierKind
from media.carriers.answer import StreamRequest
from media.carriers.kind import SignedRequest
from media.transport import Connection

BODY_TIMEOUT_S = 10.0

BAD_HOST = Refusal(400, "BAD_HOST", "The Host header is no host's name")


def media_app(entrance: MediaEntrance) -> web.Application:
    """The application, with the routes of every carrier."""
    app = web.Application(client_max_size=64 * 1024, middlewares=[error_form])
    for kind in CARRIERS:
        app.router.add_post(f"/answer/{kind.name}", _answer_handler(entrance, kind))
    add_streams(app, entrance)
    return app


def add_streams(app: web.Application, entrance: MediaEntrance) -> None:
    """Every carrier's streams, health and metrics."""
    for kind in CARRIERS:
        handler = _media_handler(entrance, kind)
        app.router.add_get(kind.path, handler)
        app.router.add_get(kind.path + "/{token}", handler)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        ready = entrance.ready and not entrance.calls.draining
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


def _media_handler(entrance: MediaEntrance, kind: CarrierKind) -> Handler:
    async def media(request: web.Request) -> web.StreamResponse:
        if (refusal := entrance.refuses(kind, _upgrade(request))) is not None:
            raise Refused(refusal)
        token = request.match_info.get("token", "")

        def connect(socket: AiohttpSocket) -> Connection:
            return entrance.connect(kind, socket, path_token=token)

        return await serve_media(request, connect, request_id_of(request))

    return media


def _answer_handler(entrance: MediaEntrance, kind: CarrierKind) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        upgrade = _upgrade(request)
        if (refusal := entrance.refuses_webhook(kind, upgrade)) is not None:
            raise Refused(refusal)
        body = await _read_body(request)
        public = entrance.public_url(upgrade)
        secret = entrance.secret_of(kind)
        signed = SignedRequest(public + upgrade.path, upgrade.headers, body)
        if secret and not kind.verify_webhook(signed, secret, int(time.time())):
            raise Refused(entrance.bad_signature(kind, upgrade))
        stream_url = "wss://" + entrance.streams_url(upgrade).partition("://")[2] + kind.path
        parameters = entrance.mint()
        if kind.token_in_path and parameters:
            stream_url += "/" + parameters.pop(TOKEN_PARAMETER)
        options = entrance.carrier_options.get(kind.name, {})
        try:
            document = kind.answer(StreamRequest(stream_url, parameters), options)
        except ValueError:
            if entrance.settings.public_url:
                raise
            raise Refused(BAD_HOST) from None
        return web.Response(body=document.body, headers={"Content-Type": document.content_type})

    return answer


async def _read_body(request: web.Request) -> bytes:
    """:raises Refused: it did not come."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Refused(INCOMPLETE_BODY) from None


def _upgrade(request: web.Request) -> Upgrade:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Upgrade(request.raw_path, headers, request.remote or "", request_id_of(request))
