"""Extensions: the numbers that people dial inside a customer."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg
from pydantic import Field

from control.api.sapien.tenancy import (
    CHANGE_REFUSALS,
    MANAGERS,
    customer_named,
    may_change,
    wrong,
)
from control.api.sapien.user_shapes import Extension
from control.api.shapes import Body, Id, Meta, Name, PageQuery, Phone, Shape, example, given
from control.db import customer_users, extensions
from control.db.database import Row
from control.http.access import OAUTH_ADMINISTERS, OAUTH_READS, OAUTH_WRITES
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import DUPLICATE_RESOURCE, RESOURCE_NOT_FOUND

Type = Literal["user", "queue", "ivr", "parking"]
Status = Literal["active", "inactive"]


class NewExtension(Body):
    model_config = example(customer_id=1, extension="101", name="Reception", type="user")

    customer_id: Id
    extension: Extension
    name: Name
    type: Type = "user"
    user_id: Id | None = Field(None, description="Whose it is, of type `user`.")
    status: Status = "active"
    caller_id: Phone | None = None
    voicemail_enabled: bool = False
    recording_enabled: bool = False


class ExtensionChange(Body):
    extension: Extension | None = None
    name: Name | None = None
    type: Type | None = None
    user_id: Id | None = Field(None, description="null takes it away from the user.")
    status: Status | None = None
    caller_id: Phone | None = None
    voicemail_enabled: bool | None = None
    recording_enabled: bool | None = None


class ExtensionQuery(PageQuery):
    customer_id: Id | None = None
    status: Status | None = None
    type: Type | None = None


class ExtensionData(Shape):
    id: int
    extension: str
    name: str
    type: Type
    customer_id: int
    user_id: int | None
    status: Status
    caller_id: str | None
    voicemail_enabled: bool
    recording_enabled: bool
    created_at: datetime


class Extensions(Shape):
    data: list[ExtensionData]
    meta: Meta


class OneExtension(Shape):
    data: ExtensionData


@endpoint("GET", "/api/v1/extensions", OAUTH_READS, Extensions)
async def list_extensions(context: Context, query: ExtensionQuery) -> Answer:
    """List extensions."""
    found = await extensions.find(
        context.db,
        context.sight.seen,
        customer=query.customer_id,
        status=query.status,
        kind=query.type,
        limit=query.limit,
        offset=query.offset,
    )
    return {"data": [extension_of(row) for row in found.rows], "meta": query.meta(found.total)}


@endpoint("GET", "/api/v1/extensions/{extension_id}", OAUTH_READS, OneExtension)
async def get_extension(context: Context, extension_id: Id) -> Answer:
    """Get an extension."""
    return {"data": extension_of(await _extension(context, extension_id))}


@endpoint(
    "POST",
    "/api/v1/extensions",
    OAUTH_WRITES,
    OneExtension,
    status=201,
    refusals=(*CHANGE_REFUSALS, DUPLICATE_RESOURCE),
)
async def create_extension(context: Context, body: NewExtension) -> Answer:
    """Create an extension."""
    customer = await customer_named(context, body.customer_id)
    workspace_id = customer["id"]
    may_change(context, workspace_id, customer["status"], MANAGERS)
    user_id = None
    if body.user_id is not None:
        user_id = await _user(context, workspace_id, body.user_id, body.type)
    fields = {**body.model_dump(), "user_id": user_id}
    try:
        made = await extensions.insert(context.db, workspace_id, fields, context.now)
    except asyncpg.UniqueViolationError:
        raise _taken() from None
    except asyncpg.ForeignKeyViolationError:  # he has left since
        raise _no_such_user() from None
    shown = extension_of(await _extension(context, made))
    await context.write_down(
        "extension.created", "extension", made, workspace_id=workspace_id, after=shown
    )
    return {"data": shown}


@endpoint(
    "PUT",
    "/api/v1/extensions/{extension_id}",
    OAUTH_WRITES,
    OneExtension,
    refusals=(*CHANGE_REFUSALS, DUPLICATE_RESOURCE),
)
async def update_extension(context: Context, extension_id: Id, body: ExtensionChange) -> Answer:
    """Change an extension: the fields that are given.

    One that becomes another type than `user` is nobody's any more."""
    await extensions.lock(context.db, extension_id)
    row = await _extension(context, extension_id)
    workspace_id = row["workspace_id"]
    may_change(context, workspace_id, row["workspace_status"], MANAGERS)
    fields = _changed(row, given(body))
    if body.user_id is not None:
        fields["user_id"] = await _user(context, workspace_id, body.user_id, fields["type"])
    try:
        await extensions.update(context.db, workspace_id, extension_id, fields, context.now)
    except asyncpg.UniqueViolationError:
        raise _taken() from None
    except asyncpg.ForeignKeyViolationError:  # he has left since
        raise _no_such_user() from None
    shown = extension_of(await _extension(context, extension_id))
    await context.write_down(
        "extension.updated",
        "extension",
        extension_id,
        workspace_id=workspace_id,
        before=extension_of(row),
        after=shown,
    )
    return {"data": shown}


@endpoint(
    "DELETE",
    "/api/v1/extensions/{extension_id}",
    OAUTH_ADMINISTERS,
    None,
    refusals=CHANGE_REFUSALS,
)
async def delete_extension(context: Context, extension_id: Id) -> Answer:
    """Delete an extension."""
    row = await _extension(context, extension_id)
    workspace_id = row["workspace_id"]
    may_change(context, workspace_id, row["workspace_status"], MANAGERS)
    await extensions.delete(context.db, workspace_id, extension_id)
    await context.write_down(
        "extension.deleted",
        "extension",
        extension_id,
        workspace_id=workspace_id,
        before=extension_of(row),
    )
    return None


async def _extension(context: Context, extension_id: int) -> Row:
    row = await extensions.by_id(context.db, context.sight.seen, extension_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _user(context: Context, workspace_id: UUID, number: int, kind: str) -> UUID:
    """The person whom a body's ``user_id`` names.

    :raises Refused: he is none of this customer's, or the extension is no user's."""
    if kind != "user":
        raise wrong("user_id", "Only an extension of type user is somebody's")
    person = await customer_users.person_of(context.db, workspace_id, number)
    if person is None:
        raise _no_such_user()
    return person


def _changed(row: Row, changes: dict[str, Any]) -> dict[str, Any]:
    """The row with what changes. A field that must have a value is not taken away by null."""
    fields = {name: row[name] for name in extensions.FIELDS}
    may_be_null = ("user_id", "caller_id")
    for name, value in changes.items():
        if value is not None or name in may_be_null:
            fields[name] = value
    if fields["type"] != "user":
        fields["user_id"] = None
    return fields


def _no_such_user() -> Refused:
    return wrong("user_id", "The customer has no such user")


def _taken() -> Refused:
    field = Invalid("extension", "The customer has this extension already")
    return Refused(DUPLICATE_RESOURCE, details=[field])


def extension_of(row: Row) -> dict[str, Any]:
    """As answers show it."""
    same = ("id", "extension", "name", "type", "customer_id", "status", "caller_id")
    more = ("voicemail_enabled", "recording_enabled", "created_at")
    return {**{name: row[name] for name in same + more}, "user_id": row["user_number"]}


ENDPOINTS = (list_extensions, get_extension, create_extension, update_extension, delete_extension)
