"""Audio files of workspaces; their sound is in the storage."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

MOST_ATTEMPTS = 3
"""A file that ends the process each time is given up."""

_FROM = """
FROM audio_files
JOIN workspaces ON workspaces.id = audio_files.workspace_id AND workspaces.deleted_at IS NULL"""
_SELECT = (
    """
SELECT audio_files.*, workspaces.number AS customer_id, workspaces.status AS workspace_status"""
    + _FROM
)
_WHERE = """
WHERE ($1::bigint IS NULL OR workspaces.number = $1)
  AND ($2::text IS NULL OR audio_files.type = $2)
  AND ($3::uuid[] IS NULL OR workspaces.id = ANY ($3))"""
_LIST = _SELECT + _WHERE + " ORDER BY audio_files.id LIMIT $4 OFFSET $5"
_COUNT = "SELECT count(*)" + _FROM + _WHERE
_BY_ID = (
    _SELECT
    + """
WHERE audio_files.id = $1 AND ($2::uuid[] IS NULL OR workspaces.id = ANY ($2))"""
)
_INSERT = """
INSERT INTO audio_files (uuid, workspace_id, name, type, format, duration_ms, size_bytes,
                         object_key, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"""
_DELETE = "DELETE FROM audio_files WHERE id = $1 AND workspace_id = $2"
_CLAIM = """
UPDATE audio_files SET attempts = attempts + 1, claimed_until = $2
WHERE id = (
    SELECT id FROM audio_files
    WHERE status = 'processing' AND (claimed_until IS NULL OR claimed_until <= $1)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, object_key, format, attempts, claimed_until"""
_RELEASE = """
UPDATE audio_files SET claimed_until = $3, attempts = attempts - 1
WHERE id = $1 AND claimed_until = $2"""
_DONE = """
UPDATE audio_files SET status = 'available', duration_ms = $2, claimed_until = NULL
WHERE id = $1 RETURNING id"""
_FAILED = """
UPDATE audio_files SET status = 'failed', failure = $2, claimed_until = NULL WHERE id = $1"""


async def find(
    db: Connection,
    seen: Sequence[UUID] | None,
    *,
    customer: int | None,
    kind: str | None,
    limit: int,
    offset: int,
) -> Found:
    """A page of them, by id."""
    rows = await db.fetch(_LIST, customer, kind, seen, limit, offset)
    return Found(rows, await db.fetchval(_COUNT, customer, kind, seen))


async def by_id(db: Connection, seen: Sequence[UUID] | None, audio_id: int) -> Row | None:
    return await db.fetchrow(_BY_ID, audio_id, seen)


async def insert(
    db: Connection,
    workspace_id: UUID,
    now: datetime,
    *,
    uuid: UUID,
    name: str,
    kind: str,
    file_format: str,
    duration_ms: int,
    size_bytes: int,
    object_key: str,
) -> int:
    """Its id. It is ``processing``."""
    values = (uuid, workspace_id, name, kind, file_format, duration_ms, size_bytes, object_key)
    made: int = await db.fetchval(_INSERT, *values, now)
    return made


async def delete(db: Connection, workspace_id: UUID, audio_id: int) -> None:
    await db.execute(_DELETE, audio_id, workspace_id)


async def claim(db: Connection, now: datetime, lease: timedelta) -> Row | None:
    """The oldest that waits to be normalised: until the lease is over it is the caller's."""
    return await db.fetchrow(_CLAIM, now, now + lease)


async def release(
    db: Connection, audio_id: int, claimed_until: datetime, again_at: datetime
) -> None:
    """Give it back, to be claimed again from then on: this was no attempt."""
    await db.execute(_RELEASE, audio_id, claimed_until, again_at)


async def done(db: Connection, audio_id: int, duration_ms: int) -> bool:
    """False: it was deleted in the meantime."""
    return await db.fetchval(_DONE, audio_id, duration_ms) is not None


async def failed(db: Connection, audio_id: int, why: str) -> None:
    await db.execute(_FAILED, audio_id, why)
