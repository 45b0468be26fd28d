"""The platform's admins. Who is one no more is kept, for what he did is in the audit log."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_LIST = """
SELECT admins.*, count(*) OVER () AS total FROM admins
ORDER BY lower(email)
LIMIT $1 OFFSET $2"""
_COUNT = "SELECT count(*) FROM admins"
_LOCK_OWNERS = """
SELECT id FROM admins WHERE role = 'owner' AND is_active ORDER BY id FOR UPDATE"""
_UPDATE = """
UPDATE admins SET
    name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE name END,
    role = CASE WHEN $2 ? 'role' THEN $2 ->> 'role' ELSE role END,
    is_active = CASE WHEN $2 ? 'is_active' THEN ($2 -> 'is_active')::boolean ELSE is_active END,
    password_hash = coalesce($3, password_hash)
WHERE id = $1
RETURNING *"""


async def find(db: Connection, *, limit: int, offset: int) -> Found:
    rows = await db.fetch(_LIST, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT))


async def lock_active_owners(db: Connection) -> set[UUID]:
    """Who they are; that stays so until the transaction ends."""
    return {row["id"] for row in await db.fetch(_LOCK_OWNERS)}


async def update(
    db: Connection, admin_id: UUID, fields: Mapping[str, Any], password_hash: str | None
) -> Row | None:
    """Change the name, the role or ``is_active``, as ``fields`` names them, and the password where
    one is given. None where there is no such admin."""
    return await db.fetchrow(_UPDATE, admin_id, dict(fields), password_hash)
