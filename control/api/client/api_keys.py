"""A workspace's API keys, for programs that use the client portal's API.

People make them, keys do not: a stolen key must not leave others behind when it is revoked.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from control.api.client.members import role_now
from control.api.shapes import Body, Name, PortalPageQuery, Shape
from control.auth import tokens
from control.db import api_keys
from control.db.database import Row
from control.http.access import MEMBER_MANAGES, PERSON_MANAGES, may_give
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND, role_above

PREFIX = "vc_"
SHOWN_LENGTH = 11
"""So much of a key is shown later on: 48 of its 256 bits."""
MOST_KEYS = 100
TOO_MANY_KEYS = Refusal(
    CONFLICT.status, CONFLICT.code, f"A workspace has at most {MOST_KEYS} API keys"
)

KeyRole = Literal["admin", "manager", "member"]


class NewApiKey(Body):
    name: Name
    role: KeyRole = Field("member", description="What the key may do; not above your own role.")


class ApiKey(Shape):
    id: UUID
    name: str
    prefix: str = Field(description="How the key begins.")
    role: KeyRole
    created_by: UUID | None
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")


class OneApiKey(Shape):
    api_key: ApiKey
    key: str = Field(description="Shown this once.")


class ApiKeys(Shape):
    api_keys: list[ApiKey]
    total: int
    page: int
    limit: int


@endpoint("GET", "/workspaces/{workspace_id}/api-keys", MEMBER_MANAGES, ApiKeys)
async def list_api_keys(context: Context, workspace_id: UUID, query: PortalPageQuery) -> Answer:
    """List the workspace's API keys that are not revoked."""
    found = await api_keys.find(context.db, workspace_id, limit=query.limit, offset=query.offset)
    return {
        "api_keys": [_key_of(row) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint(
    "POST",
    "/workspaces/{workspace_id}/api-keys",
    PERSON_MANAGES,
    OneApiKey,
    status=201,
    refusals=(TOO_MANY_KEYS,),
    shows_secret=True,
)
async def create_api_key(context: Context, workspace_id: UUID, body: NewApiKey) -> Answer:
    """Create an API key. It is shown this once."""
    await _must_be_able_to_give(context, workspace_id, body.role)  # and nobody else makes one
    if await api_keys.count(context.db, workspace_id) >= MOST_KEYS:
        raise Refused(TOO_MANY_KEYS)
    key = tokens.new_secret(PREFIX)
    row = await api_keys.insert(
        context.db,
        workspace_id,
        body.name,
        tokens.digest(key),
        prefix=key[:SHOWN_LENGTH],
        role=body.role,
        created_by=context.bearer.person,
        now=context.now,
    )
    await context.write_down(
        "api_key.created", "api_key", row["id"], workspace_id=workspace_id, after=_key_of(row)
    )
    return {"api_key": _key_of(row), "key": key}


@endpoint("DELETE", "/workspaces/{workspace_id}/api-keys/{api_key_id}", PERSON_MANAGES, None)
async def revoke_api_key(context: Context, workspace_id: UUID, api_key_id: UUID) -> Answer:
    """Revoke an API key: it is good no more at once."""
    row = await api_keys.one(context.db, workspace_id, api_key_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    await _must_be_able_to_give(context, workspace_id, row["role"])
    await api_keys.revoke(context.db, workspace_id, api_key_id, context.now)
    await context.write_down(
        "api_key.revoked", "api_key", row["id"], workspace_id=workspace_id, before=_key_of(row)
    )
    return None


async def _must_be_able_to_give(context: Context, workspace_id: UUID, role: str) -> None:
    """:raises Refused: a key is asking, or the role is above the caller's."""
    own = await role_now(context, workspace_id, MEMBER_MANAGES)
    if not may_give(own, role):
        raise Refused(role_above(own))


def _key_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ApiKey.model_fields}


ENDPOINTS = (list_api_keys, create_api_key, revoke_api_key)
