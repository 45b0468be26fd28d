"""Invitations by e-mail into a workspace."""

import re
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
from pydantic import Field

from control.api.client.members import role_now
from control.api.client.workspaces import Role
from control.api.shapes import (
    Body,
    Email,
    Name,
    NewPassword,
    PortalPageQuery,
    Secret,
    Shape,
    example,
)
from control.auth import tokens
from control.auth.rate_limits import Limit
from control.db import accounts, config, invitations, members, users, workspaces
from control.db.database import Row
from control.http.access import MEMBER_ADMINISTERS, PERSON_ADMINISTERS, PUBLIC, may_give
from control.http.context import Actor, Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import (
    CONFLICT,
    DUPLICATE_RESOURCE,
    RESOURCE_NOT_FOUND,
    VALIDATION_ERROR,
    WORKSPACE_SUSPENDED,
    role_above,
    too_often,
)
from control.mail import Mail

BY_ONE_SENDER = Limit(20, 200)
TO_ONE_ADDRESS = Limit(3, 10)
"""From one workspace: nobody's mailbox is filled."""

_LINKS = re.compile(r"(?<=\S)[.:/@]+(?=\S)")
_MAIL = """\
{inviter} invites you to the workspace "{workspace}", as its {role}.

Accept the invitation here, until {until}:
{url}

If you do not know what this is about, do nothing.
"""
_WHO_IS_NEW = " (with `name` and `password` if you have no account yet)"


class NewInvitation(Body):
    email: Email
    role: Literal["admin", "manager", "member"]


class InvitationAcceptance(Body):
    model_config = example(token="TOKEN_OF_THE_MAIL", name="Jane Doe", password="Correct-Horse-7")

    token: Secret
    name: Name | None = Field(None, description="Of somebody who has no account yet.")
    password: NewPassword | None = Field(None, description="Of somebody who has no account yet.")


class Invitation(Shape):
    id: UUID
    email: str
    role: Role
    status: Literal["pending", "expired"]
    created_at: datetime
    expires_at: datetime


class OneInvitation(Shape):
    invitation: Invitation


class Invitations(Shape):
    invitations: list[Invitation]
    total: int
    page: int
    limit: int


class JoinedWorkspace(Shape):
    id: UUID
    name: str


class JoinedPerson(Shape):
    id: UUID
    email: str
    name: str


class AcceptedInvitation(Shape):
    workspace: JoinedWorkspace
    user: JoinedPerson
    role: Role


@endpoint(
    "POST",
    "/workspaces/{workspace_id}/members",
    PERSON_ADMINISTERS,
    OneInvitation,
    status=201,
    refusals=(DUPLICATE_RESOURCE,),
)
async def invite_member(context: Context, workspace_id: UUID, body: NewInvitation) -> Answer:
    """Invite somebody by e-mail. Who was invited before gets a new invitation for the old one.

    People invite, API keys do not."""
    own = await role_now(context, workspace_id, MEMBER_ADMINISTERS)
    if not may_give(own, body.role):
        raise Refused(role_above(own))
    workspace = await workspaces.by_id(context.db, workspace_id)
    if workspace is None:
        raise Refused(RESOURCE_NOT_FOUND)
    if await members.has_email(context.db, workspace_id, body.email):
        raise Refused(DUPLICATE_RESOURCE, details=[Invalid("email", "is a member's already")])
    await _count(context, workspace_id, body.email)
    days = await config.setting(context.db, "invitation_days")
    token = tokens.new_secret()
    row = await invitations.invite(
        context.db,
        workspace_id,
        body.email,
        body.role,
        tokens.digest(token),
        invited_by=context.bearer.person,
        now=context.now,
        expires_at=context.now + timedelta(days=days),
    )
    await context.write_down(
        "member.invited",
        "invitation",
        row["id"],
        workspace_id=workspace_id,
        after={"email": body.email, "role": body.role},
    )
    mail = _mail(context, workspace, row, token)
    context.mail(mail)
    return {"invitation": _invitation_of(row, context.now)}


@endpoint("GET", "/workspaces/{workspace_id}/invitations", MEMBER_ADMINISTERS, Invitations)
async def list_invitations(context: Context, workspace_id: UUID, query: PortalPageQuery) -> Answer:
    """List the invitations that nobody has accepted."""
    found = await invitations.unaccepted(
        context.db, workspace_id, limit=query.limit, offset=query.offset
    )
    return {
        "invitations": [_invitation_of(row, context.now) for row in found.rows],
        "total": found.total,
        "page": query.page,
        "limit": query.limit,
    }


