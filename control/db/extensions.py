"""Numbers that people dial inside a workspace."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_FROM = """
FROM extensions
JOIN workspaces ON workspaces.id = extensions.workspace_id AND workspaces.deleted_at IS NULL
LEFT JOIN members ON members.workspace_id = extensions.workspace_id
    AND members.user_id = extensions.user_id"""
_SELECT = (
    """
SELECT extensions.*, workspaces.number AS customer_id, workspaces.status AS workspace_status,
       members.number AS user_number"""
    + _FROM
)
_WHERE = """
WHERE ($1::bigint IS NULL OR workspaces.number = $1)
  AND ($2::text IS NULL OR extensions.status = $2)
  AND ($3::text IS NULL OR extensions.type = $3)
  AND ($4::uuid[] IS NULL OR workspaces.id = ANY ($4))"""
_LIST = _SELECT + _WHERE + " ORDER BY extensions.id LIMIT $5 OFFSET $6"
_COUNT = "SELECT count(*)" + _FROM + _WHERE
_BY_ID = (
    _SELECT
    + """
WHERE extensions.id = $1 AND ($2::uuid[] IS NULL OR workspaces.id = ANY ($2))"""
)
_LOCK = "SELECT FROM extensions WHERE id = $1 FOR NO KEY UPDATE"
_INSERT = """
INSERT INTO extensions (workspace_id, extension, name, type, user_id, status, caller_id,
                        voicemail_enabled, recording_enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) RETURNING id"""
_UPDATE = """
UPDATE extensions SET extension = $2, name = $3, type = $4, user_id = $5, status = $6,
    caller_id = $7, voicemail_enabled = $8, recording_enabled = $9, updated_at = $10
WHERE id = $1 AND workspace_id = $11"""
_DELETE = "DELETE FROM extensions WHERE id = $1 AND workspace_id = $2"

FIELDS = (
    "extension",
    "name",
    "type",
    "user_id",
    "status",
    "caller_id",
    "voicemail_enabled",
    "recording_enabled",
)


async def find(
    db: Connection,
    seen: Sequence[UUID] | None,
    *,
    customer: int | None,
    status: str | None,
    kind: str | None,
    limit: int,
    offset: int,
) -> Found:
    """A page of them, by id."""
    asked = (customer, status, kind, seen)
    rows = await db.fetch(_LIST, *asked, limit, offset)
    return Found(rows, await db.fetchval(_COUNT, *asked))


async def by_id(db: Connection, seen: Sequence[UUID] | None, extension_id: int) -> Row | None:
    return await db.fetchrow(_BY_ID, extension_id, seen)


async def lock(db: Connection, extension_id: int) -> None:
    """Until the transaction ends nobody else changes it: not who leaves the workspace either."""
    await db.execute(_LOCK, extension_id)


async def insert(
    db: Connection, workspace_id: UUID, fields: Mapping[str, Any], now: datetime
) -> int:
    """Its id. ``fields`` has all of ``FIELDS``.

    :raises asyncpg.UniqueViolationError: the workspace has this number already."""
    values = [fields[name] for name in FIELDS]
    made: int = await db.fetchval(_INSERT, workspace_id, *values, now)
    return made


async def update(
    db: Connection, workspace_id: UUID, extension_id: int, fields: Mapping[str, Any], now: datetime
) -> None:
    """``fields`` has all of ``FIELDS``.

    :raises asyncpg.UniqueViolationError: the workspace has this number already."""
    values = [fields[name] for name in FIELDS]
    await db.execute(_UPDATE, extension_id, *values, now, workspace_id)


async def delete(db: Connection, workspace_id: UUID, extension_id: int) -> None:
    await db.execute(_DELETE, extension_id, workspace_id)
