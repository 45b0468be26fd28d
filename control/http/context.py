"""What a handler knows of the request it answers."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

import msgspec
import orjson

from control.db.database import Connection, Sight
from control.http.access import Bearer
from control.http.plain import to_json
from control.mail import Mail
from control.plane import Plane

_WRITE_DOWN = """
INSERT INTO audit_log (actor_kind, actor_id, actor_email, workspace_id, action, resource_type,
                       resource_id, details, remote, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""


class Actor(msgspec.Struct, frozen=True):
    """Whose doing something was, where the request shows it otherwise than by a token."""

    kind: Literal["admin", "user"]
    id: UUID
    email: str | None


class Context:
    """One request: its transaction, its caller, and the parts of the server."""

    __slots__ = (
        "_bearer",
        "_callers",
        "_db",
        "afterwards",
        "headers",
        "now",
        "plane",
        "remote",
        "request_id",
        "sight",
    )

    def __init__(
        self,
        plane: Plane,
        db: Connection | None,
        bearer: Bearer | None,
        *,
        sight: Sight,
        now: datetime,
        callers: Sequence[str],
        headers: Mapping[str, str],
        remote: str,
        request_id: str,
    ) -> None:
        self.plane = plane
        self._db = db
        self.sight = sight
        """Whose rows the caller may see, for a handler that opens its transactions itself."""
        self.afterwards: list[Callable[[], None]] = []
        """What is to be done when the transaction is kept."""
        self._bearer = bearer
        self.now = now
        self._callers = callers
        self.headers = headers
        self.remote = remote
        self.request_id = request_id

    @property
    def db(self) -> Connection:
        """The request's transaction. An endpoint that is ``alone`` has none."""
        if self._db is None:
            raise LookupError("the handler opens its transactions itself")
        return self._db

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """For a handler that is ``alone``: a connection that only reads, in the caller's share."""
        share = self.plane.shares.entered(self._callers)
        async with share, self.plane.db.reading(self.sight) as db:
            yield db

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """For a handler that is ``alone``: a transaction, in the caller's share."""
        share = self.plane.shares.entered(self._callers)
        async with share, self.plane.db.transaction(self.sight) as db:
            yield db

    @property
    def bearer(self) -> Bearer:
        """Who calls. Only an endpoint that anybody may call has nobody."""
        if self._bearer is None:
            raise LookupError("a public endpoint has no bearer")
        return self._bearer

    def mail(self, mail: Mail) -> None:
        """Send it when the transaction is kept: its links lead to nothing before."""
        self.afterwards.append(partial(self.plane.mailer.send, mail))

    async def write_down(
        self,
        action: str,
        resource_type: str,
        resource_id: object,
        *,
        by: Actor | None = None,
        workspace_id: UUID | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> None:
        """Note in the audit log what was done; it is kept if what was done is.

        :param by: whose doing it was, if not his who calls: who logs in brings no token yet."""
        who = by or self._bearer
        facts = {"before": before, "after": after, **details}
        shown = {name: fact for name, fact in facts.items() if fact is not None}
        await self.db.execute(
            _WRITE_DOWN,
            "nobody" if who is None else who.kind,
            None if who is None else who.id,
            None if who is None else who.email,
            workspace_id,
            action,
            resource_type,
            str(resource_id),
            orjson.loads(to_json(shown)),
            self.remote,
            self.request_id,
        )
