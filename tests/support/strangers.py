"""Tokens of everybody who has no right to a tenant's things."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from control.auth import tokens
from control.db.database import PLATFORM
from control.http.access import MEMBER_ROLES
from tests.support.api import Api
from tests.support.tenants import Tenant

Stranger = Callable[[Api, Tenant, Tenant], Awaitable[str]]
"""Makes a token, of the second tenant's side, that has no right to anything of the first one's."""


def member(role: str) -> Stranger:
    async def token(api: Api, theirs: Tenant, mine: Tenant) -> str:
        return (await api.member(mine.workspace_id, role))[1]

    return token


def api_key(role: str) -> Stranger:
    async def token(api: Api, theirs: Tenant, mine: Tenant) -> str:
        secret = tokens.new_secret("vc_")
        await api.run(
            "INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role) "
            "VALUES ($1, 'a key', 'vc_', $2, $3)",
            mine.workspace_id,
            tokens.digest(secret),
            role,
        )
        return secret

    return token


def oauth(*scopes: str) -> Stranger:
    async def token(api: Api, theirs: Tenant, mine: Tenant) -> str:
        return await api.oauth(scopes, workspace_id=mine.workspace_id)

    return token


async def somebody(api: Api, theirs: Tenant, mine: Tenant) -> str:
    return (await api.person())[1]


async def _acting(api: Api, person: UUID, workspace_id: UUID | None) -> str:
    """A token of a client that acts for a person."""
    now = api.plane.now()
    await api.oauth(workspace_id=workspace_id)
    async with api.plane.db.transaction(PLATFORM) as db:
        client = await db.fetchval("SELECT id FROM oauth_clients ORDER BY created_at DESC LIMIT 1")
        holder = tokens.Holder(user_id=person, client_id=client, scopes=("read", "write", "admin"))
        return (await tokens.issue(db, holder, now)).access


async def their_client_for_my_person(api: Api, theirs: Tenant, mine: Tenant) -> str:
    return await _acting(api, mine.owner, theirs.workspace_id)


async def my_client_for_a_person_of_both(api: Api, theirs: Tenant, mine: Tenant) -> str:
    """The client is of one of his workspaces only."""
    person, _ = await api.member(theirs.workspace_id, "owner")
    await api.run(
        "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')",
        mine.workspace_id,
        person,
    )
    return await _acting(api, person, mine.workspace_id)


async def platforms_client_for_my_person(api: Api, theirs: Tenant, mine: Tenant) -> str:
    return await _acting(api, mine.owner, None)


STRANGERS: dict[str, Stranger] = {
    **{f"{role} of another": member(role) for role in MEMBER_ROLES},
    **{f"{role} key of another": api_key(role) for role in ("admin", "manager", "member")},
    "somebody": somebody,
    "client of another": oauth("read", "write", "admin"),
    "reading client of another": oauth("read"),
    "their client for a person of another": their_client_for_my_person,
    "client of another for a person of both": my_client_for_a_person_of_both,
    "platform's client for a person of another": platforms_client_for_my_person,
}
