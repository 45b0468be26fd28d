"""From an HTTP request to a declared endpoint's handler, and back."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import structlog
from aiohttp import ClientConnectionResetError, web
from aiohttp.typedefs import Handler as HttpHandler
from pydantic import BaseModel, ValidationError

from control.auth.bearers import bearer_of
from control.auth.rate_limits import TIERS, Standing
from control.db.database import AWAY, NOBODY, PLATFORM, Connection, Sight, look, of_workspaces
from control.http import idempotency
from control.http.access import Access, Bearer, has_scope
from control.http.context import Context
from control.http.endpoint import Endpoint, Raw
from control.http.errors import Invalid, Refused, request_id_of
from control.http.form import Form
from control.http.plain import to_json
from control.http.refusals import (
    INSUFFICIENT_SCOPE,
    INVALID_JSON,
    INVALID_TOKEN,
    PERMISSION_DENIED,
    RATE_LIMIT_EXCEEDED,
    RESOURCE_NOT_FOUND,
    SERVICE_UNAVAILABLE,
    VALIDATION_ERROR,
    WORKSPACE_SUSPENDED,
)
from control.http.remote import remote_of
from control.http.uploads import digest_of, read_body, read_upload
from control.plane import Plane

NO_NUL = Invalid("body", "must not contain NUL characters")
JSON_TYPE = "application/json; charset=utf-8"

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
        try:
            return await answered(request)
        except AWAY as error:
            if isinstance(error, ClientConnectionResetError):  # the peer is gone
                raise
            log.error("the database does not answer", code="database_away", exc_info=error)
            raise Refused(SERVICE_UNAVAILABLE) from error

    async def answered(request: web.Request) -> web.StreamResponse:
        if endpoint.access.kind == "public":
            return await limited(request, None, None)
        async with plane.db.connection() as db:
            bearer = await _bearer(db, endpoint.access, request)
            if endpoint.only_reads:  # on the connection that is there
                return await limited(request, bearer, db)
        return await limited(request, bearer, None)

    async def limited(
        request: web.Request, bearer: Bearer | None, db: Connection | None
    ) -> web.StreamResponse:
        standing = await _take(plane, endpoint, bearer)
        headers = {} if standing is None else _limit_headers(standing)
        if standing is not None and not standing.allowed:
            after_s = max(standing.reset_at_s - int(time.time()), 1)
            raise Refused(RATE_LIMIT_EXCEEDED, headers={**headers, "Retry-After": str(after_s)})
        try:
            response = await _answer(plane, endpoint, bearer, request, db)
        except Refused as refused:
            refused.headers.update(headers)
            raise
        if not response.prepared:
            response.headers.update(headers)
        return response

    return handle


async def _bearer(db: Connection, access: Access, request: web.Request) -> Bearer:
    """Who calls.

    :raises Refused: nobody we know, or somebody who may not."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = None
    if scheme.lower() == "bearer" and token:
        bearer = await bearer_of(db, token.strip())
    if bearer is None or bearer.kind not in _BEARERS[access.kind]:
        raise Refused(INVALID_TOKEN, headers={"WWW-Authenticate": "Bearer"})
    if access.kind == "admin" and bearer.role not in access.roles:
        raise Refused(PERMISSION_DENIED)
    if access.kind == "oauth" and not has_scope(bearer.scopes, access.scope):
        raise Refused(INSUFFICIENT_SCOPE)
    return bearer


async def _take(plane: Plane, endpoint: Endpoint, bearer: Bearer | None) -> Standing | None:
    if bearer is None or bearer.kind != "oauth" or bearer.client is None:
        return None
    limit = TIERS[bearer.client_tier or "standard"]
    return await plane.limits.take(f"client:{bearer.client}", limit, time.time())


def _limit_headers(standing: Standing) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(standing.limit),
        "X-RateLimit-Remaining": str(standing.remaining),
        "X-RateLimit-Reset": str(standing.reset_at_s),
    }


async def _answer(
    plane: Plane,
    endpoint: Endpoint,
    bearer: Bearer | None,
    request: web.Request,
    reading: Connection | None,
) -> web.StreamResponse:
    values, raw_body = await _read(endpoint, request)
    sight = _sight(endpoint, bearer, values)
    if reading is not None:
        await look(reading, sight)
    if reading is not None or endpoint.alone:
        context = _context(plane, reading, bearer, sight, request)
        return _response(endpoint, await endpoint.handler(context, **values))
    refused_after_all: Refused | None = None
    async with plane.db.transaction(sight) as db:
        context = _context(plane, db, bearer, sight, request)
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
        headers=request.headers,
        remote=remote_of(
            request.remote or "",
            request.headers.getall("X-Forwarded-For", ()),
            plane.settings.trusted_proxies,
        ),
        request_id=request_id_of(request),
    )


