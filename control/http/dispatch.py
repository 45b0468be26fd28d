"""From an HTTP request to a declared endpoint's handler, and back."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import structlog
from aiohttp import ClientConnectionResetError, web
from aiohttp.typedefs import Handler as HttpHandler

from control.auth.bearers import bearer_of, token_in
from control.db.database import AWAY, Connection, Sight
from control.http import idempotency, limits
from control.http.access import Access, Bearer, has_scope
from control.http.challenges import no_good_token, scope_too_small
from control.http.context import Context
from control.http.endpoint import Endpoint, Raw
from control.http.errors import METHOD_NOT_ALLOWED, Refused, request_id_of, tell_errors_as
from control.http.plain import to_json
from control.http.reading import read
from control.http.refusals import (
    SERVICE_UNAVAILABLE,
    TOO_BUSY,
    role_too_low,
)
from control.http.remote import network_of, remote_of
from control.http.sights import place_in, sight_of
from control.plane import Plane

JSON_TYPE = "application/json; charset=utf-8"

CLASHES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Of two transactions that want the same rows PostgreSQL ends one, which may well do it again."""

log = structlog.get_logger("control.api")

_BEARERS = {
    "admin": ("admin",),
    "person": ("user",),
    "member": ("user", "api_key"),
    "oauth": ("oauth",),
}


def handler_of(plane: Plane, endpoint: Endpoint) -> HttpHandler:
    """What aiohttp calls for an endpoint."""

    async def handle(request: web.Request) -> web.StreamResponse:
        _tell_errors(endpoint, request)
        try:
            if endpoint.access.kind == "public":
                return await _limited(plane, endpoint, None, request, None)
            return await _authenticated(plane, endpoint, request)
        except AWAY as error:
            if isinstance(error, ClientConnectionResetError):  # the peer is gone
                raise
            # Without a traceback, as there is one such error for each request.
            told = f"{type(error).__name__}: {error}"
            log.error("the database does not answer", code="database_away", error=told)
            raise Refused(SERVICE_UNAVAILABLE) from error
        except CLASHES as error:
            log.warning("transactions clash", code="transactions_clash", error=str(error))
            raise Refused(TOO_BUSY) from error

    return handle


def others_refused(endpoint: Endpoint) -> HttpHandler:
    """What aiohttp calls for every other method, where errors have a form of their own: its own
    refusal knows of no endpoint."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        _tell_errors(endpoint, request)
        raise Refused(METHOD_NOT_ALLOWED, headers={"Allow": endpoint.method})

    return refuse


def _tell_errors(endpoint: Endpoint, request: web.Request) -> None:
    """In the form that the endpoint declares, if it does."""
    form = endpoint.other_form
    if form is not None:
        tell_errors_as(request, lambda refusal: _raw(form(refusal)))


async def _authenticated(
    plane: Plane, endpoint: Endpoint, request: web.Request
) -> web.StreamResponse:
    """:raises Refused: nobody calls whom the endpoint knows."""
    token = token_in(request.headers.get("Authorization", ""))
    if token is None:  # for which no connection is taken
        raise await _stranger(plane, endpoint, None, request)
    # Whoever asks for much waits before he has a connection, and goes on with that one.
    async with plane.shares.entered((f"token:{token}",)), plane.db.connection() as db:
        bearer = await bearer_of(db, token, place_in(endpoint, request))
        is_known = bearer is not None and bearer.kind in _BEARERS[endpoint.access.kind]
        if is_known and endpoint.only_reads and not plane.limits.waits:
            callers = _callers(plane, endpoint, bearer, request)
            if plane.shares.take(callers):
                try:
                    return await _limited(plane, endpoint, bearer, request, db)
                finally:
                    plane.shares.leave(callers)
    if not is_known:
        raise await _stranger(plane, endpoint, bearer, request)
    return await _limited(plane, endpoint, bearer, request, None)


async def _stranger(
    plane: Plane, endpoint: Endpoint, bearer: Bearer | None, request: web.Request
) -> Refused:
    """What is said to somebody whom the endpoint does not know, as long as he does not try often.

    :raises Refused: he does."""
    if bearer is None:
        await limits.count_failure(plane, _remote(plane, request))
    else:
        await limits.count(plane, bearer, _remote(plane, request))
    authorization = request.headers.get("Authorization", "")
    return no_good_token(endpoint.access.kind, authorization, bearer)


async def _limited(
    plane: Plane,
    endpoint: Endpoint,
    bearer: Bearer | None,
    request: web.Request,
    db: Connection | None,
) -> web.StreamResponse:
    headers = await limits.count(plane, bearer, _remote(plane, request))
    try:
        if bearer is not None:
            _authorise(bearer, endpoint.access)
        response = await _answer(plane, endpoint, bearer, request, db)
    except Refused as refused:
        refused.headers.update(headers)
        raise
    if not response.prepared:
        response.headers.update(headers)
    return response


def _authorise(bearer: Bearer, access: Access) -> None:
    """:raises Refused: his role or his scope is too little, wherever he asks for it."""
    if access.kind == "admin" and bearer.role not in access.roles:
        raise Refused(role_too_low(access.roles, bearer.role))
    if access.kind == "oauth" and not has_scope(bearer.scopes, access.scope):
        raise scope_too_small(access, bearer.scopes)


async def _answer(
    plane: Plane,
    endpoint: Endpoint,
    bearer: Bearer | None,
    request: web.Request,
    reading: Connection | None,
) -> web.StreamResponse:
    values, raw_body = await read(endpoint, request)
    sight = sight_of(endpoint, bearer, values)
    if reading is not None or endpoint.alone:
        context = _context(plane, endpoint, reading, bearer, sight, request)
        return _response(endpoint, await endpoint.handler(context, **values))
    callers = _callers(plane, endpoint, bearer, request)
    async with _room(plane, endpoint, callers, request):
        if endpoint.only_reads:
            async with plane.db.reading(sight) as db:
                context = _context(plane, endpoint, db, bearer, sight, request)
                return _response(endpoint, await endpoint.handler(context, **values))
        try:
            return await _transacted(plane, endpoint, bearer, request, sight, values, raw_body)
        except CLASHES:
            if endpoint.heavy in ("passwords", "audio"):  # a failure is counted, a file is stored
                raise
        return await _transacted(plane, endpoint, bearer, request, sight, values, raw_body)


def _callers(
    plane: Plane, endpoint: Endpoint, bearer: Bearer | None, request: web.Request
) -> tuple[str, ...]:
    """Whose shares a request takes: who calls, and the workspace's; where nobody is known, the
    network's."""
    if bearer is None:
        return (f"network:{network_of(_remote(plane, request))}",)
    caller = f"caller:{bearer.person or bearer.client or bearer.id}"
    workspace = place_in(endpoint, request) or bearer.client_workspace
    if bearer.kind == "admin" or workspace is None:
        return (caller,)
    return caller, f"workspace:{workspace}"


