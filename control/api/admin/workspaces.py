"""Workspaces, as the platform's admins manage them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from control.api.client.workspaces import Member, Status, Workspace, member_of, workspace_of
from control.api.shapes import Body, Name, PortalPageQuery, Shape, given
from control.db import agents, call_totals, config, members, workspaces
from control.db.database import Row
from control.http.access import ADMIN_BILLS, ADMIN_OWNS, ADMIN_READS, ADMIN_SUPPORTS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import RESOURCE_NOT_FOUND, VALIDATION_ERROR, role_too_low

MICROS = 1_000_000
_GIVE_TIERS = tuple(role for role in ADMIN_SUPPORTS.roles if role in ADMIN_BILLS.roles)
"""Who may with all else that a workspace has; finance uses change-tier."""

TierName = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,62}$")]
ChosenTier = Annotated[
    str,
    Field(
        max_length=63,
        description="A subscription tier: the `tier_name` of one of GET /admin/config/tiers. "
        "(`standard` and `premium` are none: rate-limit tiers are called so.)",
        examples=["professional"],
    ),
]


class WorkspaceQuery(PortalPageQuery):
    status: Status | None = None
    search: Annotated[str, Field(max_length=255)] | None = None


class AdminWorkspaceChange(Body):
    name: Name | None = None
    status: Status | None = None
    subscription_tier: ChosenTier | None = None


class Suspension(Body):
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class WorkspaceTierChange(Body):
    tier_name: ChosenTier


class AdminListedWorkspace(Shape):
    id: UUID
    name: str
    industry: str | None
    owner_email: str | None
    status: Status
    subscription_tier: str
    created_at: datetime
    total_calls: int
    total_revenue: float = Field(description="What its calls cost it, since the beginning.")


class AdminWorkspace(Workspace):
    customer_id: int = Field(description="What the telephony API calls it.")
    suspended_reason: str | None


class WorkspaceOwner(Shape):
    id: UUID
    email: str
    name: str


class WorkspaceAgent(Shape):
    id: UUID
    name: str
    status: str
    created_at: datetime


class WorkspaceStats(Shape):
    total_calls: int
    total_revenue: float
    active_agents: int


class AdminWorkspaces(Shape):
    workspaces: list[AdminListedWorkspace]
    total: int
    page: int
    limit: int


class OneAdminWorkspace(Shape):
    workspace: AdminWorkspace


class AdminWorkspaceDetail(Shape):
    workspace: AdminWorkspace
    owner: WorkspaceOwner | None
    members: list[Member]
    agents: list[WorkspaceAgent]
    stats: WorkspaceStats


@endpoint("GET", "/admin/workspaces", ADMIN_READS, AdminWorkspaces)
async def admin_list_workspaces(context: Context, query: WorkspaceQuery) -> Answer:
    """List workspaces, the newest first. `search` looks in names and e-mails."""
    found = await workspaces.find(
        context.db,
        context.sight.seen,
        search=query.search,
        statuses=None if query.status is None else [query.status],
        sort="created_at",
        descending=True,
        limit=query.limit,
        offset=query.offset,
    )
    ids = [row["id"] for row in found.rows]
    owners = await members.owners(context.db, ids)
    totals = await call_totals.of_workspaces(context.db, ids)
    return {
        "workspaces": [
            _listed(row, owners.get(row["id"]), totals[row["id"]]) for row in found.rows
        ],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint("GET", "/admin/workspaces/{workspace_id}", ADMIN_READS, AdminWorkspaceDetail)
async def admin_get_workspace(context: Context, workspace_id: UUID) -> Answer:
    """Get a workspace with its people, agents and figures."""
    row = await workspaces.by_id(context.db, workspace_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    owner = (await members.owners(context.db, [workspace_id])).get(row["id"])
    people = await members.of_workspace(context.db, workspace_id)
    found = await agents.find(context.db, workspace_id)
    totals = (await call_totals.of_workspaces(context.db, [workspace_id]))[row["id"]]
    return {
        "workspace": _detail_of(row),
        "owner": None
        if owner is None
        else {name: owner[name] for name in WorkspaceOwner.model_fields},
        "members": [member_of(one) for one in people.rows],
        "agents": [{name: one[name] for name in WorkspaceAgent.model_fields} for one in found],
        "stats": {
            "total_calls": totals["calls"],
            "total_revenue": totals["revenue_micros"] / MICROS,
            "active_agents": sum(one["status"] == "live" for one in found),
        },
    }


@endpoint("PUT", "/admin/workspaces/{workspace_id}", ADMIN_SUPPORTS, OneAdminWorkspace)
async def admin_update_workspace(
    context: Context, workspace_id: UUID, body: AdminWorkspaceChange
) -> Answer:
    """Change a workspace. Its tier is changed by owners only (see change-tier)."""
    fields = {name: value for name, value in given(body).items() if value is not None}
    if "subscription_tier" in fields and context.bearer.role not in ADMIN_BILLS.roles:
        raise Refused(role_too_low(_GIVE_TIERS, context.bearer.role))
    if fields.get("status", "suspended") != "suspended":
        fields["suspended_reason"] = None
    return await _change(context, workspace_id, fields, "workspace.updated", "subscription_tier")


@endpoint("DELETE", "/admin/workspaces/{workspace_id}", ADMIN_OWNS, None)
async def admin_delete_workspace(context: Context, workspace_id: UUID) -> Answer:
    """Delete a workspace. Nobody sees it any more; what its calls cost is kept for the books."""
    row = await workspaces.lock(context.db, workspace_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    for person in await workspaces.delete(context.db, workspace_id):
        await context.write_down(
            "user.deleted", "user", person["id"], workspace_id=workspace_id, before=dict(person)
        )
    await context.write_down(
        "workspace.deleted",
        "workspace",
        workspace_id,
        workspace_id=workspace_id,
        before=_detail_of(row),
    )
    return None


@endpoint("POST", "/admin/workspaces/{workspace_id}/suspend", ADMIN_SUPPORTS, OneAdminWorkspace)
async def suspend_workspace(context: Context, workspace_id: UUID, body: Suspension) -> Answer:
    """Suspend a workspace: its people may read, and change nothing."""
    fields = {"status": "suspended", "suspended_reason": body.reason}
    return await _change(context, workspace_id, fields, "workspace.suspended")


@endpoint("POST", "/admin/workspaces/{workspace_id}/activate", ADMIN_SUPPORTS, OneAdminWorkspace)
async def activate_workspace(context: Context, workspace_id: UUID) -> Answer:
    """Make a workspace active, which was suspended or on trial."""
    fields = {"status": "active", "suspended_reason": None}
    return await _change(context, workspace_id, fields, "workspace.activated")


@endpoint(
    "POST",
    "/admin/workspaces/{workspace_id}/change-tier",
    ADMIN_BILLS,
    OneAdminWorkspace,
)
async def change_tier(context: Context, workspace_id: UUID, body: WorkspaceTierChange) -> Answer:
    """Give a workspace another subscription tier. What it has beyond the new limits stays."""
    fields = {"subscription_tier": body.tier_name}
    return await _change(context, workspace_id, fields, "workspace.tier_changed", "tier_name")


async def _change(
    context: Context,
    workspace_id: UUID,
    fields: Mapping[str, Any],
    action: str,
    tier_field: str = "subscription_tier",
) -> Answer:
    """Change it, and note it.

    :param tier_field: what the request calls the tier, which may be none.
    :raises Refused: there is no such workspace, or no such tier."""
    before = await workspaces.lock(context.db, workspace_id)
    if before is None:
        raise Refused(RESOURCE_NOT_FOUND)
    if "subscription_tier" in fields:  # which is never deleted
        wrong = await no_tier(context, fields["subscription_tier"])
        if wrong:
            raise Refused(VALIDATION_ERROR, details=[Invalid(tier_field, wrong)])
    row = await workspaces.update(context.db, workspace_id, context.now, fields)
    assert row is not None
    await context.write_down(
        action,
        "workspace",
        workspace_id,
        workspace_id=workspace_id,
        before={name: before[name] for name in fields},
        after=fields,
    )
    return {"workspace": _detail_of(row)}


async def no_tier(context: Context, name: str) -> str:
    """What is said of a subscription tier that there is not; empty of one that there is."""
    names = [row["tier_name"] for row in await config.tiers(context.db)]
    return "" if name in names else f"is no subscription tier: there are {', '.join(names)}"


def _listed(row: Row, owner: Row | None, totals: Row) -> dict[str, Any]:
    names = ("id", "name", "industry", "status", "subscription_tier", "created_at")
    return {
        **{name: row[name] for name in names},
        "owner_email": None if owner is None else owner["email"],
        "total_calls": totals["calls"],
        "total_revenue": totals["revenue_micros"] / MICROS,
    }


def _detail_of(row: Row) -> dict[str, Any]:
    return {
        **workspace_of(row),
        "customer_id": row["number"],
        "suspended_reason": row["suspended_reason"],
    }


ENDPOINTS = (
    admin_list_workspaces,
    admin_get_workspace,
    admin_update_workspace,
    admin_delete_workspace,
    suspend_workspace,
    activate_workspace,
    change_tier,
)
