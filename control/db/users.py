"""People, as admins manage them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found, contains

_LIST = """
SELECT page.*, (
    SELECT count(*) FROM members JOIN workspaces
      ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL
    WHERE members.user_id = page.id) AS workspaces_count
FROM (
    SELECT id, email, name, created_at, number, count(*) OVER () AS total FROM users
    WHERE $1::text IS NULL OR email ILIKE $1 OR name ILIKE $1
    ORDER BY created_at DESC, number DESC
    LIMIT $2 OFFSET $3
) AS page
ORDER BY page.created_at DESC, page.number DESC"""
_COUNT = """
SELECT count(*) FROM users WHERE $1::text IS NULL OR email ILIKE $1 OR name ILIKE $1"""
_LOCK = "SELECT * FROM users WHERE id = $1 FOR NO KEY UPDATE"
_WORKSPACES = """
SELECT workspaces.id AS workspace_id, workspaces.name AS workspace_name, members.role,
       members.joined_at
FROM members JOIN workspaces
  ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL
WHERE members.user_id = $1
ORDER BY members.joined_at, workspaces.id"""
_LOCK_OWNED = """
SELECT id, name FROM workspaces
WHERE deleted_at IS NULL AND (id = $2 OR id IN (
    SELECT workspace_id FROM members WHERE user_id = $1 AND role = 'owner'))
ORDER BY id
FOR NO KEY UPDATE"""
_UPDATE = """
UPDATE users SET
    name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE name END,
    first_name = CASE WHEN $2 ->> 'name' <> name THEN '' ELSE first_name END,
    last_name = CASE WHEN $2 ->> 'name' <> name THEN '' ELSE last_name END,
    status = CASE WHEN $2 ? 'status' THEN $2 ->> 'status' ELSE status END,
    updated_at = $3
WHERE id = $1
RETURNING *"""
_TAKE_OVER = """
UPDATE users SET name = $2, first_name = CASE WHEN name = $2 THEN first_name ELSE '' END,
                 last_name = CASE WHEN name = $2 THEN last_name ELSE '' END,
                 password_hash = $3, email_verified_at = $4, managed_by = NULL, updated_at = $4
WHERE id = $1
RETURNING *"""
_DELETE = "DELETE FROM users WHERE id = $1"


async def find(db: Connection, *, search: str | None, limit: int, offset: int) -> Found:
    """Those whose e-mail or name has ``search`` in it, the newest first."""
    pattern = None if search is None else contains(search)
    rows = await db.fetch(_LIST, pattern, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT, pattern))


async def lock(db: Connection, user_id: UUID) -> Row | None:
    """One whom nobody else changes until the transaction ends."""
    return await db.fetchrow(_LOCK, user_id)


async def workspaces_of(db: Connection, user_id: UUID) -> Sequence[Row]:
    """``workspace_id``, ``workspace_name``, ``role``, ``joined_at``."""
    return await db.fetch(_WORKSPACES, user_id)


async def lock_owned(db: Connection, user_id: UUID, also: UUID | None = None) -> Sequence[Row]:
    """The workspaces that he owns, alone or not, and this one; their owners stay as they are until
    the transaction ends."""
    return await db.fetch(_LOCK_OWNED, user_id, also)


async def update(
    db: Connection, user_id: UUID, fields: Mapping[str, Any], now: datetime
) -> Row | None:
    """Change what ``fields`` names: ``name``, ``status``. Another name is one: the first and the
    last name that he had are no more."""
    return await db.fetchrow(_UPDATE, user_id, dict(fields), now)


async def take_over(
    db: Connection, user_id: UUID, name: str, password_hash: str, now: datetime
) -> Row:
    """Give an account to who has shown that its e-mail is his."""
    row = await db.fetchrow(_TAKE_OVER, user_id, name, password_hash, now)
    assert row is not None
    return row


async def delete(db: Connection, user_id: UUID) -> None:
    """His memberships, tokens and what else hangs on him go with him."""
    await db.execute(_DELETE, user_id)
