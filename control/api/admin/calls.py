"""Calls of all workspaces."""

from uuid import UUID

from pydantic import Field

from control.api.call_shapes import (
    AgentName,
    CallDetail,
    CallEntry,
    CallQuery,
    LiveCall,
    call_of,
    detail_of,
    entry_of,
    live_of,
)
from control.api.client.calls import page_of
from control.api.shapes import Shape
from control.db import calls
from control.http.access import ADMIN_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint


class AdminCallQuery(CallQuery):
    workspace_id: UUID | None = None


class AdminCallEntry(CallEntry):
    workspace_name: str


class AdminCalls(Shape):
    calls: list[AdminCallEntry]
    total: int
    page: int
    limit: int
    next_cursor: str | None = Field(description="null: there are no more.")


class AdminLiveCall(LiveCall):
    workspace_name: str


class AdminLiveCalls(Shape):
    active_calls: list[AdminLiveCall]


class WorkspaceName(Shape):
    id: UUID
    name: str


class AdminOneCall(Shape):
    call: CallDetail
    workspace: WorkspaceName
    agent: AgentName


@endpoint("GET", "/admin/calls", ADMIN_READS, AdminCalls)
async def admin_list_calls(context: Context, query: AdminCallQuery) -> Answer:
    """List calls, the latest first."""
    wanted = calls.Wanted(
        workspace_id=query.workspace_id,
        status=query.status,
        is_test=query.is_test,
        since=query.since,
        until=query.until,
    )
    page, following = await page_of(context, wanted, query)
    return {
        "calls": [{**entry_of(row), "workspace_name": row["workspace_name"]} for row in page],
        "total": await calls.count(context.db, wanted),
        "page": query.page,
        "limit": query.limit,
        "next_cursor": following,
    }


@endpoint("GET", "/admin/calls/live", ADMIN_READS, AdminLiveCalls)
async def admin_list_live_calls(context: Context) -> Answer:
    """List the calls that go on."""
    rows = await calls.live(context.db)
    return {
        "active_calls": [
            {**live_of(row, context.now), "workspace_name": row["workspace_name"]} for row in rows
        ]
    }


@endpoint("GET", "/admin/calls/{call_id}", ADMIN_READS, AdminOneCall)
async def admin_get_call(context: Context, call_id: UUID) -> Answer:
    """Get a call."""
    row = await call_of(context, call_id)
    return {
        "call": detail_of(row),
        "workspace": {"id": row["workspace_id"], "name": row["workspace_name"]},
        "agent": {"id": row["agent_id"], "name": row["agent_name"]},
    }


ENDPOINTS = (admin_list_calls, admin_list_live_calls, admin_get_call)
