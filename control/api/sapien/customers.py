"""Customers, which are workspaces."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import Field

from control.api.sapien.tenancy import (
    ADMINS,
    CHANGE_REFUSALS,
    OWNERS,
    is_platform,
    may_change,
)
from control.api.shapes import (
    Body,
    Email,
    Id,
    Language,
    Meta,
    Name,
    Order,
    PageQuery,
    Phone,
    Shape,
    Text,
    Timezone,
    example,
    given,
)
from control.db import workspaces
from control.db.database import Row, also_see
from control.http.access import OAUTH_ADMINISTERS, OAUTH_READS, OAUTH_WRITES
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import denied

PLATFORM_ONLY = denied("Only an OAuth client of the platform's, for itself, may do this")
CUSTOMER_NOT_FOUND = Refusal(404, "CUSTOMER_NOT_FOUND", "There is no such customer")

Status = Literal["active", "inactive"]
_STATUSES: dict[str, list[str]] = {"active": ["active", "trial"], "inactive": ["suspended"]}


class Address(Body):
    line1: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    postcode: Annotated[str, Field(max_length=20)] | None = None
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None


class Settings(Body):
    timezone: Timezone | None = None
    language: Language | None = None


class NewCustomer(Body):
    model_config = example(
        name="Acme Dental",
        email="office@example.com",
        phone="+442071234567",
        settings={"timezone": "Europe/London", "language": "en"},
    )

    name: Name
    email: Email
    phone: Phone | None = None
    address: Address | None = None
    settings: Settings | None = None


class CustomerChange(Body):
    name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None
    settings: Settings | None = None
    status: Status | None = None


class CustomerQuery(PageQuery):
    search: Annotated[str, Field(max_length=255)] | None = None
    status: Status | None = None
    sort: Literal["name", "email", "created_at", "updated_at", "id", "status"] = "name"
    order: Order = "asc"


class Created(Shape):
    id: int
    uuid: UUID
    name: str
    email: str | None
    status: Status
    created_at: datetime


class Customer(Created):
    phone: str | None
    updated_at: datetime


class CustomerAddress(Shape):
    line1: str | None
    line2: str | None
    city: str | None
    postcode: str | None
    country: str | None


class CustomerSettings(Shape):
    timezone: str
    language: str


class CustomerDetail(Customer):
    address: CustomerAddress
    settings: CustomerSettings


class Customers(Shape):
    data: list[Customer]
    meta: Meta


class OneCustomer(Shape):
    data: CustomerDetail


class CreatedCustomer(Shape):
    data: Created


@endpoint("GET", "/api/v1/customers", OAUTH_READS, Customers)
async def list_customers(context: Context, query: CustomerQuery) -> Answer:
    """List customers."""
    found = await workspaces.find(
        context.db,
        context.sight.seen,
        search=query.search,
        statuses=None if query.status is None else _STATUSES[query.status],
        sort=query.sort,
        descending=query.order == "desc",
        limit=query.limit,
        offset=query.offset,
    )
    return {"data": [customer_of(row) for row in found.rows], "meta": query.meta(found.total)}


@endpoint(
    "GET",
    "/api/v1/customers/{customer_id}",
    OAUTH_READS,
    OneCustomer,
    refusals=(CUSTOMER_NOT_FOUND,),
)
async def get_customer(context: Context, customer_id: Id) -> Answer:
    """Get a customer."""
    return {"data": _detail_of(await customer(context, customer_id))}


@endpoint("POST", "/api/v1/customers", OAUTH_WRITES, CreatedCustomer, status=201)
async def create_customer(context: Context, body: NewCustomer) -> Answer:
    """Create a customer. Only the platform's own clients may."""
    bearer = context.bearer
    if bearer.client_workspace is not None or bearer.person is not None:
        raise Refused(PLATFORM_ONLY)
    fields = _fields_of(given(body))
    workspace_id = uuid4()
    await also_see(context.db, workspace_id)
    row = await workspaces.insert(context.db, workspace_id, context.now, fields)
    await context.write_down(
        "workspace.created", "workspace", row["id"], workspace_id=row["id"], after=fields
    )
    shown = customer_of(row)
    return {"data": {name: shown[name] for name in Created.model_fields}}


