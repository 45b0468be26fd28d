"""Shapes that many endpoints share."""

import re
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from control.auth import passwords

MOST_PAGES = 1_000_000
BIGGEST_ID = 2**63 - 1

_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX = re.compile(rf"{_WORD}(?:\.{_WORD})*@(?:{_LABEL}\.)+{_LABEL}")

Id = Annotated[int, Field(ge=1, le=BIGGEST_ID)]
"""An integer id in a path or a query."""


class Body(BaseModel):
    """What comes in: unknown fields are refused, blanks around text are cut off."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, populate_by_name=True)


def example(**fields: Any) -> ConfigDict:
    """The ``model_config`` of a body whose example the documentation does not make up well."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Query(BaseModel):
    """What comes in the query, of whose names dispatch has refused the unknown ones."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True, populate_by_name=True)


class Shape(BaseModel):
    """What goes out."""

    model_config = ConfigDict(extra="forbid")


class Meta(Shape):
    """Where in the list this page is."""

    current_page: int
    per_page: int
    total: int
    total_pages: int


class PageQuery(Query):
    """Which page; pages of 25."""

    page: int = Field(1, ge=1, le=MOST_PAGES)
    limit: int = Field(25, ge=1, le=100, description="How many a page has.")

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit

    def meta(self, total: int) -> dict[str, int]:
        """What the answer says of the page."""
        pages = -(-total // self.limit)
        return {
            "current_page": self.page,
            "per_page": self.limit,
            "total": total,
            "total_pages": pages,
        }


class PortalPageQuery(PageQuery):
    """Which page; pages of 50."""

    limit: int = Field(50, ge=1, le=100, description="How many a page has.")


def _email(value: str) -> str:
    """A mailbox as mail servers know it (RFC 5321): ASCII, nothing quoted, and no RFC 2047 word, of
    which mail programs make another address."""
    local = value.rpartition("@")[0]
    wrong = len(value) > 254 or len(local) > 64 or "=?" in local
    if wrong or _MAILBOX.fullmatch(value) is None:
        raise PydanticCustomError("email", "must be an e-mail address")
    return value


def _strong(value: str) -> str:
    if wrong := passwords.weakness(value):
        raise PydanticCustomError("password", "{wrong}", {"wrong": wrong})
    return value


@lru_cache(1)
def _timezones() -> frozenset[str]:
    """They are read from files: once."""
    return frozenset(available_timezones())


def _timezone(value: str) -> str:
    if value not in _timezones():
        raise PydanticCustomError("timezone", "must be an IANA time zone, as Europe/London")
    return value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


Email = Annotated[str, Field(json_schema_extra={"format": "email"}), AfterValidator(_email)]
Password = Annotated[
    str, StringConstraints(strip_whitespace=False, min_length=1, max_length=passwords.MAX_LENGTH)
]
"""One to be compared; blanks around it are part of it."""
NewPassword = Annotated[
    str,
    StringConstraints(
        strip_whitespace=False, min_length=passwords.MIN_LENGTH, max_length=passwords.MAX_LENGTH
    ),
    AfterValidator(_strong),
]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""A token that comes back."""
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164")]
Timezone = Annotated[str, AfterValidator(_timezone)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}([_-][A-Za-z0-9]{2,8})*$", max_length=35)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Text = Annotated[str, Field(max_length=1000)]
Number = Annotated[int, BeforeValidator(_no_bool)]
Order = Literal["asc", "desc"]


def given(body: BaseModel) -> dict[str, Any]:
    """The fields that a request names, as plain values: of an update those that change."""
    return body.model_dump(exclude_unset=True, mode="json")


def filled(body: BaseModel) -> dict[str, Any]:
    """All fields of what is to be made: null is not given, as it is of a change."""
    shapes = type(body).model_fields
    return {
        name: shapes[name].get_default(call_default_factory=True) if value is None else value
        for name, value in body.model_dump().items()
    }
