"""People, as the platform's admins manage them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from control.api.lost_keys import take_back_all
from control.api.shapes import Body, Name, PortalPageQuery, Shape
from control.auth import tokens
from control.db import accounts, members, users
from control.db.database import Row
from control.http.access import ADMIN_OWNS, ADMIN_READS, ADMIN_SUPPORTS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND

ONLY_OWNER = Refusal(
    CONFLICT.status,
    CONFLICT.code,
    "This person is the only owner of a workspace; give it another owner, or delete it",
)


class UserQuery(PortalPageQuery):
    search: Annotated[str, Field(max_length=255)] | None = None


class AdminUserChange(Body):
    name: Name | None = None
    is_active: bool | None = None


class AdminListedUser(Shape):
    id: UUID
    email: str
    name: str
    workspaces_count: int
    created_at: datetime


class AdminUser(Shape):
    id: UUID
    email: str
    name: str
    is_active: bool
    created_at: datetime
    last_login: datetime | None


class UserMembership(Shape):
    workspace_id: UUID
    workspace_name: str
    role: Literal["owner", "admin", "manager", "member"]
    joined_at: datetime


class AdminUsers(Shape):
    users: list[AdminListedUser]
    total: int
    page: int
    limit: int


class AdminUserDetail(Shape):
    user: AdminUser
    workspaces: list[UserMembership]


class OneAdminUser(Shape):
    user: AdminUser


@endpoint("GET", "/admin/users", ADMIN_READS, AdminUsers)
async def admin_list_users(context: Context, query: UserQuery) -> Answer:
    """List people, the newest first. `search` looks in e-mails and names."""
    found = await users.find(
        context.db, search=query.search, limit=query.limit, offset=query.offset
    )
    return {
        "users": [{name: row[name] for name in AdminListedUser.model_fields} for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint("GET", "/admin/users/{user_id}", ADMIN_READS, AdminUserDetail)
async def admin_get_user(context: Context, user_id: UUID) -> Answer:
    """Get a person and his workspaces."""
    row = await accounts.user(context.db, user_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    memberships = await users.workspaces_of(context.db, user_id)
    return {"user": _user_of(row), "workspaces": [dict(one) for one in memberships]}


@endpoint("PUT", "/admin/users/{user_id}", ADMIN_SUPPORTS, OneAdminUser)
async def admin_update_user(context: Context, user_id: UUID, body: AdminUserChange) -> Answer:
    """Change a person's name, or whether he may log in: a workspace's only owner may be kept out
    too.

    Who may not is logged out at once, and what he has made or was shown is taken back: his API
    keys, the OAuth clients whose secret he was shown last, and the invitations that wait."""
    if body.is_active is False:  # nobody leaves his workspaces to him meanwhile
        await users.lock_owned(context.db, user_id)
    before = await users.lock(context.db, user_id)
    if before is None:
        raise Refused(RESOURCE_NOT_FOUND)
    fields = {} if body.name is None else {"name": body.name}
    if body.is_active is not None and body.is_active != (before["status"] == "active"):
        fields["status"] = "active" if body.is_active else "inactive"
    row = await users.update(context.db, user_id, fields, context.now)
    assert row is not None
    if body.is_active is False:
        await tokens.revoke_person(context.db, user_id, context.now)
        await take_back_all(context, user_id)
    await context.write_down(
        "user.updated",
        "user",
        user_id,
        before={name: before[name] for name in fields},
        after=fields,
    )
    return {"user": _user_of(row)}


@endpoint("DELETE", "/admin/users/{user_id}", ADMIN_OWNS, None, refusals=(ONLY_OWNER,))
async def admin_delete_user(context: Context, user_id: UUID) -> Answer:
    """Delete a person and his memberships. A workspace's only owner stays.

    What he has made or was shown goes with him: his API keys, the OAuth clients whose secret he
    was shown last, and the invitations that wait."""
    for workspace in await users.lock_owned(context.db, user_id):
        if not await members.has_other_owner(context.db, workspace["id"], user_id):
            raise Refused(ONLY_OWNER)
    row = await users.lock(context.db, user_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    memberships = await users.workspaces_of(context.db, user_id)
    await take_back_all(context, user_id)
    await users.delete(context.db, user_id)
    await context.write_down(
        "user.deleted",
        "user",
        user_id,
        before={**_user_of(row), "workspaces": [dict(one) for one in memberships]},
    )
    return None


def _user_of(row: Row) -> dict[str, Any]:
    names = ("id", "email", "name", "created_at")
    more = {"is_active": row["status"] == "active", "last_login": row["last_login_at"]}
    return {**{name: row[name] for name in names}, **more}


ENDPOINTS = (admin_list_users, admin_get_user, admin_update_user, admin_delete_user)