@endpoint(
    "PUT",
    "/api/v1/customers/{customer_id}",
    OAUTH_WRITES,
    OneCustomer,
    refusals=(CUSTOMER_NOT_FOUND, *CHANGE_REFUSALS),
)
async def update_customer(context: Context, customer_id: Id, body: CustomerChange) -> Answer:
    """Change a customer: the fields that are given.

    Of `address` and `settings`, too, what is not given stays; null takes a part of the address
    away. `status` is changed by the platform's own clients only."""
    found = await customer(context, customer_id)
    before = await workspaces.lock(context.db, found["id"])
    if before is None:
        raise _not_found(customer_id)
    may_change(context, before["id"], before["status"], ADMINS)
    fields = _changes(before, _fields_of(given(body)))
    if "status" in fields and not is_platform(context.bearer):
        raise Refused(PLATFORM_ONLY)
    row = await workspaces.update(context.db, before["id"], context.now, fields)
    assert row is not None
    await context.write_down(
        "workspace.updated",
        "workspace",
        row["id"],
        workspace_id=row["id"],
        before={name: before[name] for name in fields},
        after=fields,
    )
    return {"data": _detail_of(row)}


@endpoint(
    "DELETE",
    "/api/v1/customers/{customer_id}",
    OAUTH_ADMINISTERS,
    None,
    refusals=(CUSTOMER_NOT_FOUND, *CHANGE_REFUSALS),
)
async def delete_customer(context: Context, customer_id: Id) -> Answer:
    """Delete a customer, and the users whom it has made and who are in no other."""
    row = await customer(context, customer_id)
    may_change(context, row["id"], row["status"], OWNERS)
    for person in await workspaces.delete(context.db, row["id"]):
        await context.write_down(
            "user.deleted", "user", person["id"], workspace_id=row["id"], before=dict(person)
        )
    await context.write_down(
        "workspace.deleted", "workspace", row["id"], workspace_id=row["id"], before=customer_of(row)
    )
    return None


async def customer(context: Context, number: int) -> Row:
    """:raises Refused: there is no such customer, or he is none of the caller's."""
    row = await workspaces.by_number(context.db, context.sight.seen, number)
    if row is None:
        raise _not_found(number)
    return row


def _not_found(number: int) -> Refused:
    message = f"Customer with ID {number} not found"
    return Refused(Refusal(CUSTOMER_NOT_FOUND.status, CUSTOMER_NOT_FOUND.code, message))


def customer_of(row: Row) -> dict[str, Any]:
    """As lists show him."""
    return {
        "id": row["number"],
        "uuid": row["id"],
        "name": row["name"],
        "email": row["email"],
        "phone": row["phone"],
        "status": _status_of(row),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _detail_of(row: Row) -> dict[str, Any]:
    address = {name: row["address"].get(name) for name in CustomerAddress.model_fields}
    settings = {name: row[name] for name in CustomerSettings.model_fields}
    return {**customer_of(row), "address": address, "settings": settings}


def _status_of(row: Row) -> Status:
    return "inactive" if row["status"] == "suspended" else "active"


def _fields_of(fields: dict[str, Any]) -> dict[str, Any]:
    """As the table has them, but for the status. A field that must have a value is not taken away
    by null."""
    settings = fields.pop("settings", None) or {}
    kept = {**fields, **settings}
    must = ("name", "email", "status", "timezone", "language")
    return {name: value for name, value in kept.items() if value is not None or name not in must}


def _changes(row: Row, fields: dict[str, Any]) -> dict[str, Any]:
    """What the fields make of the row. A status that is shown already stays what it is, as that of
    a trial, and why it was suspended."""
    changes = dict(fields)
    if fields.get("address") is not None:
        changes["address"] = {**row["address"], **fields["address"]}
    status = changes.pop("status", _status_of(row))
    if status != _status_of(row):
        changes["status"] = "suspended" if status == "inactive" else status
        changes["suspended_reason"] = None
    return changes


ENDPOINTS = (list_customers, get_customer, create_customer, update_customer, delete_customer)
