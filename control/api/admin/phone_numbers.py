"""Telephone numbers of all workspaces. Whoever registers a number first has it, so the platform
says which are real where its workspaces do not know each other: VOICECORE_NUMBERS_NEED_APPROVAL."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from control.api.client.phone_numbers import Carrier
from control.api.shapes import PortalPageQuery, Shape
from control.db import phone_numbers
from control.db.database import Row
from control.http.access import ADMIN_READS, ADMIN_SUPPORTS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refused
from control.http.refusals import RESOURCE_NOT_FOUND

Status = Literal["active", "inactive"]
_NUMBER = "/admin/phone-numbers/{number_id}"


class NumberQuery(PortalPageQuery):
    status: Status | None = None
    workspace_id: UUID | None = None
    search: Annotated[str, Field(max_length=64, description="In numbers.")] | None = None


class AdminNumber(Shape):
    id: UUID
    phone_number: str
    friendly_name: str
    status: Status
    carrier: Carrier | None
    workspace_id: UUID
    workspace_name: str
    created_at: datetime


class AdminNumbers(Shape):
    phone_numbers: list[AdminNumber]
    total: int
    page: int
    limit: int


class OneAdminNumber(Shape):
    phone_number: AdminNumber


@endpoint("GET", "/admin/phone-numbers", ADMIN_READS, AdminNumbers)
async def admin_list_phone_numbers(context: Context, query: NumberQuery) -> Answer:
    """List numbers, the newest first; `status=inactive` are those that wait for approval."""
    found = await phone_numbers.find_all(
        context.db,
        status=query.status,
        workspace_id=query.workspace_id,
        search=query.search,
        limit=query.limit,
        offset=query.offset,
    )
    return {
        "phone_numbers": [_number_of(row) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint("POST", _NUMBER + "/activate", ADMIN_SUPPORTS, OneAdminNumber)
async def admin_activate_phone_number(context: Context, number_id: UUID) -> Answer:
    """Approve a number: its calls are answered."""
    return await _stand(context, number_id, "active")


@endpoint("POST", _NUMBER + "/deactivate", ADMIN_SUPPORTS, OneAdminNumber)
async def admin_deactivate_phone_number(context: Context, number_id: UUID) -> Answer:
    """Have a number's calls rejected. Its workspace keeps it."""
    return await _stand(context, number_id, "inactive")


@endpoint("DELETE", _NUMBER, ADMIN_SUPPORTS, None)
async def admin_delete_phone_number(context: Context, number_id: UUID) -> Answer:
    """Take a number away: another workspace may register it."""
    row = await _found(context, number_id)
    await phone_numbers.delete(context.db, row["workspace_id"], number_id)
    await context.write_down(
        "phone_number.deleted",
        "phone_number",
        number_id,
        workspace_id=row["workspace_id"],
        before={"phone_number": row["phone_number"]},
    )
    return None


async def _stand(context: Context, number_id: UUID, status: Status) -> Answer:
    before = await _found(context, number_id)
    if before["status"] != status:
        await phone_numbers.set_status(context.db, number_id, status, context.now)
        await context.write_down(
            "phone_number.activated" if status == "active" else "phone_number.deactivated",
            "phone_number",
            number_id,
            workspace_id=before["workspace_id"],
            before={"status": before["status"]},
            after={"status": status},
        )
    return {"phone_number": _number_of(await _found(context, number_id))}


async def _found(context: Context, number_id: UUID) -> Row:
    """:raises Refused: there is no such number."""
    row = await phone_numbers.any_by_id(context.db, number_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


def _number_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in AdminNumber.model_fields}


ENDPOINTS = (
    admin_list_phone_numbers,
    admin_activate_phone_number,
    admin_deactivate_phone_number,
    admin_delete_phone_number,
)
