"""Example requests, made up from schemas. Pure."""

import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from control.http.docs.shapes import Schema, resolved

ORIGIN = "http://localhost:8080"
"""The page's script puts the server's own in its place."""
SHOWN_IF_NONE_IS_REQUIRED = 2
MOST_DEPTH = 6
BEARERS = {"admin", "client", "oauth"}
"""Schemes whose token goes into `Authorization`."""
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
UUID = "6f1e2c34-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

_BY_NAME: Mapping[str, str] = {
    "name": "Acme Dental",
    "email": "someone@example.com",
    "password": "Correct-Horse-7",
    "new_password": "Better-Battery-8",
    "current_password": "Correct-Horse-7",
    "phone_number": "+442071234567",
    "timezone": "Europe/London",
    "country": "GB",
    "language": "en",
    "instructions": "You answer the phone of a dental practice.",
    "first_name": "Jane",
    "last_name": "Doe",
    "display_name": "Agency",
    "friendly_name": "Main line",
    "tier_name": "agency",
    "industry": "dental",
    "reason": "unpaid invoices",
    "key": "signup_enabled",
    "token": "TOKEN_OF_THE_MAIL",
    "refresh_token": "YOUR_REFRESH_TOKEN",
    "vendor": "openai",
}
_OF_PLACE = {"name": "CRM_API_KEY"}
_BY_FORMAT: Mapping[str, str] = {
    "uuid": UUID,
    "email": "someone@example.com",
    "date-time": "2026-01-20T12:00:00Z",
    "date": "2026-01-20",
    "uri": "https://example.com/hook",
}
_OF_PATTERN = ("+442071234567", "en", "101", "GB", "acme", "acme-2", "2026-01-20", "1.0")


def example_of(
    schema: Schema, schemas: Mapping[str, Schema], name: str = "", depth: int = 0
) -> Any:
    """A value that fits: the schema's own example, or else of an object what is required, or its
    first fields where nothing is."""
    schema = resolved(schema, schemas)
    if examples := schema.get("examples"):
        return examples[0]
    for key in ("const", "default"):
        if schema.get(key) not in (None, "", [], {}):
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if choices := [one for one in schema.get(several, ()) if one != {"type": "null"}]:
            return example_of(choices[0], schemas, name, depth)
    kind = schema.get("type", "object" if "properties" in schema else "boolean")
    if kind == "object":
        return _object(schema, schemas, depth)
    if kind == "array":
        items = schema.get("items", {})
        return [] if depth >= MOST_DEPTH else [example_of(items, schemas, name, depth + 1)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return _text(schema, name) if kind == "string" else {"boolean": True}.get(kind)


def _object(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    fields = schema.get("properties", {})
    wanted = schema.get("required") or list(fields)[:SHOWN_IF_NONE_IS_REQUIRED]
    if depth >= MOST_DEPTH:
        wanted = schema.get("required", ())
    return {one: example_of(fields.get(one, {}), schemas, one, depth + 1) for one in wanted}


def _text(schema: Schema, name: str) -> str:
    pattern = schema.get("pattern")
    tried: list[str] = [
        _BY_FORMAT.get(schema.get("format", ""), ""),
        _BY_NAME.get(name, ""),
        *_OF_PATTERN,
    ]
    for text in tried if pattern else tried[:2]:
        if text and (not pattern or re.search(pattern, text)):
            return text
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1000))
    return "text".ljust(least, ".")[:most]


def commands_of(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Schema]
) -> list[str]:
    """The request as commands of a shell: one for each kind of body, and for each of a form's
    examples."""
    if "x-command" in operation:
        return [operation["x-command"]]
    bodies = _bodies(operation, schemas) or [[]]
    return [_curl(method, path, operation, schemas, body) for body in bodies]


def _curl(
    method: str,
    path: str,
    operation: Mapping[str, Any],
    schemas: Mapping[str, Schema],
    body: list[str],
) -> str:
    address, asked = ORIGIN + path, []
    for one in operation["parameters"]:
        if one["in"] == "path":
            made = example_of(one["schema"], schemas, one["name"])
            value = _OF_PLACE.get(one["name"], str(made))
            address = address.replace("{" + one["name"] + "}", quote(value, safe=""))
        elif one["in"] == "query" and one["required"]:
            asked.append(f"{one['name']}={quote(str(example_of(one['schema'], schemas)))}")
    words = [shlex.quote(address + ("?" + "&".join(asked) if asked else ""))]
    if any(BEARERS.intersection(one) for one in operation.get("security", ())):
        words.append(f"-H {shlex.quote('Authorization: Bearer YOUR_TOKEN')}")
    words += body
    if method not in ("GET", "POST") or (method == "POST" and not _sends(words)):
        words.insert(0, f"-X {method}")
    return "curl " + " \\\n  ".join(words)


def _sends(words: list[str]) -> bool:
    """Whether curl makes a POST of it by itself."""
    return any(word.startswith(("-d", "-F", "--data")) for word in words)


def bodies_of(
    kind: str, media: Mapping[str, Any], schemas: Mapping[str, Schema]
) -> list[Mapping[str, Any]]:
    """Examples of a body of this content type."""
    if "example" in media:
        return [media["example"]]
    schema = resolved(media["schema"], schemas)
    several = schema.get("examples") if kind == _FORM else None
    return several or [example_of(schema, schemas)]


def _bodies(operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> list[list[str]]:
    """Each as words of the command."""
    content = operation.get("requestBody", {}).get("content", {})
    return [
        _words(kind, body, resolved(media["schema"], schemas))
        for kind, media in content.items()
        for body in bodies_of(kind, media, schemas)
    ]


def _words(kind: str, body: Mapping[str, Any], schema: Schema) -> list[str]:
    if kind == _JSON:
        text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
        return [f"-H {shlex.quote(f'Content-Type: {kind}')}", f"-d {shlex.quote(text)}"]
    if kind == _FORM:
        return [f"--data-urlencode {shlex.quote(f'{name}={one}')}" for name, one in body.items()]
    fields = schema.get("properties", {})
    return [
        f"-F {shlex.quote(f'{name}={_part(one, fields.get(name, {}))}')}"
        for name, one in body.items()
    ]


def _part(value: Any, field: Schema) -> str:
    return "@speech.wav" if field.get("format") == "binary" else str(value)
