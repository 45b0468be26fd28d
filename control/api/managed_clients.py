"""What is the same of OAuth clients, whether an admin manages them or the owner of a workspace."""

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from control.api.shapes import Body, Name, PortalPageQuery, Shape
from control.auth import tokens
from control.db import accounts, oauth_clients, workspaces
from control.db.database import Row
from control.http.access import SCOPES
from control.http.context import Context
from control.http.errors import Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND

MOST_CLIENTS = 100
"""Of one workspace."""
TOO_MANY_CLIENTS = Refusal(
    CONFLICT.status, CONFLICT.code, f"A workspace has at most {MOST_CLIENTS} OAuth clients"
)

Scope = Literal["read", "write", "admin"]
RateLimitTier = Literal["standard", "premium", "enterprise"]


def _in_order(scopes: Collection[str]) -> list[str]:
    return [scope for scope in SCOPES if scope in scopes]


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=3), AfterValidator(_in_order)]


class NewWorkspaceClient(Body):
    name: Name
    scopes: Scopes = Field(description="What it may ask for: `admin` includes `write`, and `read`.")
    password_grant: bool = Field(
        False, description="Whether it may log people in with their passwords."
    )


class OAuthClient(Shape):
    id: UUID
    client_id: str
    name: str
    workspace_id: UUID | None
    scopes: list[Scope]
    password_grant: bool
    rate_limit_tier: RateLimitTier
    created_at: datetime
    rotated_at: datetime | None


class OneOAuthClient(Shape):
    oauth_client: OAuthClient
    client_secret: str = Field(
        description="Shown this once. When the person to whom it was shown is no owner of the "
        "workspace any more, or may not log in any more, the client is revoked with his API keys; "
        "unless its secret was rotated by somebody else meanwhile."
    )


class OAuthClients(Shape):
    oauth_clients: list[OAuthClient]
    total: int
    page: int
    limit: int


async def listed(
    context: Context, workspace_id: UUID | None, query: PortalPageQuery
) -> dict[str, Any]:
    """A page of a workspace's clients, or of all."""
    found = await oauth_clients.find(
        context.db, workspace_id, limit=query.limit, offset=query.offset
    )
    return {
        "oauth_clients": [_client_of(row) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


async def made(
    context: Context,
    body: NewWorkspaceClient,
    workspace_id: UUID | None,
    tier: RateLimitTier | None = None,
) -> dict[str, Any]:
    """A new client, with its secret.

    :param tier: None is that of the workspace's subscription.
    :raises Refused: the workspace has enough of them."""
    if workspace_id is not None:
        await workspaces.lock(context.db, workspace_id)  # which counts what is there
        if await oauth_clients.count(context.db, workspace_id) >= MOST_CLIENTS:
            raise Refused(TOO_MANY_CLIENTS)
    secret = _new_secret()
    inserted = await accounts.insert_client(
        context.db,
        f"vci_{secrets.token_hex(16)}",
        tokens.digest(secret),
        body.name,
        workspace_id=workspace_id,
        scopes=tuple(body.scopes),
        password_grant=body.password_grant,
        tier=tier,
        shown_to=context.bearer.person,
    )
    row = await _client(context, inserted["id"], workspace_id)
    shown = _client_of(row)
    await _write_down(context, "oauth_client.created", row, after=shown)
    return {"oauth_client": shown, "client_secret": secret}


async def rotated(
    context: Context, oauth_client_id: UUID, workspace_id: UUID | None
) -> dict[str, Any]:
    """A client with another secret. The tokens that it has are good for as long as they were.

    :raises Refused: there is no such client."""
    secret = _new_secret()
    hashed = tokens.digest(secret)
    whose = (oauth_client_id, workspace_id)
    if not await oauth_clients.rotate(
        context.db, *whose, hashed, context.now, shown_to=context.bearer.person
    ):
        raise Refused(RESOURCE_NOT_FOUND)
    row = await _client(context, oauth_client_id, workspace_id)
    await _write_down(context, "oauth_client.rotated", row)
    return {"oauth_client": _client_of(row), "client_secret": secret}


async def revoke(context: Context, oauth_client_id: UUID, workspace_id: UUID | None) -> None:
    """End a client, and all the tokens it has.

    :raises Refused: there is no such client."""
    before = await _client(context, oauth_client_id, workspace_id)
    await oauth_clients.revoke(context.db, oauth_client_id, workspace_id, context.now)
    await tokens.revoke_client(context.db, oauth_client_id, context.now)
    await _write_down(context, "oauth_client.revoked", before, before=_client_of(before))


async def _client(context: Context, oauth_client_id: UUID, workspace_id: UUID | None) -> Row:
    row = await oauth_clients.one(context.db, oauth_client_id, workspace_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _write_down(context: Context, action: str, row: Row, **facts: Any) -> None:
    workspace_id = row["workspace_id"]
    await context.write_down(action, "oauth_client", row["id"], workspace_id=workspace_id, **facts)


def _client_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in OAuthClient.model_fields}


def _new_secret() -> str:
    return tokens.new_secret("vcs_")
