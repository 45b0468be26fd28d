"""Users, who are people in customers: a person in two customers is two users."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from control.api.lost_keys import take_back, take_back_all
from control.api.sapien.known_emails import already_registered, refuse_who_walks
from control.api.sapien.tenancy import (
    ADMINS,
    CHANGE_REFUSALS,
    OWNERS,
    customer_named,
    is_platform,
    may_change,
    no_such_customer,
    wrong,
)
from control.api.sapien.user_rows import (
    detail_of,
    merged,
    name_of,
    person_changes,
    present,
    user_of,
)
from control.api.sapien.user_shapes import (
    CreatedUser,
    CreatedUserData,
    NewUser,
    OneUser,
    UserChange,
    UserQuery,
    Users,
)
from control.api.shapes import Id, given
from control.auth import tokens
from control.db import customer_users, members, users, workspaces
from control.db.database import Row, also_see
from control.http.access import (
    MEMBER_ROLES,
    OAUTH_ADMINISTERS,
    OAUTH_READS,
    OAUTH_WRITES,
    has_scope,
    may_give,
)
from control.http.challenges import scope_too_small
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND, denied

LAST_OWNER = Refusal(CONFLICT.status, CONFLICT.code, "A customer needs an owner who is active")
_HIS_OWN = denied("The user's account is not one that this customer made: only he changes it")
ROLES = {"admin": "admin", "manager": "manager", "user": "member"}
"""What the table calls each; it has owners besides, who are shown as admins."""
_ROLES_SHOWN_AS = {"admin": ["owner", "admin"], "manager": ["manager"], "user": ["member"]}


@endpoint("GET", "/api/v1/users", OAUTH_READS, Users)
async def list_users(context: Context, query: UserQuery) -> Answer:
    """List users."""
    found = await customer_users.find(
        context.db,
        context.sight.seen,
        customer=query.customer_id,
        roles=None if query.role is None else _ROLES_SHOWN_AS[query.role],
        status=query.status,
        limit=query.limit,
        offset=query.offset,
    )
    return {"data": [user_of(row) for row in found.rows], "meta": query.meta(found.total)}


@endpoint("GET", "/api/v1/users/{user_id}", OAUTH_READS, OneUser)
async def get_user(context: Context, user_id: Id) -> Answer:
    """Get a user."""
    return {"data": detail_of(await _user(context, user_id))}


@endpoint(
    "POST",
    "/api/v1/users",
    OAUTH_WRITES,
    CreatedUser,
    status=201,
    refusals=CHANGE_REFUSALS,
    heavy="passwords",
)
async def create_user(context: Context, body: NewUser) -> Answer:
    """Create a user: a new person, who logs in with this e-mail and password.

    A customer's own client, which acts for nobody, needs the scope `admin` to give another role
    than `user`."""
    customer = await customer_named(context, body.customer_id)
    workspace_id = customer["id"]
    may_change(context, workspace_id, customer["status"], ADMINS)
    fields = _fields_of(body)
    fields["settings"] = merged({}, fields.get("settings") or {})
    _may_handle(context, fields["role"])
    await refuse_who_walks(context)
    password_hash = await context.plane.passwords.hash(body.password)
    if await workspaces.lock(context.db, workspace_id) is None:  # deleted meanwhile
        raise no_such_customer()
    try:
        user_id, number = await customer_users.insert(
            context.db, workspace_id, context.now, fields, password_hash=password_hash
        )
    except asyncpg.UniqueViolationError:
        raise await already_registered(context) from None
    if body.extension is not None:
        await _give_extension(context, workspace_id, user_id, body.extension, name_of(fields))
    await context.write_down(
        "user.created", "user", user_id, workspace_id=workspace_id, after=fields
    )
    shown = user_of(await _user(context, number))
    return {"data": {name: shown[name] for name in CreatedUserData.model_fields}}


@endpoint(
    "PUT",
    "/api/v1/users/{user_id}",
    OAUTH_WRITES,
    OneUser,
    refusals=(*CHANGE_REFUSALS, LAST_OWNER),
    heavy="passwords",
)
async def update_user(context: Context, user_id: Id, body: UserChange) -> Answer:
    """Change a user: the fields that are given, of `settings` and its `notifications` too.

    What is the person's own (e-mail, names, password, status) can be changed for those whom the
    customer has made and who are in no other; of everybody else, by himself alone. A customer's
    last active owner stays one, and active. A customer's own client, which acts for nobody, needs
    the scope `admin` to change those of another role than `user`, or to give one.

    Of who may do less, or is not active any more, what he has made or was shown and that does more
    is taken back: API keys, OAuth clients, invitations that wait."""
    row = await _user(context, user_id)
    _may_change(context, row)
    fields = _fields_of(body)
    hashed = None if body.password is None else await context.plane.passwords.hash(body.password)
    row = await _locked(context, row)
    _may_handle(context, row["role"], fields.get("role"))
    changes = person_changes(row, fields)
    if changes or hashed is not None:
        await _change_person(context, row, changes, hashed)
    if fields.get("role") is not None and row["role"] == "owner":
        await _change_owner(context, row, fields)
    settings = fields.get("settings")
    await customer_users.change_member(
        context.db,
        row["workspace_id"],
        row["user_id"],
        context.now,
        role=fields.get("role"),
        settings=None if settings is None else merged(row["settings"], settings),
    )
    if (role := fields.get("role")) is not None:
        kept = [one for one in MEMBER_ROLES if may_give(role, one)]
        await take_back(context, row["workspace_id"], row["user_id"], kept)
    if fields.get("extension", row["extension"]) != row["extension"]:
        name = name_of({**user_of(row), **present(fields)})
        whose = (row["workspace_id"], row["user_id"])
        await _give_extension(context, *whose, fields["extension"], name)
    changed = await _user(context, user_id)
    await context.write_down(
        "user.updated",
        "user",
        row["user_id"],
        workspace_id=row["workspace_id"],
        before=detail_of(row),
        after=detail_of(changed),
        password_changed=body.password is not None,
    )
    return {"data": detail_of(changed)}


@endpoint(
    "DELETE",
    "/api/v1/users/{user_id}",
    OAUTH_ADMINISTERS,
    None,
    refusals=(*CHANGE_REFUSALS, LAST_OWNER),
)
async def delete_user(context: Context, user_id: Id) -> Answer:
    """Delete a user: the person leaves the customer.

    A person whom the customer has made and who is in no other is deleted himself. A customer's
    last active owner stays. What he has made or was shown is taken back: API keys, OAuth clients,
    invitations that wait."""
    row = await _user(context, user_id)
    _may_change(context, row)
    row = await _locked(context, row)
    workspace_id, person = row["workspace_id"], row["user_id"]
    if row["role"] == "owner":
        await _keep_an_owner(context, workspace_id, person)
    await take_back(context, workspace_id, person, ())
    if await customer_users.is_managed(context.db, person, workspace_id):
        await customer_users.delete_person(context.db, person)
    else:
        await customer_users.leave(context.db, workspace_id, person)
    await context.write_down(
        "user.deleted", "user", person, workspace_id=workspace_id, before=user_of(row)
    )
    return None


async def _user(context: Context, number: int) -> Row:
    row = await customer_users.by_number(context.db, context.sight.seen, number)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _locked(context: Context, row: Row) -> Row:
    """The user as he is now. Until the transaction ends, nobody else changes the members of his
    customer, nor of those that he owns.

    :raises Refused: he is gone, or has become somebody whom the caller may not change."""
    if context.bearer.person == row["user_id"]:  # what he does to himself he does in all of them
        for workspace_id in context.bearer.roles:
            await also_see(context.db, workspace_id)
    await users.lock_owned(context.db, row["user_id"], row["workspace_id"])
    now = await _user(context, row["number"])
    _may_change(context, now)
    return now


def _may_change(context: Context, row: Row) -> None:
    """:raises Refused: the caller may not; an owner is changed by owners."""
    roles = OWNERS if row["role"] == "owner" else ADMINS
    may_change(context, row["workspace_id"], row["workspace_status"], roles)


def _may_handle(context: Context, *roles: str | None) -> None:
    """Whoever has the secret of a customer's client makes nobody of himself who may do more than
    it: sets nobody's password, say, who does.

    :raises Refused: one of these roles is more than the client may give."""
    bearer = context.bearer
    if bearer.person is not None or is_platform(bearer) or has_scope(bearer.scopes, "admin"):
        return
    if not {None, ROLES["user"]}.issuperset(roles):
        raise scope_too_small(OAUTH_ADMINISTERS, bearer.scopes)


async def _change_person(
    context: Context, row: Row, changes: Mapping[str, Any], password_hash: str | None
) -> None:
    """:raises Refused: he is not the customer's to change, he is the last who can log in of a
    customer's owners, or the e-mail is another's."""
    bearer, person = context.bearer, row["user_id"]
    if not is_platform(bearer) and bearer.person != person:
        managed = await customer_users.is_managed(context.db, person, row["workspace_id"])
        if not managed:
            raise Refused(_HIS_OWN)
    leaves = changes.get("status", "active") != "active"
    if leaves and row["status"] == "active":
        for workspace in await users.lock_owned(context.db, person):
            await _keep_an_owner(context, workspace["id"], person)
    if "email" in changes:
        await refuse_who_walks(context)
    kept = dict(changes) if password_hash is None else {**changes, "password_hash": password_hash}
    try:
        await customer_users.change_person(context.db, person, kept, context.now)
    except asyncpg.UniqueViolationError:
        raise await already_registered(context) from None
    has_other_email = kept.get("email", row["email"]).lower() != row["email"].lower()
    if has_other_email or {"password_hash", "status"} & set(kept):
        await tokens.revoke_person(context.db, person, context.now)
    if leaves:
        await take_back_all(context, person)


async def _change_owner(context: Context, row: Row, fields: dict[str, Any]) -> None:
    """An owner is shown as an admin: made one, he stays what he is.

    :raises Refused: he is the last."""
    if fields["role"] == "admin":
        fields["role"] = None
    else:
        await _keep_an_owner(context, row["workspace_id"], row["user_id"])


async def _keep_an_owner(context: Context, workspace_id: UUID, leaver: UUID) -> None:
    """:raises Refused: nobody else who can log in owns it."""
    if not await members.has_other_owner(context.db, workspace_id, leaver):
        raise Refused(LAST_OWNER)


async def _give_extension(
    context: Context, workspace_id: UUID, user_id: UUID, extension: str | None, name: str
) -> None:
    """:raises Refused: it is not to be had."""
    taken = wrong("extension", "Extension is in use")
    try:
        given_it = await customer_users.give_extension(
            context.db, workspace_id, user_id, extension, name, context.now
        )
    except asyncpg.UniqueViolationError:
        raise taken from None
    except asyncpg.ForeignKeyViolationError:  # an admin of the platform has just deleted him
        raise Refused(RESOURCE_NOT_FOUND) from None
    if not given_it:
        raise taken


def _fields_of(body: NewUser | UserChange) -> dict[str, Any]:
    """What is to be kept, without the password."""
    fields = given(body)
    fields.pop("password", None)
    if fields.get("role") is not None:
        fields["role"] = ROLES[fields["role"]]
    return fields


ENDPOINTS = (list_users, get_user, create_user, update_user, delete_user)
