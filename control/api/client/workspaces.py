"""A person's workspaces."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import Field

from control.api.shapes import Body, Name, Shape, Timezone, filled, given
from control.db import members, tier_limits, users, workspaces
from control.db.database import Row, also_see
from control.http.access import MEMBER_ADMINISTERS, MEMBER_OWNS, MEMBER_READS, PERSON
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import RESOURCE_NOT_FOUND, WORKSPACE_SUSPENDED, limit_reached

MOST_OWNED = 100
"""Workspaces of one person."""

TOO_MANY_WORKSPACES = limit_reached(
    "workspaces",
    f"one person owns at most {MOST_OWNED}",
    "no tier has more, but one that is deleted makes room",
)
OWNS_SUSPENDED = Refusal(
    WORKSPACE_SUSPENDED.status,
    WORKSPACE_SUSPENDED.code,
    "A workspace that you own is suspended: you can make another one when it is not any more",
)

Industry = Annotated[str, Field(min_length=1, max_length=100)]
Status = Literal["active", "trial", "suspended"]
Role = Literal["owner", "admin", "manager", "member"]


class NewWorkspace(Body):
    name: Name
    industry: Industry | None = None
    timezone: Timezone | None = "UTC"


class WorkspaceChange(Body):
    name: Name | None = None
    timezone: Timezone | None = None


class MyWorkspace(Shape):
    id: UUID
    name: str
    industry: str | None
    role: Role
    status: Status
    subscription_tier: str


class Workspace(Shape):
    id: UUID
    name: str
    industry: str | None
    email: str | None
    phone: str | None
    timezone: str
    language: str
    status: Status
    subscription_tier: str
    created_at: datetime
    updated_at: datetime


class Member(Shape):
    id: UUID
    email: str
    name: str
    role: Role
    joined_at: datetime


class WorkspaceUsage(Shape):
    agents: int
    minutes: float = Field(description="Of calls that ended, this calendar month (UTC).")
    calls: int = Field(description="This calendar month (UTC).")
    concurrent_calls: int


class WorkspaceLimits(Shape):
    """null: none."""

    agents: int | None
    minutes: int | None
    concurrent_calls: int | None


class Subscription(Shape):
    tier: str
    usage: WorkspaceUsage
    limits: WorkspaceLimits


class MyWorkspaces(Shape):
    workspaces: list[MyWorkspace]


class OneWorkspace(Shape):
    workspace: Workspace


class WorkspaceDetail(Shape):
    workspace: Workspace
    members: list[Member]
    subscription: Subscription


@endpoint("GET", "/workspaces", PERSON, MyWorkspaces)
async def list_workspaces(context: Context) -> Answer:
    """List the workspaces you belong to."""
    roles = context.bearer.roles
    rows = await workspaces.by_ids(context.db, roles)
    names = [name for name in MyWorkspace.model_fields if name != "role"]
    shown = [{**{name: row[name] for name in names}, "role": roles[row["id"]]} for row in rows]
    return {"workspaces": shown}


@endpoint(
    "POST",
    "/workspaces",
    PERSON,
    OneWorkspace,
    status=201,
    refusals=(TOO_MANY_WORKSPACES, OWNS_SUSPENDED),
)
async def create_workspace(context: Context, body: NewWorkspace) -> Answer:
    """Create a workspace, which you own. Who owns a suspended one makes no other."""
    person = context.bearer
    await users.lock(context.db, person.id)  # whose workspaces are counted
    owned = await workspaces.owned_by(context.db, person.id)
    if len(owned) >= MOST_OWNED:
        raise Refused(TOO_MANY_WORKSPACES)
    if any(one["status"] == "suspended" for one in owned):
        raise Refused(OWNS_SUSPENDED)
    fields = {**filled(body), "email": person.email}
    workspace_id = uuid4()
    await also_see(context.db, workspace_id)
    row = await workspaces.insert(context.db, workspace_id, context.now, fields)
    await members.join(context.db, workspace_id, person.id, "owner", context.now)
    await context.write_down(
        "workspace.created", "workspace", workspace_id, workspace_id=workspace_id, after=fields
    )
    return {"workspace": workspace_of(row)}


@endpoint("GET", "/workspaces/{workspace_id}", MEMBER_READS, WorkspaceDetail)
async def get_workspace(context: Context, workspace_id: UUID) -> Answer:
    """Get a workspace with its members and what it uses."""
    row = await _workspace(context, workspace_id)
    people = await members.of_workspace(context.db, workspace_id)
    return {
        "workspace": workspace_of(row),
        "members": [member_of(one) for one in people.rows],
        "subscription": await _subscription(context, workspace_id),
    }


@endpoint("PUT", "/workspaces/{workspace_id}", MEMBER_ADMINISTERS, OneWorkspace)
async def update_workspace(context: Context, workspace_id: UUID, body: WorkspaceChange) -> Answer:
    """Change a workspace's name or time zone."""
    before = await _workspace(context, workspace_id)
    fields = {name: value for name, value in given(body).items() if value is not None}
    row = await workspaces.update(context.db, workspace_id, context.now, fields)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    await context.write_down(
        "workspace.updated",
        "workspace",
        workspace_id,
        workspace_id=workspace_id,
        before={name: before[name] for name in fields},
        after=fields,
    )
    return {"workspace": workspace_of(row)}


@endpoint("DELETE", "/workspaces/{workspace_id}", MEMBER_OWNS, None)
async def delete_workspace(context: Context, workspace_id: UUID) -> Answer:
    """Delete a workspace. Only an owner may."""
    row = await _workspace(context, workspace_id)
    for person in await workspaces.delete(context.db, workspace_id):
        await context.write_down(
            "user.deleted", "user", person["id"], workspace_id=workspace_id, before=dict(person)
        )
    await context.write_down(
        "workspace.deleted",
        "workspace",
        workspace_id,
        workspace_id=workspace_id,
        before=workspace_of(row),
    )
    return None


def workspace_of(row: Row) -> dict[str, Any]:
    """A row as ``Workspace``."""
    return {name: row[name] for name in Workspace.model_fields}


def member_of(row: Row) -> dict[str, Any]:
    """A row of ``members`` as ``Member``."""
    return {name: row[name] for name in Member.model_fields}


async def _workspace(context: Context, workspace_id: UUID) -> Row:
    row = await workspaces.by_id(context.db, workspace_id)
    if row is None:  # deleted since the token was looked up
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _subscription(context: Context, workspace_id: UUID) -> dict[str, Any]:
    tier = await tier_limits.limits(context.db, workspace_id)
    if tier is None:
        raise Refused(RESOURCE_NOT_FOUND)
    used = await tier_limits.usage(context.db, workspace_id, context.now)
    return {
        "tier": tier["tier_name"],
        "usage": {
            "agents": used.agents,
            "minutes": round(used.duration_ms / 60_000, 2),
            "calls": used.calls,
            "concurrent_calls": used.live_calls,
        },
        "limits": {
            "agents": tier["max_agents"],
            "minutes": tier["max_minutes"],
            "concurrent_calls": tier["max_concurrent_calls"],
        },
    }


ENDPOINTS = (
    list_workspaces,
    create_workspace,
    get_workspace,
    update_workspace,
    delete_workspace,
)