def _replayed(kept: idempotency.Kept) -> web.Response:
    headers = {"Content-Type": JSON_TYPE, idempotency.REPLAYED: "true"}
    return web.Response(body=kept.body, status=kept.status, headers=headers)


def _sight(endpoint: Endpoint, bearer: Bearer | None, values: Mapping[str, Any]) -> Sight:
    """Whose rows the handler sees.

    :raises Refused: the workspace of the path is none of the caller's, or it is suspended."""
    access = endpoint.access
    if bearer is None or bearer.kind == "admin":
        return PLATFORM
    if access.kind == "member":
        workspace: UUID = values["workspace_id"]
        role = bearer.roles.get(workspace)
        if role is None:
            raise Refused(RESOURCE_NOT_FOUND)
        if role not in access.roles:
            raise Refused(PERMISSION_DENIED)
        if endpoint.changes and workspace in bearer.suspended:
            raise Refused(WORKSPACE_SUSPENDED)
        return of_workspaces([workspace], bearer.person)
    if bearer.kind == "oauth":
        return _sight_of_client(bearer)
    return of_workspaces(bearer.roles, bearer.person)


def _sight_of_client(bearer: Bearer) -> Sight:
    """A client of the platform sees every customer, a workspace's own client that one, and one
    that acts for a person no more than the person."""
    if bearer.person is not None:
        seen = set(bearer.roles)
        if bearer.client_workspace is not None:
            seen &= {bearer.client_workspace}
        return of_workspaces(seen, bearer.person)
    if bearer.client_workspace is not None:
        return of_workspaces([bearer.client_workspace])
    return PLATFORM if bearer.client is not None else NOBODY


async def _read(endpoint: Endpoint, request: web.Request) -> tuple[dict[str, Any], bytes]:
    """The handler's values, and the body as it came.

    :raises Refused: some are wrong; every wrong one is named."""
    values: dict[str, Any] = {}
    wrong: list[Invalid] = []
    for name, adapter in endpoint.places.items():
        try:
            values[name] = adapter.validate_strings(request.match_info[name])
        except ValidationError:
            raise Refused(RESOURCE_NOT_FOUND) from None
    if endpoint.query is not None:
        values["query"] = _validated(endpoint.query, _query(request), wrong)
    raw = b""
    if endpoint.body is not None:
        raw = await read_body(request, endpoint.body_limit_bytes)
        values["body"] = _validated(endpoint.body, _parsed(raw), wrong)
    if endpoint.takes_form:
        raw = await read_body(request, endpoint.body_limit_bytes)
        values["form"] = Form(raw.decode("utf-8", "replace"))
    if endpoint.upload is not None:
        form = await read_upload(request, endpoint.body_limit_bytes)
        raw = digest_of(form)
        values["upload"] = _validated(endpoint.upload, form, wrong)
    if wrong:
        raise Refused(VALIDATION_ERROR, details=wrong)
    return values, raw


def _query(request: web.Request) -> dict[str, str]:
    """Of a name that comes twice the last value counts; an empty value is none."""
    found = {name: value for name, value in request.query.items() if value != ""}
    if any("\0" in value for value in found.values()):
        raise Refused(VALIDATION_ERROR, details=[NO_NUL])
    return found


def _parsed(raw: bytes) -> Any:
    if not raw.strip():
        return {}
    if rb"\u0000" in raw:  # JSON has it, PostgreSQL's text has not
        raise Refused(VALIDATION_ERROR, details=[NO_NUL])
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(INVALID_JSON) from None


def _validated(model: type[BaseModel], value: Any, wrong: list[Invalid]) -> BaseModel | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            field = ".".join(str(part) for part in item["loc"]) or "body"
            message = str(item.get("ctx", {}).get("error", item["msg"]))
            wrong.append(Invalid(field, message))
        return None


def _response(endpoint: Endpoint, answer: Any) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if isinstance(answer, Raw):
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(body=answer.body, status=answer.status, headers=headers)
    if answer is None:
        return web.Response(status=204)
    headers = {"Content-Type": JSON_TYPE}
    if endpoint.shows_secret:
        headers["Cache-Control"] = "no-store"
    return web.Response(body=to_json(answer), status=endpoint.status, headers=headers)
