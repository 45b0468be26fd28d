"""The API on a free port with a fresh database, and a client that knows the declarations.

Every answer is held against its endpoint's declaration: a status or a shape that is not documented
fails the test, whatever it is about.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import orjson

from control.api import ENDPOINTS
from control.auth import tokens
from control.db import accounts, workspaces
from control.db.database import PLATFORM
from control.http import limits
from control.http.api_server import api_app, close_plane, open_plane
from control.http.endpoint import Endpoint
from control.http.errors import NOT_FOUND
from control.http.http_port import HttpPort
from control.http.openapi import refusals_of
from control.mail import Mail, Post
from control.plane import Plane
from control.settings import Settings
from tests.support.postgres import fresh_database

PASSWORD = "Correct-Horse-7"
ANSWERED_IN_S = 30.0
"""For whoever has to wait for nobody, on a machine that is busy. Who waits in vain is refused much
sooner for want of a connection, and of a place later: see ``Api.patient``."""
GENEROUS = {"person_requests_per_min": 1_000_000, "public_requests_per_min": 1_000_000}


class Reply(msgspec.Struct):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])

    @property
    def fields(self) -> set[str]:
        """Those that an error says are wrong."""
        return {detail["field"] for detail in self.json["error"].get("details", [])}


class Noted:
    """Hands mails to an outbox, and notes whose file came after whose. Their times do not tell of
    those that a busy machine writes in one go: a file's may be some milliseconds coarse."""

    def __init__(self, post: Post, outbox: Path) -> None:
        self.files: list[Path] = []
        self._post = post
        self._outbox = outbox
        self._in_turn = asyncio.Lock()

    async def send(self, mail: Mail) -> None:
        async with self._in_turn:
            await self._post.send(mail)
            self.files += set(self._outbox.glob("*.eml")) - set(self.files)


