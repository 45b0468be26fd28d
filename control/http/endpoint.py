"""One declaration per endpoint: from it the endpoint is validated, authorised, limited, documented.

    @endpoint("GET", "/api/v1/customers/{customer_id}", OAUTH_READS, OneCustomer,
              refusals=(CUSTOMER_NOT_FOUND,))
    async def get_customer(context: Context, customer_id: int) -> Answer:
        '''Get a customer.'''

The handler's signature says the rest: parameters that the path names, ``query`` and ``body`` with
their models, ``upload`` for a form with files, ``form`` for a form's text (``Annotated`` with the
model that documents it). Its docstring's first sentence is the summary in the documentation. The
declaration takes its place by being named in ``control.api.ENDPOINTS``.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, get_args, get_type_hints

import msgspec
from aiohttp import web
from pydantic import BaseModel, TypeAdapter

from control.http.access import Access
from control.http.context import Context
from control.http.errors import Refusal
from control.http.heavy import Kind

Handler = Callable[..., Awaitable[Any]]
_PLACE = re.compile(r"{(\w+)}")

JSON_LIMIT_BYTES = 256 * 1024


class Raw(msgspec.Struct, frozen=True):
    """An answer that is no JSON, or that has headers of its own."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = {}


Answer = Mapping[str, Any] | Raw | web.StreamResponse | None
"""JSON of the declared shape, or something else, or nothing (204)."""


class Endpoint:
    """A declared endpoint."""

    def __init__(
        self,
        method: str,
        path: str,
        access: Access,
        answer: type[BaseModel] | str | None,
        handler: Handler,
        *,
        status: int,
        refusals: Sequence[Refusal],
        body_limit_bytes: int,
        tag: str,
        other_statuses: Mapping[int, str],
        other_answer: type[BaseModel] | None,
        other_form: Callable[[Refusal], Raw] | None,
        any_query: bool,
        etag: bool,
        shows_secret: bool,
        alone: bool,
        heavy: Kind | None,
    ) -> None:
        self.method = method
        self.path = path
        self.access = access
        self.answer = answer
        self.handler = handler
        self.status = status
        self.refusals = tuple(refusals)
        self.body_limit_bytes = body_limit_bytes
        self.tag = tag
        self.other_statuses = dict(other_statuses)
        self.other_answer = other_answer
        self.other_form = other_form
        self.any_query = any_query
        self.etag = etag
        self.shows_secret = shows_secret
        self.alone = alone
        self.heavy = heavy
        hints = get_type_hints(handler, include_extras=True)
        parameters = tuple(inspect.signature(handler).parameters)
        self.places: Mapping[str, TypeAdapter[Any]] = {
            name: TypeAdapter(hints[name]) for name in _PLACE.findall(path)
        }
        self.query: type[BaseModel] | None = hints.get("query")
        self.query_names = _names_of(self.query)
        self.body: type[BaseModel] | None = hints.get("body")
        self.upload: type[BaseModel] | None = hints.get("upload")
        self.takes_form = "form" in parameters
        self.form: type[BaseModel] | None = next(iter(get_args(hints.get("form"))[1:]), None)
        known = {"query", "body", "upload", "form"}
        unknown = set(parameters[1:]) - set(self.places) - known
        if unknown:
            raise TypeError(f"{method} {path}: nothing gives the handler {sorted(unknown)}")

    @property
    def changes(self) -> bool:
        """Whether something is another thing afterwards."""
        return self.method != "GET"

    @property
    def only_reads(self) -> bool:
        """Whether its handler needs no transaction, but a connection."""
        return self.method == "GET" and not self.alone

    @property
    def name(self) -> str:
        """What documentation and metrics call it."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        return inspect.getdoc(self.handler) or ""

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


def endpoint(
    method: str,
    path: str,
    access: Access,
    answer: type[BaseModel] | str | None,
    *,
    status: int = 200,
    refusals: Sequence[Refusal] = (),
    body_limit_bytes: int = JSON_LIMIT_BYTES,
    tag: str = "",
    other_statuses: Mapping[int, str] | None = None,
    other_answer: type[BaseModel] | None = None,
    other_form: Callable[[Refusal], Raw] | None = None,
    any_query: bool = False,
    etag: bool = False,
    shows_secret: bool = False,
    alone: bool = False,
    heavy: Kind | None = None,
) -> Callable[[Handler], Endpoint]:
    """Declare the handler below.

    :param answer: the model of a good answer, a content type, or None for no content.
    :param refusals: errors of its own, besides those that every endpoint can have.
    :param other_statuses: answers of another status that the endpoint words itself, and what they
        mean.
    :param other_answer: the model of those that are errors in a form of their own.
    :param other_form: makes that of whatever is refused before the handler is asked, or besides it.
        All statuses of errors are among ``other_statuses`` then.
    :param any_query: parameters that it does not know are ignored, and not refused.
    :param etag: a good answer says which version it is; ``PRECONDITION_FAILED`` among the refusals
        says that the request may.
    :param shows_secret: the answer is shown once: no cache keeps it, and no Idempotency-Key.
    :param alone: the handler waits for something else than the database, so no transaction is held
        for it: it opens its own with ``context.sight``. No Idempotency-Key is kept.
    :param heavy: what the handler has a thread do for it while it holds the transaction: only a few
        such requests are let in at a time, the others wait."""

    def declare(handler: Handler) -> Endpoint:
        return Endpoint(
            method,
            path,
            access,
            answer,
            handler,
            status=status if answer is not None else 204,
            refusals=refusals,
            body_limit_bytes=body_limit_bytes,
            tag=tag or path.strip("/").split("/")[0],
            other_statuses=other_statuses or {},
            other_answer=other_answer,
            other_form=other_form,
            any_query=any_query,
            etag=etag,
            shows_secret=shows_secret,
            alone=alone,
            heavy=heavy,
        )

    return declare


def _names_of(query: type[BaseModel] | None) -> frozenset[str]:
    """The parameters as they come in."""
    fields = {} if query is None else query.model_fields
    return frozenset(field.alias or name for name, field in fields.items())


__all__ = ["Answer", "Context", "Endpoint", "Raw", "endpoint"]
