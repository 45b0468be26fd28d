"""People in customers: rows of ``members``, each with its person and his extension."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_FROM = """
FROM members
JOIN users ON users.id = members.user_id
JOIN workspaces ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL"""
_HIS_EXTENSION = """
LEFT JOIN LATERAL (
    SELECT extensions.extension FROM extensions
    WHERE extensions.workspace_id = members.workspace_id
      AND extensions.user_id = members.user_id AND extensions.type = 'user'
    ORDER BY extensions.id LIMIT 1
) AS his ON true"""
_SELECT = (
    """
SELECT members.number, members.workspace_id, members.user_id, members.role, members.settings,
       members.joined_at, users.email, users.name, users.first_name, users.last_name,
       users.status, users.last_login_at, workspaces.number AS customer_id,
       workspaces.status AS workspace_status, his.extension"""
    + _FROM
    + _HIS_EXTENSION
)
_WHERE = """
WHERE ($1::bigint IS NULL OR workspaces.number = $1)
  AND ($2::text[] IS NULL OR members.role = ANY ($2))
  AND ($3::text IS NULL OR users.status = $3)
  AND ($4::uuid[] IS NULL OR workspaces.id = ANY ($4))"""
_LIST = _SELECT + _WHERE + " ORDER BY members.number LIMIT $5 OFFSET $6"
_COUNT = "SELECT count(*)" + _FROM + _WHERE
_BY_NUMBER = (
    _SELECT
    + """
WHERE members.number = $1 AND ($2::uuid[] IS NULL OR workspaces.id = ANY ($2))"""
)
_BY_NUMBER_IN = """
SELECT user_id FROM members WHERE workspace_id = $1 AND number = $2"""
_MAKE = "SELECT make_user($1, $2, $3, $4, $5, $6)"
_JOIN = """
INSERT INTO members (workspace_id, user_id, role, settings, joined_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5) RETURNING number"""
_LOCK = "SELECT FROM users WHERE id = $1 FOR UPDATE"
_IS_MANAGED = "SELECT is_managed_by($1, $2)"
_CHANGE_PERSON = """
UPDATE users SET
    email = coalesce($2::jsonb ->> 'email', email),
    email_verified_at = CASE WHEN lower($2::jsonb ->> 'email') <> lower(email)
        THEN NULL ELSE email_verified_at END,
    first_name = coalesce($2::jsonb ->> 'first_name', first_name),
    last_name = coalesce($2::jsonb ->> 'last_name', last_name),
    name = coalesce($2::jsonb ->> 'name', name),
    password_hash = coalesce($2::jsonb ->> 'password_hash', password_hash),
    status = coalesce($2::jsonb ->> 'status', status),
    updated_at = $3
WHERE id = $1"""
_CHANGE_MEMBER = """
UPDATE members SET role = coalesce($3, role), settings = coalesce($4, settings), updated_at = $5
WHERE workspace_id = $1 AND user_id = $2"""
_LEAVE = "DELETE FROM members WHERE workspace_id = $1 AND user_id = $2"
_DELETE_PERSON = "DELETE FROM users WHERE id = $1"
_EXTENSION = """
SELECT id, type, user_id FROM extensions WHERE workspace_id = $1 AND extension = $2 FOR UPDATE"""
_TAKE_AWAY = """
UPDATE extensions SET user_id = NULL, updated_at = $3
WHERE workspace_id = $1 AND user_id = $2 AND type = 'user'"""
_GIVE = "UPDATE extensions SET user_id = $2, updated_at = $3 WHERE id = $1"
_ADD_EXTENSION = """
INSERT INTO extensions (workspace_id, user_id, extension, name, type, created_at, updated_at)
VALUES ($1, $2, $3, $4, 'user', $5, $5)"""


async def find(
    db: Connection,
    seen: Sequence[UUID] | None,
    *,
    customer: int | None,
    roles: Sequence[str] | None,
    status: str | None,
    limit: int,
    offset: int,
) -> Found:
    """A page of them, by number."""
    asked = (customer, roles, status, seen)
    rows = await db.fetch(_LIST, *asked, limit, offset)
    return Found(rows, await db.fetchval(_COUNT, *asked))


async def by_number(db: Connection, seen: Sequence[UUID] | None, number: int) -> Row | None:
    return await db.fetchrow(_BY_NUMBER, number, seen)


async def person_of(db: Connection, workspace_id: UUID, number: int) -> UUID | None:
    """Whose membership of this workspace has the number."""
    found: UUID | None = await db.fetchval(_BY_NUMBER_IN, workspace_id, number)
    return found


async def insert(
    db: Connection,
    workspace_id: UUID,
    now: datetime,
    fields: Mapping[str, Any],
    *,
    password_hash: str,
) -> tuple[UUID, int]:
    """A new person and his membership: his id, and its number.

    :raises asyncpg.UniqueViolationError: the e-mail is known."""
    names = (fields["first_name"], fields["last_name"])
    made = (fields["email"], *names, password_hash, workspace_id, now)
    user_id = await db.fetchval(_MAKE, *made)
    settings = fields.get("settings") or {}
    joined = (workspace_id, user_id, fields["role"], settings, now)
    return user_id, await db.fetchval(_JOIN, *joined)


async def is_managed(db: Connection, user_id: UUID, workspace_id: UUID) -> bool:
    """Whether the workspace made the person, and he is in no other: to the transaction's end, as he
    joins none meanwhile, nor becomes his own owner."""
    await db.execute(_LOCK, user_id)
    return bool(await db.fetchval(_IS_MANAGED, user_id, workspace_id))


async def change_person(
    db: Connection, user_id: UUID, fields: Mapping[str, Any], now: datetime
) -> None:
    """:raises asyncpg.UniqueViolationError: the e-mail is somebody else's."""
    await db.execute(_CHANGE_PERSON, user_id, dict(fields), now)


async def change_member(
    db: Connection,
    workspace_id: UUID,
    user_id: UUID,
    now: datetime,
    *,
    role: str | None,
    settings: Mapping[str, Any] | None,
) -> None:
    await db.execute(_CHANGE_MEMBER, workspace_id, user_id, role, settings, now)


async def leave(db: Connection, workspace_id: UUID, user_id: UUID) -> None:
    await db.execute(_LEAVE, workspace_id, user_id)


async def delete_person(db: Connection, user_id: UUID) -> None:
    """With his memberships."""
    await db.execute(_DELETE_PERSON, user_id)


async def give_extension(
    db: Connection,
    workspace_id: UUID,
    user_id: UUID,
    extension: str | None,
    name: str,
    now: datetime,
) -> bool:
    """Make this the person's only extension, a new one where there is none; None takes it away.
    False: it is somebody else's, or not a user's.

    :raises asyncpg.UniqueViolationError: somebody else has just made it."""
    row = None
    if extension is not None:
        row = await db.fetchrow(_EXTENSION, workspace_id, extension)
        if row is not None and (row["type"] != "user" or row["user_id"] not in (None, user_id)):
            return False
    await db.execute(_TAKE_AWAY, workspace_id, user_id, now)
    if row is not None:
        await db.execute(_GIVE, row["id"], user_id, now)
    elif extension is not None:
        await db.execute(_ADD_EXTENSION, workspace_id, user_id, extension, name, now)
    return True
