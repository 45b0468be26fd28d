"""API keys of workspaces. Of a key only the hash is kept, and how it begins."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_LIST = """
SELECT *, count(*) OVER () AS total FROM api_keys
WHERE workspace_id = $1 AND revoked_at IS NULL
ORDER BY created_at, id
LIMIT $2 OFFSET $3"""
_COUNT = "SELECT count(*) FROM api_keys WHERE workspace_id = $1 AND revoked_at IS NULL"
_ONE = "SELECT * FROM api_keys WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL"
_INSERT = """
INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *"""
_REVOKE = """
UPDATE api_keys SET revoked_at = $3
WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL"""
_REVOKE_HIS = """
UPDATE api_keys SET revoked_at = $4
WHERE ($1::uuid IS NULL OR workspace_id = $1) AND created_by = $2 AND NOT role = ANY ($3)
  AND revoked_at IS NULL
RETURNING *"""


async def find(db: Connection, workspace_id: UUID, *, limit: int, offset: int) -> Found:
    """Those that are not revoked."""
    rows = await db.fetch(_LIST, workspace_id, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await count(db, workspace_id))


async def count(db: Connection, workspace_id: UUID) -> int:
    return int(await db.fetchval(_COUNT, workspace_id))


async def one(db: Connection, workspace_id: UUID, api_key_id: UUID) -> Row | None:
    return await db.fetchrow(_ONE, workspace_id, api_key_id)


async def insert(
    db: Connection,
    workspace_id: UUID,
    name: str,
    key_hash: bytes,
    *,
    prefix: str,
    role: str,
    created_by: UUID | None,
    now: datetime,
) -> Row:
    values = (workspace_id, name, prefix, key_hash, role, created_by, now)
    row = await db.fetchrow(_INSERT, *values)
    assert row is not None
    return row


async def revoke(db: Connection, workspace_id: UUID, api_key_id: UUID, now: datetime) -> None:
    await db.execute(_REVOKE, workspace_id, api_key_id, now)


async def revoke_his(
    db: Connection,
    workspace_id: UUID | None,
    created_by: UUID,
    kept_roles: Sequence[str],
    now: datetime,
) -> Sequence[Row]:
    """Revoke somebody's keys, in one workspace or in all, but for those of these roles: the ones
    that were revoked."""
    return await db.fetch(_REVOKE_HIS, workspace_id, created_by, list(kept_roles), now)
