"""What was done on the platform, and by whom."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, JsonValue

from control.api.cursors import Cursor, Time, cursor_of
from control.api.shapes import PortalPageQuery, Shape
from control.db import audit
from control.db.database import Row
from control.http.access import ADMIN_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint


class ActivityQuery(PortalPageQuery):
    admin_id: UUID | None = None
    action: Annotated[str, Field(max_length=100)] | None = None
    since: Time | None = Field(None, alias="from", description="From this time on.")
    until: Time | None = Field(None, alias="to", description="Before this time.")
    cursor: Cursor | None = Field(
        None, description="The `next_cursor` of the page before; `page` counts no more then."
    )


class ActivityEntry(Shape):
    id: int
    admin_email: str | None = Field(description="Whose doing it was, where he has an e-mail.")
    action: str
    resource_type: str
    resource_id: str
    details: dict[str, JsonValue] = Field(
        description="`before` and `after`, the `actor`, and from where (`remote`)."
    )
    timestamp: datetime


class Activity(Shape):
    logs: list[ActivityEntry]
    total: int
    page: int
    next_cursor: str | None = Field(description="null: there are no more.")


@endpoint("GET", "/admin/logs/activity", ADMIN_READS, Activity)
async def list_activity(context: Context, query: ActivityQuery) -> Answer:
    """List what was done, the latest first."""
    wanted = audit.Wanted(query.admin_id, query.action, query.since, query.until)
    rows = await audit.find(
        context.db,
        wanted,
        after=query.cursor,
        limit=query.limit + 1,  # one more tells whether there are more
        offset=0 if query.cursor else query.offset,
    )
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    return {
        "logs": [_entry(row) for row in shown],
        "total": await audit.count(context.db, wanted),
        "page": query.page,
        "next_cursor": cursor_of(shown[-1]["at"], shown[-1]["id"]) if more else None,
    }


def _entry(row: Row) -> dict[str, Any]:
    actor = {"kind": row["actor_kind"], "id": row["actor_id"]}
    place = {"remote": row["remote"], "request_id": row["request_id"]}
    return {
        "id": row["id"],
        "admin_email": row["actor_email"],
        "action": row["action"],
        "resource_type": row["resource_type"],
        "resource_id": row["resource_id"],
        "details": {**row["details"], "actor": actor, **place, "workspace_id": row["workspace_id"]},
        "timestamp": row["at"],
    }


ENDPOINTS = (list_activity,)
