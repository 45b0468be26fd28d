"""Who belongs to a workspace.

People say who does, keys do not: a stolen key must not leave anybody behind when it is revoked.
"""

from uuid import UUID

from control.api.client.workspaces import Member, Role, member_of
from control.api.lost_keys import take_back
from control.api.shapes import Body, PortalPageQuery, Shape
from control.db import customer_users, members, workspaces
from control.db.database import Row
from control.http.access import (
    MEMBER_ADMINISTERS,
    MEMBER_READS,
    MEMBER_ROLES,
    PERSON_ADMINISTERS,
    PERSON_LEAVES,
    Access,
    may_give,
)
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import (
    CONFLICT,
    PEOPLE_ONLY,
    RESOURCE_NOT_FOUND,
    role_above,
    role_too_low,
)

LAST_OWNER = Refusal(CONFLICT.status, CONFLICT.code, "A workspace needs an owner who stays")


class RoleChange(Body):
    role: Role


class Members(Shape):
    members: list[Member]
    total: int
    page: int
    limit: int


class OneMember(Shape):
    member: Member


@endpoint("GET", "/workspaces/{workspace_id}/members", MEMBER_READS, Members)
async def list_members(context: Context, workspace_id: UUID, query: PortalPageQuery) -> Answer:
    """List a workspace's members, those who joined first before the others."""
    found = await members.of_workspace(
        context.db, workspace_id, limit=query.limit, offset=query.offset
    )
    return {
        "members": [member_of(row) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint(
    "PUT",
    "/workspaces/{workspace_id}/members/{user_id}",
    PERSON_ADMINISTERS,
    OneMember,
    refusals=(LAST_OWNER,),
)
async def update_member(
    context: Context, workspace_id: UUID, user_id: UUID, body: RoleChange
) -> Answer:
    """Change a member's role. Nobody gives or takes a role above his own, and no API key does.

    What he has made or was shown and that may do more than his new role is taken back: API keys,
    OAuth clients of somebody who is no owner any more, and invitations that wait."""
    own = await role_now(context, workspace_id, MEMBER_ADMINISTERS)
    before = await _member(context, workspace_id, user_id)
    if not may_give(own, before["role"]) or not may_give(own, body.role):
        raise Refused(role_above(own))
    if body.role != "owner":
        await _keep_an_owner(context, workspace_id, before)
    await members.set_role(context.db, workspace_id, user_id, body.role, context.now)
    await context.write_down(
        "member.role_changed",
        "member",
        user_id,
        workspace_id=workspace_id,
        before={"role": before["role"]},
        after={"role": body.role},
    )
    kept = [role for role in MEMBER_ROLES if may_give(body.role, role)]
    await take_back(context, workspace_id, user_id, kept)
    return {"member": {**member_of(before), "role": body.role}}


@endpoint(
    "DELETE",
    "/workspaces/{workspace_id}/members/{user_id}",
    PERSON_LEAVES,
    None,
    refusals=(LAST_OWNER,),
)
async def remove_member(context: Context, workspace_id: UUID, user_id: UUID) -> Answer:
    """Remove a member, or leave. Owners and admins remove others, of no role above their own.

    The API keys that he has made, the OAuth clients whose secret he was shown last and the
    invitations that he has sent are revoked. A person whom the workspace has made and who is in no
    other is deleted. API keys remove nobody."""
    leaves = context.bearer.person == user_id
    access = MEMBER_READS if leaves else MEMBER_ADMINISTERS
    own = await role_now(context, workspace_id, access)
    before = await _member(context, workspace_id, user_id)
    if not leaves and not may_give(own, before["role"]):
        raise Refused(role_above(own))
    await _keep_an_owner(context, workspace_id, before)
    await take_back(context, workspace_id, user_id, ())
    if await customer_users.is_managed(context.db, user_id, workspace_id):
        await customer_users.delete_person(context.db, user_id)
    else:
        await members.remove(context.db, workspace_id, user_id)
    await context.write_down(
        "member.left" if leaves else "member.removed",
        "member",
        user_id,
        workspace_id=workspace_id,
        before={"email": before["email"], "role": before["role"]},
    )
    return None


async def role_now(context: Context, workspace_id: UUID, access: Access) -> str:
    """The role that the caller has, who may have lost it since he was let in. Until the transaction
    ends nobody else changes the workspace's members, nor what is counted of it.

    :raises Refused: it is a key, or the role is none of these any more."""
    person = context.bearer.person
    if person is None:
        raise Refused(PEOPLE_ONLY)
    await workspaces.lock(context.db, workspace_id)
    role = await members.role(context.db, workspace_id, person)
    if role is None:
        raise Refused(RESOURCE_NOT_FOUND)
    if role not in access.roles:
        raise Refused(role_too_low(access.roles, role))
    return role


async def _member(context: Context, workspace_id: UUID, user_id: UUID) -> Row:
    """:raises Refused: there is no such member."""
    row = await members.one(context.db, workspace_id, user_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _keep_an_owner(context: Context, workspace_id: UUID, leaver: Row) -> None:
    """:raises Refused: he is the last owner."""
    if leaver["role"] != "owner":
        return
    if not await members.has_other_owner(context.db, workspace_id, leaver["id"]):
        raise Refused(LAST_OWNER)


ENDPOINTS = (list_members, update_member, remove_member)