class Api:
    """A server and what tests do with it."""

    _kept = ""

    def __init__(
        self, url: str, plane: Plane, session: aiohttp.ClientSession, outbox: Path
    ) -> None:
        self.url = url
        self.plane = plane
        self.outbox = outbox
        self._session = session
        plane.mailer._post = self._noted = Noted(plane.mailer._post, outbox)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Reply:
        """Make a request; its answer is documented."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            data = orjson.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as response:
            reply = Reply(response.status, response.headers, await response.read())
        assert_documented(method, path.partition("?")[0], reply)
        return reply

    async def get(self, path: str, token: str | None = None, **more: Any) -> Reply:
        return await self.send("GET", path, token=token, **more)

    async def post(
        self, path: str, body: Any = None, token: str | None = None, **more: Any
    ) -> Reply:
        return await self.send("POST", path, body, token=token, **more)

    async def put(
        self, path: str, body: Any = None, token: str | None = None, **more: Any
    ) -> Reply:
        return await self.send("PUT", path, body, token=token, **more)

    async def patch(self, path: str, body: Any = None, token: str | None = None) -> Reply:
        return await self.send("PATCH", path, body, token=token)

    async def delete(self, path: str, token: str | None = None, **more: Any) -> Reply:
        return await self.send("DELETE", path, token=token, **more)

    async def admin(self, role: str = "owner") -> str:
        """An access token of a new admin."""
        async with self.plane.db.transaction(PLATFORM) as db:
            email = f"{role}-{uuid4().hex[:8]}@example.com"
            hashed = await self._hashed()
            row = await accounts.insert_admin(db, email, "An Admin", role, hashed)
            holder = tokens.Holder(admin_id=row["id"])
            return (await tokens.issue(db, holder, self.plane.now())).access

    async def person(self, email: str | None = None, *, verified: bool = True) -> tuple[UUID, str]:
        """Somebody who has signed up, and his access token."""
        now = self.plane.now()
        async with self.plane.db.transaction(PLATFORM) as db:
            address = email or f"someone-{uuid4().hex[:8]}@example.com"
            hashed = await self._hashed()
            row = await accounts.insert_user(
                db, address, "Some One", hashed, now, verified_at=now if verified else None
            )
            pair = await tokens.issue(db, tokens.Holder(user_id=row["id"]), now)
        return row["id"], pair.access

    async def workspace(self, owner: UUID | None = None, **fields: Any) -> UUID:
        """A new workspace, of this person."""
        async with self.plane.db.transaction(PLATFORM) as db:
            given = {"name": "Acme", "email": "acme@example.com", **fields}
            row = await workspaces.insert(db, uuid4(), self.plane.now(), given)
            if owner is not None:
                await self._join(db, row["id"], owner, "owner")
        return UUID(str(row["id"]))

    async def member(self, workspace_id: UUID, role: str) -> tuple[UUID, str]:
        """A new person who is a member with this role, and his token."""
        user_id, token = await self.person()
        async with self.plane.db.transaction(PLATFORM) as db:
            await self._join(db, workspace_id, user_id, role)
        return user_id, token

    async def oauth(
        self,
        scopes: tuple[str, ...] = ("read", "write", "admin"),
        *,
        workspace_id: UUID | None = None,
        tier: str = "enterprise",
    ) -> str:
        """An access token of a new OAuth client, of the platform or of a workspace."""
        async with self.plane.db.transaction(PLATFORM) as db:
            row = await accounts.insert_client(
                db,
                uuid4().hex,
                tokens.digest("secret"),
                "a client",
                workspace_id=workspace_id,
                scopes=scopes,
                password_grant=True,
                tier=tier,
            )
            holder = tokens.Holder(client_id=row["id"], scopes=scopes)
            return (await tokens.issue(db, holder, self.plane.now(), refreshable=False)).access

    async def mails(self) -> list[EmailMessage]:
        """All that were sent, the first one first."""
        await self.plane.mailer.flush()
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(file.read_bytes()) for file in self._noted.files]

    def patient(self) -> None:
        """Have requests wait for their places longer than a test takes to give them some: none is
        refused because the machine is slow, nor answered because others have given up."""
        for queue in (*self.plane.heavy.of.values(), self.plane.shares):
            queue._deadline_s = 2 * ANSWERED_IN_S

    async def run(self, statement: str, *values: Any) -> Any:
        """Ask the database, seeing everything."""
        async with self.plane.db.transaction(PLATFORM) as db:
            return await db.fetch(statement, *values)

    async def _hashed(self) -> str:
        """The password as it is kept: hashing it once is enough for every test."""
        if not Api._kept:
            Api._kept = await self.plane.passwords.hash(PASSWORD)
        return Api._kept

    @staticmethod
    async def _join(db: Any, workspace_id: UUID, user_id: UUID, role: str) -> None:
        statement = "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, $3)"
        await db.execute(statement, workspace_id, user_id, role)


@asynccontextmanager
async def served_api(tmp_path: Path, **settings: Any) -> AsyncIterator[Api]:
    """The API with a fresh database, over real sockets."""
    async with fresh_database() as url, served_from(url, tmp_path, **settings) as api:
        yield api


@asynccontextmanager
async def served_from(database_url: str, tmp_path: Path, **settings: Any) -> AsyncIterator[Api]:
    """The API with this database. People are counted, but not refused: a test that is about
    limits sets them."""
    plane = await open_plane(Settings(**(GENEROUS | settings)), database_url, tmp_path)
    http_port = HttpPort(api_app(plane))
    port = await http_port.open("127.0.0.1", 0)
    plane.address = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(f"http://127.0.0.1:{port}", plane, session, tmp_path / "outbox")
    finally:
        await http_port.close()
        await close_plane(plane)


def endpoint_of(method: str, path: str) -> Endpoint | None:
    """The declared endpoint that answers this; HEAD is answered by that of GET."""
    fitting = [
        endpoint
        for endpoint in ENDPOINTS
        if endpoint.method == ("GET" if method == "HEAD" else method)
        and re.fullmatch(re.sub(r"{\w+}", "[^/]+", endpoint.path), path)
    ]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


def was_counted(endpoint: Endpoint, reply: Reply) -> bool:
    """Whether the request came so far: not without a token, nor by a path that leads elsewhere
    (as with ``..`` in it), nor if the server failed."""
    if reply.status == 404:
        return bool(reply.json["error"]["message"] != NOT_FOUND.message)
    if reply.status == 401:
        return endpoint.access.kind == "public"
    return reply.status < 500


def assert_documented(method: str, path: str, reply: Reply) -> None:
    """The answer is one that the endpoint's declaration has."""
    endpoint = endpoint_of(method, "/api" + path if path.startswith("/v1/") else path)
    if endpoint is None:
        return
    if method == "HEAD":
        errors = {refusal.status for refusal in refusals_of(endpoint)}
        assert reply.status in {endpoint.status, *endpoint.other_statuses, *errors}
        assert not reply.body
        return
    if was_counted(endpoint, reply):
        assert set(limits.NAMES) <= set(reply.headers), f"{endpoint} does not tell the limit"
    if reply.status in endpoint.other_statuses:
        return
    if reply.status >= 400:
        known = {(refusal.status, refusal.code) for refusal in refusals_of(endpoint)}
        assert (reply.status, reply.code) in known, f"{endpoint} does not declare {reply}"
        assert reply.json["error"]["request_id"] == reply.headers["X-Request-Id"]
        return
    assert reply.status == endpoint.status, f"{endpoint} does not declare {reply.status}"
    is_first = "Idempotency-Replayed" not in reply.headers
    if is_first and not isinstance(endpoint.answer, str):
        assert ("ETag" in reply.headers) == endpoint.etag, f"{endpoint} does not declare its ETag"
    if endpoint.answer is None:
        assert not reply.body
    elif isinstance(endpoint.answer, str):
        assert reply.headers["Content-Type"].startswith(endpoint.answer.partition("*")[0])
    else:
        endpoint.answer.model_validate_json(reply.body)
