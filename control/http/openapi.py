"""OpenAPI 3.1 from the endpoints' declarations.

``python -m control.http.openapi docs/openapi.json`` writes it.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from control.http import idempotency
from control.http.access import Access
from control.http.endpoint import Endpoint
from control.http.errors import BAD_REQUEST, INTERNAL_ERROR, Refusal
from control.http.refusals import (
    IDEMPOTENCY_KEY_REUSED,
    IDEMPOTENCY_KEY_WRONG,
    INSUFFICIENT_SCOPE,
    INVALID_JSON,
    INVALID_TOKEN,
    PERMISSION_DENIED,
    RATE_LIMIT_EXCEEDED,
    RESOURCE_NOT_FOUND,
    SERVICE_UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION_ERROR,
    WORKSPACE_SUSPENDED,
)
from control.http.uploads import BODY_TOO_LARGE, INCOMPLETE_BODY

_REF = "#/components/schemas/{model}"
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


class Shapes:
    """The models' schemas, each under a name of its own though two models be called the same."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        asked: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
        for endpoint in endpoints:
            for model in (endpoint.query, endpoint.body, endpoint.upload):
                if model is not None:
                    asked[model, "validation"] = None
            if isinstance(endpoint.answer, type):
                asked[endpoint.answer, "serialization"] = None
        places, found = models_json_schema(list(asked), ref_template=_REF)
        self._places = {asked_for: _short(place) for asked_for, place in places.items()}
        self._schemas: dict[str, Any] = _short(found).get("$defs", {})
        queries = {self._name(one.query) for one in endpoints if one.query is not None}
        self.components = {
            name: schema for name, schema in sorted(self._schemas.items()) if name not in queries
        }

    def of(self, model: type[BaseModel], mode: JsonSchemaMode = "validation") -> Mapping[str, Any]:
        """A reference to it."""
        place: Mapping[str, Any] = self._places[model, mode]
        return place

    def whole(self, model: type[BaseModel]) -> Mapping[str, Any]:
        """What comes in by this model."""
        schema: Mapping[str, Any] = self._schemas[self._name(model)]
        return schema

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._places[model, "validation"]["$ref"]).rpartition("/")[2]


def _short(schema: Any) -> Any:
    """Of models that are called the same, without what all of their modules begin with."""
    return orjson.loads(orjson.dumps(schema).replace(b"control__api__", b""))


def openapi(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
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
    schemas = {"Error": _ERROR, **shapes.components}
    return {
        "openapi": "3.1.0",
        "info": {"title": "voicecore", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _errors(declared),
            "securitySchemes": _SCHEMES,
        },
    }


def refusals_of(endpoint: Endpoint) -> Sequence[Refusal]:
    """Every error that the endpoint may answer with."""
    found = [*endpoint.refusals, INTERNAL_ERROR, SERVICE_UNAVAILABLE, BAD_REQUEST]
    if endpoint.access.kind != "public":
        found += [INVALID_TOKEN, PERMISSION_DENIED, RATE_LIMIT_EXCEEDED]
        if _takes_key(endpoint):
            found += [IDEMPOTENCY_KEY_WRONG, IDEMPOTENCY_KEY_REUSED]
    if endpoint.access.kind == "oauth":
        found.append(INSUFFICIENT_SCOPE)
    if endpoint.access.kind == "member" and endpoint.changes:
        found.append(WORKSPACE_SUSPENDED)
    if endpoint.places:
        found.append(RESOURCE_NOT_FOUND)
    if endpoint.query or endpoint.body or endpoint.upload:
        found.append(VALIDATION_ERROR)
    if endpoint.body:
        found.append(INVALID_JSON)
    if endpoint.upload:
        found.append(UNSUPPORTED_MEDIA_TYPE)
    if endpoint.body or endpoint.upload or endpoint.takes_form:
        found += [BODY_TOO_LARGE, INCOMPLETE_BODY]
    return found


def _operation(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    summary, _, description = endpoint.summary.partition("\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": summary.rstrip("."),
        "tags": [endpoint.tag],
        "parameters": [
            *_places(endpoint),
            *_queries(endpoint, shapes),
            *_headers(endpoint),
        ],
        # An answer that the endpoint words itself stands for the usual one of its status.
        "responses": {**_bad(endpoint), **_good(endpoint, shapes)},
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    if (security := _security(endpoint.access)) is not None:
        operation["security"] = security
    if (body := _request_body(endpoint, shapes)) is not None:
        operation["requestBody"] = body
    return operation


def _request_body(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any] | None:
    if endpoint.body is not None:
        content = {"application/json": {"schema": shapes.of(endpoint.body)}}
        return {"required": _is_required(endpoint.body), "content": content}
    if endpoint.upload is not None:
        content = {"multipart/form-data": {"schema": shapes.of(endpoint.upload)}}
        return {"required": True, "content": content}
    if endpoint.takes_form:
        form = {"type": "object", "additionalProperties": {"type": "string"}}
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


def _places(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": adapter.json_schema()}
        for name, adapter in endpoint.places.items()
    ]


def _queries(endpoint: Endpoint, shapes: Shapes) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = shapes.whole(endpoint.query)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _without_null(shape),
        }
        for name, shape in schema.get("properties", {}).items()
    ]


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    if not _takes_key(endpoint):
        return []
    shape = {"type": "string", "pattern": f"^[ -~]{{1,{idempotency.MAX_LENGTH}}}$"}
    about = "The request that comes again with the same key has its first answer again."
    name = idempotency.KEY
    return [{"name": name, "in": "header", "description": about, "schema": shape}]


def _takes_key(endpoint: Endpoint) -> bool:
    keeps = not endpoint.shows_secret and not endpoint.alone
    return endpoint.method == "POST" and endpoint.access.kind != "public" and keeps


def _without_null(shape: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no null: what need not be there is left away."""
    kept = {name: value for name, value in shape.items() if name != "anyOf"}
    if kept.get("default", 0) is None:
        del kept["default"]
    choices = [one for one in shape.get("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _good(endpoint: Endpoint, shapes: Shapes) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {"description": text} for status, text in endpoint.other_statuses.items()
    }
    response: dict[str, Any] = {"description": "As asked for."}
    if isinstance(endpoint.answer, str):
        form = {} if endpoint.answer.startswith("text/") else {"format": "binary"}
        response["content"] = {endpoint.answer: {"schema": {"type": "string", **form}}}
    elif endpoint.answer is not None:
        shape = shapes.of(endpoint.answer, "serialization")
        response["content"] = {"application/json": {"schema": shape}}
    responses[str(endpoint.status)] = response
    return responses


def _bad(endpoint: Endpoint) -> dict[str, Any]:
    """References to errors, which are called by their codes."""
    return {
        str(status): {"$ref": f"#/components/responses/{_name_of(status, codes)}"}
        for status, codes in _codes(endpoint)
    }


def _errors(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """What ``_bad`` refers to."""
    shape = {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}}
    return {
        _name_of(status, codes): {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": shape,
        }
        for status, codes in sorted({one for each in endpoints for one in _codes(each)})
    }


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
    document = openapi(endpoints, metadata.version("voicecore"))
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main(path: str) -> None:
    """Write it."""
    from control.api import ENDPOINTS  # which are declared with what is above

    Path(path).write_bytes(as_file(ENDPOINTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
