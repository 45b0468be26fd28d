"""OpenAPI 3.1 from the endpoints' declarations.

``python -m control.http.openapi docs/openapi.json`` writes it.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from control.auth.rate_limits import TIERS
from control.http import idempotency, limits
from control.http.access import Access
from control.http.carrier_docs import HAND_WRITTEN, HandWritten
from control.http.carrier_docs import SCHEMES as CARRIER_SCHEMES
from control.http.endpoint import Endpoint
from control.http.errors import BAD_REQUEST, INTERNAL_ERROR, REQUEST_ID, Refusal
from control.http.openapi_parameters import parameters_of, takes_key
from control.http.openapi_shapes import REF, Shapes
from control.http.refusals import (
    IDEMPOTENCY_ANSWER_NOT_KEPT,
    IDEMPOTENCY_KEY_REUSED,
    IDEMPOTENCY_KEY_WRONG,
    INSUFFICIENT_SCOPE,
    INVALID_JSON,
    INVALID_TOKEN,
    PERMISSION_DENIED,
    PRECONDITION_FAILED,
    RATE_LIMIT_EXCEEDED,
    RESOURCE_NOT_FOUND,
    SERVICE_UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION_ERROR,
    WORKSPACE_SUSPENDED,
)
from control.http.uploads import (
    BODY_TOO_LARGE,
    INCOMPLETE_BODY,
    INVALID_BODY,
    UNSUPPORTED_ENCODING,
)

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "message"],
                        "properties": {
                            "field": {"type": "string"},
                            "message": {"type": "string"},
                        },
                    },
                },
            },
        }
    },
}
ERROR = {"$ref": REF.format(model="Error")}
_CONTENT = {"application/json": {"schema": ERROR}}
_RETRY_AFTER = "Retry-After"
_NUMBERS = {
    limits.LIMIT: "How often you may call, in that of the windows which has the least left.",
    limits.REMAINING: "How often you still may.",
    limits.RESET: "When the window ends, as Unix time.",
    _RETRY_AFTER: "How many seconds to wait.",
}
_ABOUT = (
    "Requests are counted, and refused with 429 when they are too many: an OAuth client's, and "
    "those of a workspace's API keys together, by rate-limit tier ("
    + ", ".join(
        f"{tier} {limit.per_minute:,} a minute and {limit.per_hour:,} an hour"
        for tier, limit in TIERS.items()
    )
    + "), a person's, and where no token is needed those of a network, as the server is set up. "
    "HEAD is answered as GET is, without the body."
)
_ETAG = "ETag"
_TEXTS = {
    REQUEST_ID: "What this request is called in the server's log.",
    _ETAG: "The version that this is, for `If-Match`; not of an answer that is repeated.",
    idempotency.REPLAYED: "`true` where it is the answer to an earlier request.",
}
_HEADERS = {
    name: {"description": about, "schema": {"type": "integer", "minimum": 0}}
    for name, about in _NUMBERS.items()
} | {name: {"description": about, "schema": {"type": "string"}} for name, about in _TEXTS.items()}
_SERVERS = [{"url": "/", "description": "The server that this document comes from."}]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_TOKEN_URL = "/oauth/v2/token"
_FLOW = {
    "tokenUrl": _TOKEN_URL,
    "scopes": {"read": "Read", "write": "Read and change", "admin": "Everything"},
}
_SCHEMES = {
    "admin": {"type": "http", "scheme": "bearer", "description": "An admin's access token."},
    "client": {
        "type": "http",
        "scheme": "bearer",
        "description": "A person's access token, or a workspace's API key.",
    },
    "oauth": {
        "type": "oauth2",
        "flows": {"clientCredentials": _FLOW, "password": {**_FLOW, "refreshUrl": _TOKEN_URL}},
    },
}


def openapi(
    endpoints: Iterable[Endpoint], version: str, by_hand: Sequence[HandWritten] = ()
) -> dict[str, Any]:
    """The document."""
    declared = sorted(endpoints, key=lambda one: (one.path, one.method))
    shapes = Shapes(declared)
    names = Counter(endpoint.name for endpoint in declared)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in declared:
        operation = _operation(endpoint, shapes)
        if names[endpoint.name] > 1:
            portal = endpoint.handler.__module__.split(".")[-2]
            operation["operationId"] = f"{portal}_{endpoint.name}"
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    for one in by_hand:
        paths.setdefault(one.path, {})[one.method.lower()] = _by_hand(one)
    schemas = {"Error": _ERROR, **shapes.components}
    return {
        "openapi": "3.1.0",
        "info": {"title": "voicecore", "version": version, "description": _ABOUT},
        "servers": _SERVERS,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _errors(declared),
            "headers": _HEADERS,
            "securitySchemes": {**_SCHEMES, **(CARRIER_SCHEMES if by_hand else {})},
        },
    }


def refusals_of(endpoint: Endpoint) -> Sequence[Refusal]:
    """Every error that the endpoint may answer with."""
    if endpoint.other_form is not None:  # for which it has words of its own
        return [*endpoint.refusals, BAD_REQUEST]
    found = [*endpoint.refusals, INTERNAL_ERROR, SERVICE_UNAVAILABLE, BAD_REQUEST]
    found += [RATE_LIMIT_EXCEEDED, VALIDATION_ERROR]  # as a parameter that is none
    if endpoint.access.kind != "public":
        found += [INVALID_TOKEN, PERMISSION_DENIED]
        if takes_key(endpoint):
            found += [IDEMPOTENCY_KEY_WRONG, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_ANSWER_NOT_KEPT]
    if endpoint.access.kind == "oauth":
        found.append(INSUFFICIENT_SCOPE)
    if endpoint.access.kind == "member" and endpoint.changes:
        found.append(WORKSPACE_SUSPENDED)
    if endpoint.places:
        found.append(RESOURCE_NOT_FOUND)
    if endpoint.body:
        found.append(INVALID_JSON)
    if endpoint.upload:
        found.append(UNSUPPORTED_MEDIA_TYPE)
    if endpoint.body or endpoint.upload or endpoint.takes_form:
        found += [BODY_TOO_LARGE, INCOMPLETE_BODY, UNSUPPORTED_ENCODING]
    if endpoint.body or endpoint.takes_form:
        found.append(INVALID_BODY)
    return found


def _operation(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    summary, description = _told(endpoint.summary)
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": summary,
        "tags": [endpoint.tag],
        "parameters": parameters_of(endpoint, shapes),
        # An answer that the endpoint words itself stands for the usual one of its status.
        "responses": {**_bad(endpoint), **_good(endpoint, shapes)},
    }
    if description:
        operation["description"] = description
    if (security := _security(endpoint.access)) is not None:
        operation["security"] = security
    if (body := _request_body(endpoint, shapes)) is not None:
        operation["requestBody"] = body
    return operation


def _told(text: str) -> tuple[str, str]:
    """The first sentence, and the whole text in paragraphs where there is more of it."""
    paragraphs = [" ".join(one.split()) for one in text.split("\n\n")]
    first = _SENTENCE.split(paragraphs[0], maxsplit=1)[0]
    whole = "\n\n".join(paragraphs)
    return first.rstrip("."), whole if whole != first else ""


def _by_hand(one: HandWritten) -> dict[str, Any]:
    """With its errors. It is not counted, so nothing tells how often it may come."""
    by_status: dict[str, set[str]] = {}
    for refusal in one.refusals:
        by_status.setdefault(str(refusal.status), set()).add(refusal.code)
    headers = {REQUEST_ID: _header(REQUEST_ID)}
    errors = {
        status: {
            "description": ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": _CONTENT,
            "headers": headers
            if status != "503"
            else headers | {_RETRY_AFTER: _header(_RETRY_AFTER)},
        }
        for status, codes in sorted(by_status.items())
    }
    good = {
        status: {**answer, "headers": headers}
        for status, answer in one.operation["responses"].items()
    }
    return {**one.operation, "responses": {**good, **errors}}


def _request_body(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any] | None:
    if endpoint.body is not None:
        content = {"application/json": {"schema": shapes.of(endpoint.body)}}
        return {"required": _is_required(endpoint.body), "content": content}
    if endpoint.upload is not None:
        content = {"multipart/form-data": {"schema": shapes.of(endpoint.upload)}}
        return {"required": True, "content": content}
    if endpoint.takes_form:
        form: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
        if endpoint.form is not None:
            form = shapes.of(endpoint.form)
        return {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": form}},
        }
    return None


def _security(access: Access) -> list[dict[str, list[str]]] | None:
    if access.kind == "public":
        return None
    if access.kind == "oauth":
        return [{"oauth": [access.scope]}]
    return [{"admin" if access.kind == "admin" else "client": []}]


def _good(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {
            "description": text,
            **_own_error(endpoint, status, shapes),
            **_headers_of(status),
        }
        for status, text in endpoint.other_statuses.items()
    }
    more = [_ETAG] if endpoint.etag else []
    more += [idempotency.REPLAYED] if takes_key(endpoint) else []
    response: dict[str, Any] = {"description": "As asked for.", **_headers_of(200, more)}
    if isinstance(endpoint.answer, str):
        form = {} if endpoint.answer.startswith("text/") else {"format": "binary"}
        response["content"] = {endpoint.answer: {"schema": {"type": "string", **form}}}
    elif endpoint.answer is not None:
        shape = shapes.of(endpoint.answer, "serialization")
        response["content"] = {"application/json": {"schema": shape}}
    responses[str(endpoint.status)] = response
    return responses


def _own_error(endpoint: Endpoint, status: int, shapes: Shapes) -> dict[str, Any]:
    """Of an endpoint that has another form of errors, or else the usual one: of what came before
    it was asked, which is nothing but what is no HTTP if it has a form for all."""
    if endpoint.other_answer is None:
        return {}
    own = shapes.of(endpoint.other_answer, "serialization")
    alone = endpoint.other_form is not None and status != BAD_REQUEST.status
    return {"content": {"application/json": {"schema": own if alone else {"anyOf": [own, ERROR]}}}}


def _bad(endpoint: Endpoint) -> dict[str, Any]:
    """References to errors, which are called by their codes."""
    return {
        str(status): {"$ref": f"#/components/responses/{_name_of(status, codes)}"}
        for status, codes in _codes(endpoint)
    }


def _errors(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """What ``_bad`` refers to."""
    return {
        _name_of(status, codes): {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": _CONTENT,
            **_headers_of(status),
        }
        for status, codes in sorted({one for each in endpoints for one in _codes(each)})
    }


def _headers_of(status: int, more: Sequence[str] = ()) -> dict[str, Any]:
    """Of an answer. Who is nobody, or whom the server cannot answer, may not have been counted."""
    names = [REQUEST_ID, *more]
    names += [] if status == 401 or status >= 500 else [*limits.NAMES]
    if status in (429, 503):
        names.append(_RETRY_AFTER)
    if status == PRECONDITION_FAILED.status:
        names.append(_ETAG)
    return {"headers": {name: _header(name) for name in names}}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _codes(endpoint: Endpoint) -> list[tuple[int, tuple[str, ...]]]:
    by_status: dict[int, set[str]] = {}
    for refusal in refusals_of(endpoint):
        by_status.setdefault(refusal.status, set()).add(refusal.code)
    return [(status, tuple(sorted(codes))) for status, codes in sorted(by_status.items())]


def _name_of(status: int, codes: Sequence[str]) -> str:
    return "-".join([str(status), *codes])


def _is_required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def as_file(endpoints: Iterable[Endpoint]) -> bytes:
    """The document as it is checked in."""
    document = openapi(endpoints, metadata.version("voicecore"), HAND_WRITTEN)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main(path: str) -> None:
    """Write it."""
    from control.api import ENDPOINTS  # which are declared with what is above

    Path(path).write_bytes(as_file(ENDPOINTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