@endpoint(
    "DELETE", "/workspaces/{workspace_id}/invitations/{invitation_id}", PERSON_ADMINISTERS, None
)
async def withdraw_invitation(context: Context, workspace_id: UUID, invitation_id: UUID) -> Answer:
    """Withdraw an invitation. People do so, API keys do not."""
    row = await invitations.withdraw(context.db, workspace_id, invitation_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    await context.write_down(
        "invitation.withdrawn",
        "invitation",
        invitation_id,
        workspace_id=workspace_id,
        before=dict(row),
    )
    return None


@endpoint(
    "POST",
    "/auth/accept-invitation",
    PUBLIC,
    AcceptedInvitation,
    refusals=(WORKSPACE_SUSPENDED, CONFLICT),
    heavy="passwords",
)
async def accept_invitation(context: Context, body: InvitationAcceptance) -> Answer:
    """Accept an invitation, with the token of its e-mail.

    Who has no account yet says his name and a password, and has one afterwards."""
    invitation = await invitations.by_token(context.db, tokens.digest(body.token), context.now)
    if invitation is None:
        details = [Invalid("token", "is no invitation's, or not any more")]
        raise Refused(VALIDATION_ERROR, details=details)
    if invitation["workspace_status"] == "suspended":
        raise Refused(WORKSPACE_SUSPENDED)
    person = await accounts.lock_user_by_email(context.db, invitation["email"])
    if person is None or person["email_verified_at"] is None:
        person = await _made(context, invitation, person, body)
    workspace_id = invitation["workspace_id"]
    await members.join(context.db, workspace_id, person["id"], invitation["role"], context.now)
    await invitations.accept(context.db, invitation["id"], context.now)
    member = await members.one(context.db, workspace_id, person["id"])
    assert member is not None
    await context.write_down(
        "member.joined",
        "member",
        person["id"],
        by=Actor("user", person["id"], person["email"]),
        workspace_id=workspace_id,
        after={"email": person["email"], "role": member["role"]},
    )
    return {
        "workspace": {"id": workspace_id, "name": invitation["workspace_name"]},
        "user": {name: person[name] for name in JoinedPerson.model_fields},
        "role": member["role"],
    }


async def _made(
    context: Context, invitation: Row, unverified: Row | None, body: InvitationAcceptance
) -> Row:
    """The account of somebody who shows by the token that the e-mail is his.

    An account whose e-mail nobody has verified may be somebody else's, who waits for what its
    owner is invited to: it gets a new name and password, and whoever is logged in is not any more.

    :raises Refused: the name or the password is missing."""
    if body.name is None or body.password is None:
        missing = [name for name in ("name", "password") if getattr(body, name) is None]
        details = [Invalid(name, "is required of who has no account yet") for name in missing]
        raise Refused(VALIDATION_ERROR, details=details)
    hashed = await context.plane.passwords.hash(body.password)
    if unverified is not None:
        await tokens.revoke_person(context.db, unverified["id"], context.now)
        return await users.take_over(context.db, unverified["id"], body.name, hashed, context.now)
    try:
        return await accounts.insert_user(
            context.db,
            invitation["email"],
            body.name,
            hashed,
            context.now,
            verified_at=context.now,
        )
    except asyncpg.UniqueViolationError:  # another request, at the same time
        raise Refused(CONFLICT) from None


async def _count(context: Context, workspace_id: UUID, email: str) -> None:
    """:raises Refused: too many invitations."""
    now_s = context.now.timestamp()
    for key, limit in (
        (f"invite:{context.bearer.id}", BY_ONE_SENDER),
        (f"invite:{workspace_id}:{email.lower()}", TO_ONE_ADDRESS),
    ):
        standing = await context.plane.limits.take(key, limit, now_s)
        if not standing.allowed:
            raise too_often(max(standing.reset_at_s - int(now_s), 1))


def _mail(context: Context, workspace: Row, invitation: Row, token: str) -> Mail:
    inviter = context.bearer.name or "Somebody"
    portal = context.plane.portal
    text = _MAIL.format(
        inviter=_plain(inviter),
        workspace=_plain(workspace["name"]),
        role=invitation["role"],
        until=f"{invitation['expires_at']:%d %B %Y, %H:%M} UTC",
        url=portal.link("accept-invitation", token),
    )
    text += portal.note("/auth/accept-invitation", with_token=True, besides=_WHO_IS_NEW)
    return Mail(invitation["email"], "You are invited to a workspace", text)


def _plain(name: str) -> str:
    """A name, of which no mail program makes a link or another line."""
    shown = "".join(one for one in " ".join(name.split()) if one.isprintable())
    return _LINKS.sub(" ", shown)[:100]


def _invitation_of(row: Row, now: datetime) -> dict[str, Any]:
    shown = {name: row[name] for name in Invitation.model_fields if name != "status"}
    return {**shown, "status": "pending" if row["expires_at"] > now else "expired"}


ENDPOINTS = (invite_member, list_invitations, withdraw_invitation, accept_invitation)
