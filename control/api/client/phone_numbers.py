"""Telephone numbers of a workspace, registered by hand."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from pydantic import Field

from control.api.shapes import Body, Phone, Shape, example, filled, given
from control.db import agents, phone_numbers
from control.db.database import Row
from control.http.access import MEMBER_ADMINISTERS, MEMBER_MANAGES, MEMBER_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import DUPLICATE_RESOURCE, RESOURCE_NOT_FOUND, VALIDATION_ERROR

FriendlyName = Annotated[str, Field(max_length=255)]
Carrier = Literal["twilio", "telnyx"]
_NUMBERS = "/workspaces/{workspace_id}/phone-numbers"
_NUMBER = _NUMBERS + "/{number_id}"


class NewNumber(Body):
    model_config = example(
        phone_number="+442071234567", friendly_name="Main line", carrier="twilio"
    )

    phone_number: Phone
    friendly_name: FriendlyName | None = ""
    carrier: Carrier | None = None
    agent_id: UUID | None = Field(None, description="Who answers it; null for nobody, yet.")


class NumberChange(Body):
    friendly_name: FriendlyName | None = None
    agent_id: UUID | None = Field(None, description="Who answers it; null for nobody.")


class ListedNumber(Shape):
    id: UUID
    phone_number: str
    friendly_name: str
    status: Literal["active", "inactive"]
    agent_name: str | None


class Number(ListedNumber):
    carrier: Carrier | None
    agent_id: UUID | None
    created_at: datetime
    updated_at: datetime


class Numbers(Shape):
    phone_numbers: list[ListedNumber]


class OneNumber(Shape):
    phone_number: Number


@endpoint("GET", _NUMBERS, MEMBER_READS, Numbers)
async def list_phone_numbers(context: Context, workspace_id: UUID) -> Answer:
    """List the workspace's numbers."""
    found = await phone_numbers.find(context.db, workspace_id)
    listed = [{name: row[name] for name in ListedNumber.model_fields} for row in found]
    return {"phone_numbers": listed}


@endpoint(
    "POST", _NUMBERS, MEMBER_ADMINISTERS, OneNumber, status=201, refusals=(DUPLICATE_RESOURCE,)
)
async def create_phone_number(context: Context, workspace_id: UUID, body: NewNumber) -> Answer:
    """Register a number whose calls the carrier sends here. Where the platform approves numbers it
    is `inactive` until then."""
    fields = filled(body)
    approved = not context.plane.settings.numbers_need_approval
    await _check_agent(context, workspace_id, body.agent_id)
    try:
        number_id = await phone_numbers.insert(
            context.db,
            workspace_id,
            context.now,
            **fields,
            status="active" if approved else "inactive",
        )
    except asyncpg.UniqueViolationError:
        details = [Invalid("phone_number", "is registered already")]
        raise Refused(DUPLICATE_RESOURCE, details=details) from None
    except asyncpg.ForeignKeyViolationError:  # it was deleted just now
        raise _no_such_agent() from None
    await context.write_down(
        "phone_number.created",
        "phone_number",
        number_id,
        workspace_id=workspace_id,
        after=fields,
    )
    return {"phone_number": number_of(await _found(context, workspace_id, number_id))}


@endpoint("GET", _NUMBER, MEMBER_READS, OneNumber)
async def get_phone_number(context: Context, workspace_id: UUID, number_id: UUID) -> Answer:
    """Get one of the workspace's numbers."""
    return {"phone_number": number_of(await _found(context, workspace_id, number_id))}


@endpoint("PUT", _NUMBER, MEMBER_MANAGES, OneNumber)
async def update_phone_number(
    context: Context, workspace_id: UUID, number_id: UUID, body: NumberChange
) -> Answer:
    """Change a number's name, or who answers it: the fields that are given."""
    before = await _found(context, workspace_id, number_id)
    fields = given(body)
    if "friendly_name" in fields:
        fields["friendly_name"] = fields["friendly_name"] or ""
    await _check_agent(context, workspace_id, body.agent_id)
    try:
        await phone_numbers.update(context.db, workspace_id, number_id, context.now, fields)
    except asyncpg.ForeignKeyViolationError:  # it was deleted just now
        raise _no_such_agent() from None
    await context.write_down(
        "phone_number.updated",
        "phone_number",
        number_id,
        workspace_id=workspace_id,
        before={name: before[name] for name in fields},
        after=fields,
    )
    return {"phone_number": number_of(await _found(context, workspace_id, number_id))}


@endpoint("DELETE", _NUMBER, MEMBER_ADMINISTERS, None)
async def delete_phone_number(context: Context, workspace_id: UUID, number_id: UUID) -> Answer:
    """Forget a number: its calls are not answered any more."""
    before = await _found(context, workspace_id, number_id)
    await phone_numbers.delete(context.db, workspace_id, number_id)
    await context.write_down(
        "phone_number.deleted",
        "phone_number",
        number_id,
        workspace_id=workspace_id,
        before={"phone_number": before["phone_number"], "agent_id": before["agent_id"]},
    )
    return None


async def _check_agent(context: Context, workspace_id: UUID, agent_id: UUID | None) -> None:
    """:raises Refused: the workspace has no such agent."""
    if agent_id is not None and not await agents.exists(context.db, workspace_id, agent_id):
        raise _no_such_agent()


def _no_such_agent() -> Refused:
    return Refused(VALIDATION_ERROR, details=[Invalid("agent_id", "there is no such agent")])


async def _found(context: Context, workspace_id: UUID, number_id: UUID) -> Row:
    """:raises Refused: the workspace has no such number."""
    row = await phone_numbers.by_id(context.db, workspace_id, number_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


def number_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in Number.model_fields}


ENDPOINTS = (
    list_phone_numbers,
    create_phone_number,
    get_phone_number,
    update_phone_number,
    delete_phone_number,
)
