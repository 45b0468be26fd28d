"""Entity tags: a change says which version it is made from, and is refused if that is not the
latest (RFC 9110, 13.1.1)."""

import re
from collections.abc import Mapping
from typing import Any

from multidict import MultiMapping

from control.http.endpoint import Raw
from control.http.errors import Refusal, Refused
from control.http.plain import to_json
from control.http.refusals import PRECONDITION_FAILED

_ONE = re.compile(r'[ \t]*(?:(W/)?("[^"\x00-\x20\x7f]*"))?[ \t]*(?:,|\Z)')


_NO_TAG = Refusal(
    PRECONDITION_FAILED.status,
    PRECONDITION_FAILED.code,
    'If-Match must be an ETag as it was told, a version in double quotes: "3" and not 3',
)


def etag_of(version: int) -> str:
    return f'"{version}"'


def check_if_match(headers: Mapping[str, str], version: int) -> None:
    """Go on if the request has no ``If-Match``, or one that names this version.

    :raises Refused: ``PRECONDITION_FAILED``."""
    several = isinstance(headers, MultiMapping)
    given = headers.getall("If-Match", []) if several else [headers.get("If-Match")]  # type: ignore[attr-defined]
    fields = [field for field in given if field is not None]
    if not fields:
        return
    named = _tags(",".join(fields))
    if named is None or not {"*", etag_of(version)} & named:
        refusal = _NO_TAG if named is None else PRECONDITION_FAILED
        raise Refused(refusal, headers={"ETag": etag_of(version)})


def tagged(answer: Mapping[str, Any], version: int, *, status: int = 200) -> Raw:
    """An answer in JSON that says which version it is."""
    return Raw(
        to_json(answer),
        "application/json; charset=utf-8",
        status=status,
        headers={"ETag": etag_of(version)},
    )


def _tags(field: str) -> set[str] | None:
    """Those of a list of entity tags that are not weak, or `*`; None of what is no such list."""
    if field.strip() == "*":
        return {"*"}
    at, found = 0, set()
    while at < len(field):
        one = _ONE.match(field, at)
        if one is None:
            return None
        if one[1] is None and one[2]:
            found.add(one[2])
        at = one.end()
    return found
