"""The platform's admins. Only an owner manages them, and one owner there always is."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from control.api.admin.auth import AdminRole, AdminSelf
from control.api.shapes import Body, Email, Name, NewPassword, PortalPageQuery, Shape
from control.auth import tokens
from control.db import accounts, admins
from control.db.database import Row
from control.http.access import ADMIN_OWNS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import CONFLICT, DUPLICATE_RESOURCE, RESOURCE_NOT_FOUND

LAST_OWNER = Refusal(
    CONFLICT.status, CONFLICT.code, "This admin is the last active owner; make another one first"
)


class NewAdmin(Body):
    email: Email
    name: Name
    role: AdminRole
    password: NewPassword


class AdminChange(Body):
    name: Name | None = None
    role: AdminRole | None = None
    is_active: bool | None = None
    password: NewPassword | None = None


class ListedAdmin(AdminSelf):
    is_active: bool
    last_login: datetime | None
    created_at: datetime


class OneAdmin(Shape):
    admin: ListedAdmin


class Admins(Shape):
    admins: list[ListedAdmin]
    total: int
    page: int
    limit: int


@endpoint("GET", "/admin/admins", ADMIN_OWNS, Admins)
async def list_admins(context: Context, query: PortalPageQuery) -> Answer:
    """List the admins, those who are active no more too."""
    found = await admins.find(context.db, limit=query.limit, offset=query.offset)
    return {
        "admins": [_admin_of(row) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint(
    "POST",
    "/admin/admins",
    ADMIN_OWNS,
    OneAdmin,
    status=201,
    refusals=(DUPLICATE_RESOURCE,),
    heavy="passwords",
)
async def create_admin(context: Context, body: NewAdmin) -> Answer:
    """Make somebody an admin, who changes the password himself at `/admin/auth/password`."""
    hashed = await context.plane.passwords.hash(body.password)
    try:
        row = await accounts.insert_admin(context.db, body.email, body.name, body.role, hashed)
    except asyncpg.UniqueViolationError:
        details = [Invalid("email", "Email is already registered")]
        raise Refused(DUPLICATE_RESOURCE, details=details) from None
    await context.write_down("admin.created", "admin", row["id"], after=_facts_of(row))
    return {"admin": _admin_of(row)}


@endpoint(
    "PUT",
    "/admin/admins/{admin_id}",
    ADMIN_OWNS,
    OneAdmin,
    refusals=(LAST_OWNER,),
    heavy="passwords",
)
async def update_admin(context: Context, admin_id: UUID, body: AdminChange) -> Answer:
    """Change an admin's name, role or password, or whether he may log in.

    Who may not, or has a new password, is logged out at once."""
    hashed = None if body.password is None else await context.plane.passwords.hash(body.password)
    owners = await admins.lock_active_owners(context.db)  # which waits for no hashing
    before = await accounts.admin(context.db, admin_id)
    if before is None:
        raise Refused(RESOURCE_NOT_FOUND)
    fields = body.model_dump(exclude_none=True, exclude={"password"})
    is_owner = fields.get("role", "owner") == "owner" and fields.get("is_active", True)
    if owners == {admin_id} and not is_owner:
        raise Refused(LAST_OWNER)
    row = await admins.update(context.db, admin_id, fields, hashed)
    assert row is not None
    if hashed is not None or not row["is_active"]:
        await tokens.revoke_admin(context.db, admin_id, context.now)
    await context.write_down(
        "admin.updated",
        "admin",
        admin_id,
        before=_facts_of(before),
        after=_facts_of(row),
        password_changed=True if hashed is not None else None,
    )
    return {"admin": _admin_of(row)}


def _admin_of(row: Row) -> dict[str, Any]:
    shown = {name: row[name] for name in ListedAdmin.model_fields if name != "last_login"}
    return {**shown, "last_login": row["last_login_at"]}


def _facts_of(row: Row) -> dict[str, Any]:
    """What the audit log tells."""
    return {name: row[name] for name in ("email", "name", "role", "is_active")}


ENDPOINTS = (list_admins, create_admin, update_admin)
