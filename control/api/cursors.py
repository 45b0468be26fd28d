"""Lists that grow, by cursor: a page goes on after the last entry of the one before, however many
were added meanwhile, and costs the same however far behind it is."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_LENGTH = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BIGGEST_US = 253_402_300_799_000_000  # the end of the year 9999
_BIGGEST_ID = 2**63 - 1


def cursor_of(at: datetime, number: int) -> str:
    """Opaque text that says where in a list by time, then by number, one is."""
    at_us = (at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{at_us}.{number}".encode()).decode().rstrip("=")


def _place(value: Any) -> tuple[datetime, int]:
    wrong = PydanticCustomError("cursor", "must be a next_cursor of an answer")
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        raise wrong
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
        at_us, number = (int(part) for part in decoded.decode("ascii").split("."))
    except (binascii.Error, ValueError):
        raise wrong from None
    if not 0 <= at_us <= _BIGGEST_US or not 0 <= number <= _BIGGEST_ID:
        raise wrong
    return _EPOCH + timedelta(microseconds=at_us), number


Cursor = Annotated[
    tuple[datetime, int], BeforeValidator(_place), WithJsonSchema({"type": "string"})
]
"""Of a query: the ``next_cursor`` of the page before."""


def _time(value: Any) -> Any:
    """A ``+`` that nobody encoded came as a blank."""
    return value.replace(" ", "+") if isinstance(value, str) and "T" in value else value


def _bounded(value: datetime) -> datetime:
    """In UTC; a time without an offset is meant so."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    try:
        plain = aware.astimezone(UTC)
    except OverflowError:
        plain = _EPOCH
    if not 1970 < plain.year < 9999:
        raise PydanticCustomError("time", "must be a time between the years 1971 and 9998")
    return plain


Time = Annotated[datetime, BeforeValidator(_time), AfterValidator(_bounded)]
"""Of a query: ISO 8601, or seconds since 1970."""
