"""What a handler is given of a request: its path, query and body, held against the declaration."""

from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.http.endpoint import Endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.field_errors import invalid_fields
from control.http.form import Form
from control.http.refusals import INVALID_JSON, RESOURCE_NOT_FOUND, VALIDATION_ERROR
from control.http.uploads import digest_of, read_body, read_upload
from voicecore.yaml_lines import MAX_DEPTH

NO_NUL = Invalid("body", "must not contain NUL characters")
MOST_KEYS = 200
"""Of a body; the largest has some 20. Of those that are none each would be told."""
MOST_LEVELS = MAX_DEPTH + 10
"""A configuration's and what is around it, a few more so that it is told what is too deep in it."""
MOST_CONTAINERS = 20_000
"""Objects and lists of a body: each is looked at."""
TOO_MANY_CONTAINERS = Invalid("body", f"must have at most {MOST_CONTAINERS:,} objects and lists")
TOO_MANY_KEYS = Invalid("body", f"must have at most {MOST_KEYS} fields")
TOO_DEEP = Invalid("body", f"must not be nested deeper than {MOST_LEVELS} levels")
MOST_NAMED, MOST_NAME = 10, 64
"""So many parameters that are none are named, and so much of each."""


async def read(endpoint: Endpoint, request: web.Request) -> tuple[dict[str, Any], bytes]:
    """The handler's values, and the body as it came.

    :raises Refused: some are wrong; every wrong one is named."""
    values: dict[str, Any] = {}
    wrong: list[Invalid] = []
    for name, adapter in endpoint.places.items():
        try:
            values[name] = adapter.validate_strings(request.match_info[name])
        except ValidationError:
            raise Refused(_nothing_there(endpoint)) from None
    found = _query(endpoint, request, wrong)
    if endpoint.query is not None:
        values["query"] = _validated(endpoint.query, found, wrong)
    raw = b""
    if endpoint.body is not None:
        raw = await read_body(request, endpoint.body_limit_bytes)
        values["body"] = _validated(endpoint.body, parsed(raw), wrong)
    if endpoint.takes_form:
        raw = await read_body(request, endpoint.body_limit_bytes)
        values["form"] = Form(raw.decode("utf-8", "replace"))
    if endpoint.upload is not None:
        form = await read_upload(request, endpoint.body_limit_bytes, endpoint.upload.model_fields)
        raw = digest_of(form)
        values["upload"] = _validated(endpoint.upload, form, wrong)
    if wrong:
        raise Refused(VALIDATION_ERROR, details=wrong)
    return values, raw


def _nothing_there(endpoint: Endpoint) -> Refusal:
    """An id that can be nobody's is told as one that nobody has: with the endpoint's own refusal,
    where its path names one thing alone."""
    own = [refusal for refusal in endpoint.refusals if refusal.status == 404]
    return own[0] if len(own) == 1 == len(endpoint.places) else RESOURCE_NOT_FOUND


def _query(endpoint: Endpoint, request: web.Request, wrong: list[Invalid]) -> dict[str, str]:
    """Of a name that comes twice the last value counts; an empty value is none. A name that the
    endpoint does not know is wrong, if it does not take any: it may be a filter's, misspelt."""
    if not request.rel_url.raw_query_string:
        return {}
    known = endpoint.query_names
    came = () if endpoint.any_query else dict.fromkeys(request.query)
    unknown = [name for name in came if name not in known]
    for name in unknown[:MOST_NAMED]:
        shown = name[:MOST_NAME].encode("utf-8", "replace").decode()
        wrong.append(Invalid(shown, "is no parameter of this endpoint"))
    if len(unknown) > MOST_NAMED:
        more = f"has {len(unknown) - MOST_NAMED} more parameters that are none of this endpoint"
        wrong.append(Invalid("query", more))
    found = {name: value for name, value in request.query.items() if value and name in known}
    if any("\0" in value for value in found.values()):
        raise Refused(VALIDATION_ERROR, details=[NO_NUL])
    return found


def parsed(raw: bytes) -> Any:
    """A body's JSON.

    :raises Refused: it is none, or none that can be worked with."""
    if not raw.strip():
        return {}
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg.partition(':')[0]}"
        told = f"{INVALID_JSON.message}: {where}"
        raise Refused(Refusal(INVALID_JSON.status, INVALID_JSON.code, told)) from None
    if isinstance(value, dict) and len(value) > MOST_KEYS:
        raise Refused(VALIDATION_ERROR, details=[TOO_MANY_KEYS])
    # Both are looked for only where the text has what they are made of.
    if raw.count(b"[") + raw.count(b"{") > MOST_LEVELS:
        _check_nesting(value)
    if rb"\u0000" in raw and _has_nul(value):  # JSON has it, PostgreSQL's text has not
        raise Refused(VALIDATION_ERROR, details=[NO_NUL])
    return value


def _check_nesting(value: Any) -> None:
    """:raises Refused: it is too deep, or too much to look at."""
    level, found = [value], 0
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
        found += len(level)
        if found > MOST_CONTAINERS:
            raise Refused(VALIDATION_ERROR, details=[TOO_MANY_CONTAINERS])
    raise Refused(VALIDATION_ERROR, details=[TOO_DEEP])


def _has_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and "\0" in one:
            return True
        waiting += _in(one)
        if isinstance(one, dict):
            waiting += one
    return False


def _in(value: Any) -> Iterable[Any]:
    """What a JSON value holds."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _validated(model: type[BaseModel], value: Any, wrong: list[Invalid]) -> BaseModel | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong += invalid_fields(error)
        return None
