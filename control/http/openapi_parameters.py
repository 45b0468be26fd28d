"""What a request says besides its body, as OpenAPI has it."""

from collections.abc import Mapping
from typing import Any

from control.http import idempotency
from control.http.endpoint import Endpoint
from control.http.openapi_shapes import Shapes
from control.http.refusals import PRECONDITION_FAILED

IF_MATCH = "If-Match"
MOST_HEADER = 255


def parameters_of(endpoint: Endpoint, shapes: Shapes) -> list[dict[str, Any]]:
    """Of the path, of the query and of the headers."""
    return [*_places(endpoint), *_queries(endpoint, shapes), *_headers(endpoint)]


def takes_key(endpoint: Endpoint) -> bool:
    """Whether it knows Idempotency-Keys."""
    keeps = not endpoint.shows_secret and not endpoint.alone
    return endpoint.method == "POST" and endpoint.access.kind != "public" and keeps


def takes_version(endpoint: Endpoint) -> bool:
    """Whether it changes only the version that the request names."""
    return PRECONDITION_FAILED in endpoint.refusals


def header(name: str, about: str, most: int = MOST_HEADER) -> dict[str, Any]:
    """One that need not be there."""
    shape = {"type": "string", "pattern": f"^[ -~]{{1,{most}}}$"}
    return {"name": name, "in": "header", "required": False, "description": about, "schema": shape}


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
    found = []
    if takes_version(endpoint):
        about = "The `ETag` of the version that is to be changed; another one is refused with 412."
        found.append(header(IF_MATCH, about))
    if takes_key(endpoint):
        about = (
            "Of your choice, another for each request. The request that comes again with the same "
            "key within a day is not done again. It has its first answer, with "
            "`Idempotency-Replayed: true`; where that was longer than "
            f"{idempotency.MAX_BODY_BYTES // 1024} kB, or {idempotency.MAX_ANSWERS:,} of yours "
            "have come since, 409 with the code `IDEMPOTENCY_ANSWER_NOT_KEPT`, whose message has "
            "the id of what was made."
        )
        found.append(header(idempotency.KEY, about, idempotency.MAX_LENGTH))
    return found


def _without_null(shape: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no null: what need not be there is left away."""
    kept = {name: value for name, value in shape.items() if name != "anyOf"}
    if kept.get("default", 0) is None:
        del kept["default"]
    choices = [one for one in shape.get("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept
