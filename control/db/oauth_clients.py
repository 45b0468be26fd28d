"""OAuth clients: the platform's, and those of workspaces."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_SHOWN = """
SELECT oauth_clients.*,
       coalesce(oauth_clients.tier, tiers.rate_limit_tier, 'standard') AS rate_limit_tier,
       count(*) OVER () AS total
FROM oauth_clients
LEFT JOIN workspaces ON workspaces.id = oauth_clients.workspace_id
LEFT JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
WHERE oauth_clients.revoked_at IS NULL AND workspaces.deleted_at IS NULL"""
_LIST = f"""{_SHOWN}
  AND ($1::uuid IS NULL OR oauth_clients.workspace_id = $1)
ORDER BY oauth_clients.created_at, oauth_clients.id
LIMIT $2 OFFSET $3"""
_ONE = f"""{_SHOWN}
  AND oauth_clients.id = $1 AND ($2::uuid IS NULL OR oauth_clients.workspace_id = $2)"""
_COUNT = """
SELECT count(*) FROM oauth_clients
LEFT JOIN workspaces ON workspaces.id = oauth_clients.workspace_id
WHERE revoked_at IS NULL AND workspaces.deleted_at IS NULL
  AND ($1::uuid IS NULL OR workspace_id = $1)"""
_ROTATE = """
UPDATE oauth_clients SET secret_hash = $3, rotated_at = $4, shown_to = $5
WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND revoked_at IS NULL RETURNING id"""
_REVOKE = """
UPDATE oauth_clients SET revoked_at = $3
WHERE id = $1 AND ($2::uuid IS NULL OR workspace_id = $2) AND revoked_at IS NULL RETURNING *"""

_REVOKE_HIS = """
UPDATE oauth_clients SET revoked_at = $3
WHERE ($1::uuid IS NULL OR workspace_id = $1) AND shown_to = $2 AND revoked_at IS NULL
RETURNING *"""


async def find(db: Connection, workspace_id: UUID | None, *, limit: int, offset: int) -> Found:
    """A workspace's, or everybody's; not those that are revoked."""
    rows = await db.fetch(_LIST, workspace_id, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT, workspace_id))


async def one(db: Connection, oauth_client_id: UUID, workspace_id: UUID | None) -> Row | None:
    """With ``rate_limit_tier``; None where there is none, or it is not this workspace's."""
    return await db.fetchrow(_ONE, oauth_client_id, workspace_id)


async def count(db: Connection, workspace_id: UUID | None) -> int:
    return int(await db.fetchval(_COUNT, workspace_id))


async def rotate(
    db: Connection,
    oauth_client_id: UUID,
    workspace_id: UUID | None,
    secret_hash: bytes,
    now: datetime,
    *,
    shown_to: UUID | None,
) -> bool:
    """Give it another secret; False where there is no such client."""
    values = (oauth_client_id, workspace_id, secret_hash, now, shown_to)
    return await db.fetchval(_ROTATE, *values) is not None


async def revoke(
    db: Connection, oauth_client_id: UUID, workspace_id: UUID | None, now: datetime
) -> Row | None:
    return await db.fetchrow(_REVOKE, oauth_client_id, workspace_id, now)


async def revoke_his(
    db: Connection, workspace_id: UUID | None, shown_to: UUID, now: datetime
) -> Sequence[Row]:
    """Revoke those whose secret somebody was shown last, in one workspace or in all: the ones that
    were revoked."""
    return await db.fetch(_REVOKE_HIS, workspace_id, shown_to, now)
