"""The admin portal's identity."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from control.api import throttle
from control.api.sessions import (
    RefreshRequest,
    Session,
    refreshed,
    session_of,
    wrong_credentials,
)
from control.api.shapes import Body, NewPassword, Password, Shape
from control.auth import tokens
from control.db import accounts
from control.http.access import ADMIN_READS, PUBLIC
from control.http.context import Actor, Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import (
    INVALID_CREDENTIALS,
    INVALID_TOKEN,
    RATE_LIMIT_EXCEEDED,
    VALIDATION_ERROR,
)

_WRONG_PASSWORD = Invalid("current_password", "is wrong")

AdminRole = Literal["owner", "support", "finance", "read-only"]


class AdminLoginRequest(Body):
    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Password


class AdminPasswordChange(Body):
    current_password: Password
    new_password: NewPassword


class AdminSelf(Shape):
    id: UUID
    email: str
    name: str
    role: AdminRole


class AdminLoggedIn(Session):
    admin: AdminSelf


class AdminMe(Shape):
    admin: AdminSelf


@endpoint(
    "POST",
    "/admin/auth/login",
    PUBLIC,
    AdminLoggedIn,
    refusals=(INVALID_CREDENTIALS, RATE_LIMIT_EXCEEDED),
    shows_secret=True,
    heavy="passwords",
)
async def admin_login(context: Context, body: AdminLoginRequest) -> Answer:
    """Log in as an admin."""
    who = _who(body.email)
    await throttle.refuse_if_locked(context, who)
    admin = await accounts.admin_by_email(context.db, body.email)
    kept = None if admin is None else admin["password_hash"]
    right = await context.plane.passwords.matches(body.password, kept)
    right = right and await accounts.lock_admin_as_known(context.db, admin)
    if admin is None or not right:
        await throttle.failed(context, who)
        raise wrong_credentials()
    pair = await tokens.issue(context.db, tokens.Holder(admin_id=admin["id"]), context.now)
    await accounts.admin_logged_in(context.db, admin["id"], context.now)
    actor = Actor("admin", admin["id"], admin["email"])
    await context.write_down(
        "admin.logged_in", "admin", admin["id"], by=actor, email=admin["email"]
    )
    return {
        **session_of(pair),
        "admin": {name: admin[name] for name in AdminSelf.model_fields},
    }


@endpoint(
    "POST", "/admin/auth/refresh", PUBLIC, Session, refusals=(INVALID_TOKEN,), shows_secret=True
)
async def admin_refresh(context: Context, body: RefreshRequest) -> Answer:
    """Swap an admin's refresh token for new tokens.

    It is good once: if it comes again, all that the login brought about ends."""
    return await refreshed(context, body.refresh_token, of_admin=True)


@endpoint("POST", "/admin/auth/logout", ADMIN_READS, None)
async def admin_logout(context: Context) -> Answer:
    """Log out: the token and its refresh token are good no more."""
    assert context.bearer.family is not None
    await tokens.revoke_family(context.db, context.bearer.family, context.now)
    return None


@endpoint("GET", "/admin/auth/me", ADMIN_READS, AdminMe)
async def admin_me(context: Context) -> Answer:
    """Who you are."""
    bearer = context.bearer
    shown: dict[str, Any] = {
        "id": bearer.id,
        "email": bearer.email,
        "name": bearer.name,
        "role": bearer.role,
    }
    return {"admin": shown}


@endpoint(
    "PUT",
    "/admin/auth/password",
    ADMIN_READS,
    None,
    refusals=(RATE_LIMIT_EXCEEDED,),
    heavy="passwords",
)
async def change_admin_password(context: Context, body: AdminPasswordChange) -> Answer:
    """Change one's own password. Every other login of one's own ends."""
    bearer = context.bearer
    who = _who(bearer.email or "")
    await throttle.refuse_if_locked(context, who)
    admin = await accounts.admin(context.db, bearer.id)
    kept = None if admin is None else admin["password_hash"]
    if not await context.plane.passwords.matches(body.current_password, kept):
        await throttle.failed(context, who)
        raise Refused(VALIDATION_ERROR, details=[_WRONG_PASSWORD])
    hashed = await context.plane.passwords.hash(body.new_password)
    if not await accounts.lock_admin_as_known(context.db, admin):  # another one was set meanwhile
        raise Refused(VALIDATION_ERROR, details=[_WRONG_PASSWORD])
    await accounts.set_admin_password(context.db, bearer.id, hashed)
    await tokens.revoke_admin(context.db, bearer.id, context.now, but=bearer.family)
    await context.write_down("admin.password_changed", "admin", bearer.id)
    return None


def _who(email: str) -> str:
    """How failures are counted: apart from a user's who has the same address."""
    return f"admin:{email}"


ENDPOINTS = (admin_login, admin_refresh, admin_logout, admin_me, change_admin_password)
