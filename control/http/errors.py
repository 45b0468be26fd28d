"""The one form of an HTTP error, and the one place where exceptions become errors.

``{"error": {"code": "...", "message": "...", "request_id": "..."}}``, with ``details`` where fields
of the request are wrong; the id is in the header
``X-Request-Id`` of every response too, and in the log where there is something to say.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

log = structlog.get_logger("control.http")

RETRY_AFTER_S = 5
MOST_DETAILS = 100
REQUEST_ID = "X-Request-Id"


class Refusal(msgspec.Struct, frozen=True):
    """Why an HTTP request is refused."""

    status: int
    code: str
    message: str

    @property
    def label(self) -> str:
        """What logs and metrics call it."""
        return self.code.lower()


class Invalid(msgspec.Struct, frozen=True):
    """A field of a request that is wrong, and how."""

    field: str
    message: str


class Refused(Exception):
    """Raised by a handler to answer with a refusal."""

    def __init__(
        self,
        refusal: Refusal,
        *,
        details: Sequence[Invalid] = (),
        headers: Mapping[str, str] | None = None,
        keeps: bool = False,
    ) -> None:
        """``keeps``: what the handler wrote into the database is kept all the same."""
        super().__init__(refusal.code)
        self.refusal = refusal
        self.keeps = keeps
        self.details = tuple(details)
        self.headers = dict(headers or {})


NOT_FOUND = Refusal(404, "RESOURCE_NOT_FOUND", "There is nothing here")
UPGRADE_REQUIRED = Refusal(426, "UPGRADE_REQUIRED", "Only WebSockets are served here")
METHOD_NOT_ALLOWED = Refusal(405, "METHOD_NOT_ALLOWED", "The method is none of those in Allow")
INTERNAL_ERROR = Refusal(500, "INTERNAL_ERROR", "The server has failed")
BAD_REQUEST = Refusal(400, "BAD_REQUEST", "The request is not as HTTP wants it")
REQUEST_TIMEOUT = Refusal(408, "REQUEST_TIMEOUT", "The request's head did not come in time")
HEAD_TOO_LARGE = Refusal(431, "HEAD_TOO_LARGE", "The request's head is too large")

_OF_STATUS = {
    400: BAD_REQUEST,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    413: Refusal(413, "BODY_TOO_LARGE", "The request's body is too large"),
}


OtherForm = Callable[[Refusal], web.Response]
"""Errors as another document has them."""
_REQUEST_ID = web.RequestKey("request_id", str)
_FORM: web.RequestKey[OtherForm] = web.RequestKey("form_of_errors")


def new_request_id() -> str:
    return secrets.token_hex(8)


def request_id_of(request: web.Request) -> str:
    """What ``error_form`` calls the request."""
    return request[_REQUEST_ID]


def tell_errors_as(request: web.Request, form: OtherForm) -> None:
    """From here on the request's errors have another form than the usual one."""
    request[_FORM] = form


def log_stream_bug(error: BaseException, request_id: str) -> None:
    """A bug in what a media stream's messages brought about, whichever listener it came by."""
    log.error("stream failed by a bug", request_id=request_id, exc_info=error)


def body_of(refusal: Refusal, request_id: str, details: Sequence[Invalid] = ()) -> bytes:
    """The body of a refusal, JSON."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if details:
        error["details"] = details[:MOST_DETAILS]
    error["request_id"] = request_id
    return msgspec.json.encode({"error": error})


def headers_of(refusal: Refusal, request_id: str) -> dict[str, str]:
    """The headers that a refusal has besides those of every response."""
    headers = {"Content-Type": "application/json; charset=utf-8", REQUEST_ID: request_id}
    if refusal.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif refusal.status == 426:
        headers["Upgrade"] = "websocket"
    return headers


def response_of(refusal: Refusal, request_id: str, details: Sequence[Invalid] = ()) -> web.Response:
    return web.Response(
        body=body_of(refusal, request_id, details),
        status=refusal.status,
        headers=headers_of(refusal, request_id),
    )


def _answer(
    request: web.Request, refusal: Refusal, details: Sequence[Invalid] = ()
) -> web.Response:
    request_id = request_id_of(request)
    form: OtherForm | None = request.get(_FORM)
    if form is None:
        return response_of(refusal, request_id, details)
    response = form(refusal)
    for name, value in headers_of(refusal, request_id).items():
        response.headers.setdefault(name, value)
    return response


@web.middleware
async def error_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error in the one form, or in the other one that the request has; a bug is logged and
    told to nobody else."""
    request_id = request[_REQUEST_ID] = new_request_id()
    try:
        response = await handler(request)
    except Refused as refused:
        response = _answer(request, refused.refusal, refused.details)
        response.headers.update(refused.headers)
    except web.HTTPException as refused:  # aiohttp's own
        if refused.status < 400:
            raise
        unnamed = Refusal(refused.status, "HTTP_ERROR", refused.reason)
        response = _answer(request, _OF_STATUS.get(refused.status, unnamed))
        if (allow := refused.headers.get("Allow")) is not None:
            response.headers["Allow"] = allow
    except Exception as error:
        transport = request.transport
        gone = transport is None or transport.is_closing()
        if isinstance(error, ConnectionError) and gone:
            raise
        route = request.match_info.route.resource
        log.error(
            "request failed by a bug",
            request_id=request_id,
            route="" if route is None else route.canonical,
            exc_info=error,
        )
        if request.writer.output_size:  # it is too late for another answer
            raise ConnectionResetError("the response had begun") from error
        response = _answer(request, INTERNAL_ERROR)
    if not response.prepared:
        response.headers[REQUEST_ID] = request_id
    return response