def _room(
    plane: Plane, endpoint: Endpoint, callers: Sequence[str], request: web.Request
) -> AbstractAsyncContextManager[None]:
    """A place among the heavy requests, for who calls; of passwords for a network, which guesses
    them. Of what is light, one in the caller's share: nobody waits for one and holds the other."""
    if endpoint.heavy is None:
        return plane.shares.entered(callers)
    if endpoint.heavy == "passwords":
        callers = (f"network:{network_of(_remote(plane, request))}",)
    return plane.heavy.of[endpoint.heavy].entered(callers)


async def _transacted(
    plane: Plane,
    endpoint: Endpoint,
    bearer: Bearer | None,
    request: web.Request,
    sight: Sight,
    values: Mapping[str, Any],
    raw_body: bytes,
) -> web.StreamResponse:
    """The handler's answer, with what it changed kept."""
    refused_after_all: Refused | None = None
    async with plane.db.transaction(sight) as db:
        context = _context(plane, endpoint, db, bearer, sight, request)
        kept = await idempotency.begin(context, endpoint, request, raw_body)
        if kept is not None:
            return _replayed(kept)
        try:
            response = _response(endpoint, await endpoint.handler(context, **values))
        except Refused as refused:
            if not refused.keeps:
                raise
            refused_after_all = refused
        else:
            await idempotency.keep(context, endpoint, request, response)
    for act in context.afterwards:
        act()
    if refused_after_all is not None:
        raise refused_after_all
    return response


def _context(
    plane: Plane,
    endpoint: Endpoint,
    db: Connection | None,
    bearer: Bearer | None,
    sight: Sight,
    request: web.Request,
) -> Context:
    return Context(
        plane,
        db,
        bearer,
        sight=sight,
        now=plane.now(),
        callers=_callers(plane, endpoint, bearer, request),
        headers=request.headers,
        remote=_remote(plane, request),
        request_id=request_id_of(request),
    )


def _remote(plane: Plane, request: web.Request) -> str:
    forwarded_for = request.headers.getall("X-Forwarded-For", ())
    return remote_of(request.remote or "", forwarded_for, plane.settings.trusted_proxies)


def _replayed(kept: idempotency.Kept) -> web.Response:
    headers = {"Content-Type": JSON_TYPE, idempotency.REPLAYED: "true"}
    return web.Response(body=kept.body, status=kept.status, headers=headers)


def _response(endpoint: Endpoint, answer: Any) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if isinstance(answer, Raw):
        return _raw(answer)
    if answer is None:
        return web.Response(status=204)
    headers = {"Content-Type": JSON_TYPE}
    if endpoint.shows_secret:
        headers["Cache-Control"] = "no-store"
    return web.Response(body=to_json(answer), status=endpoint.status, headers=headers)


def _raw(answer: Raw) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(body=answer.body, status=answer.status, headers=headers)
