"""Invitations into workspaces. Of the token only the hash is kept."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

_LIST = """
SELECT id, email, role, created_at, expires_at, count(*) OVER () AS total FROM invitations
WHERE workspace_id = $1 AND accepted_at IS NULL
ORDER BY created_at, id
LIMIT $2 OFFSET $3"""
_COUNT = "SELECT count(*) FROM invitations WHERE workspace_id = $1 AND accepted_at IS NULL"
_INVITE = """
INSERT INTO invitations (workspace_id, email, role, invited_by, token_hash, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace_id, lower(email)) WHERE accepted_at IS NULL
DO UPDATE SET role = excluded.role, invited_by = excluded.invited_by,
    token_hash = excluded.token_hash, created_at = excluded.created_at,
    expires_at = excluded.expires_at
RETURNING id, email, role, created_at, expires_at"""
_WITHDRAW = """
DELETE FROM invitations WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL
RETURNING email, role"""
_WITHDRAW_HIS = """
DELETE FROM invitations
WHERE ($1::uuid IS NULL OR workspace_id = $1) AND invited_by = $2 AND NOT role = ANY ($3)
  AND accepted_at IS NULL
RETURNING id, workspace_id, email, role"""
_BY_TOKEN = """
SELECT invitations.id, invitations.workspace_id, invitations.email, invitations.role,
       workspaces.name AS workspace_name, workspaces.status AS workspace_status
FROM invitations JOIN workspaces
  ON workspaces.id = invitations.workspace_id AND workspaces.deleted_at IS NULL
WHERE invitations.token_hash = $1 AND invitations.accepted_at IS NULL
  AND invitations.expires_at > $2
FOR UPDATE OF invitations"""
_ACCEPT = "UPDATE invitations SET accepted_at = $2 WHERE id = $1"


async def unaccepted(db: Connection, workspace_id: UUID, *, limit: int, offset: int) -> Found:
    """The oldest first; those that have run out too."""
    rows = await db.fetch(_LIST, workspace_id, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT, workspace_id))


async def invite(
    db: Connection,
    workspace_id: UUID,
    email: str,
    role: str,
    token_hash: bytes,
    *,
    invited_by: UUID | None,
    now: datetime,
    expires_at: datetime,
) -> Row:
    """The invitation; who was invited before has this one instead."""
    values = (workspace_id, email, role, invited_by, token_hash, now, expires_at)
    row = await db.fetchrow(_INVITE, *values)
    assert row is not None
    return row


async def withdraw(db: Connection, workspace_id: UUID, invitation_id: UUID) -> Row | None:
    """The invitation that is no more; None where there is none to be accepted."""
    return await db.fetchrow(_WITHDRAW, workspace_id, invitation_id)


async def withdraw_his(
    db: Connection, workspace_id: UUID | None, invited_by: UUID, kept_roles: Sequence[str]
) -> Sequence[Row]:
    """Those that somebody has sent and nobody has accepted, in one workspace or in all, but for
    invitations as one of these roles: the ones that are no more."""
    return await db.fetch(_WITHDRAW_HIS, workspace_id, invited_by, list(kept_roles))


async def by_token(db: Connection, token_hash: bytes, now: datetime) -> Row | None:
    """The invitation that may be accepted with it, by nobody else until the transaction ends."""
    return await db.fetchrow(_BY_TOKEN, token_hash, now)


async def accept(db: Connection, invitation_id: UUID, now: datetime) -> None:
    await db.execute(_ACCEPT, invitation_id, now)
