"""Who belongs to a workspace, and with what role."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found

MOST_SHOWN = 1000
"""Of a workspace's members where its details are shown."""

_LIST = """
SELECT users.id, users.email, users.name, members.role, members.joined_at,
       count(*) OVER () AS total
FROM members JOIN users ON users.id = members.user_id
WHERE members.workspace_id = $1
ORDER BY members.joined_at, users.id
LIMIT $2 OFFSET $3"""
_COUNT = "SELECT count(*) FROM members WHERE workspace_id = $1"
_ONE = """
SELECT users.id, users.email, users.name, members.role, members.joined_at
FROM members JOIN users ON users.id = members.user_id
WHERE members.workspace_id = $1 AND members.user_id = $2"""
_ROLE = """
SELECT members.role FROM members JOIN users ON users.id = members.user_id
WHERE members.workspace_id = $1 AND members.user_id = $2 AND users.status = 'active'
FOR SHARE OF users"""
_BY_EMAIL = """
SELECT users.id FROM members JOIN users ON users.id = members.user_id
WHERE members.workspace_id = $1 AND lower(users.email) = lower($2)"""
_OWNERS = """
SELECT DISTINCT ON (members.workspace_id) members.workspace_id, users.id, users.email, users.name
FROM members JOIN users ON users.id = members.user_id
WHERE members.workspace_id = ANY ($1) AND members.role = 'owner'
ORDER BY members.workspace_id, members.joined_at, users.id"""
_LOCK_OWNERS = """
SELECT user_id FROM members WHERE workspace_id = $1 AND role = 'owner'
ORDER BY user_id FOR UPDATE"""
_OTHER_OWNERS = """
SELECT EXISTS (
    SELECT FROM members JOIN users ON users.id = members.user_id AND users.status = 'active'
    WHERE members.workspace_id = $1 AND members.role = 'owner' AND members.user_id <> $2)"""
_JOIN = """
INSERT INTO members (workspace_id, user_id, role, joined_at, updated_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (workspace_id, user_id) DO NOTHING"""
_SET_ROLE = """
UPDATE members SET role = $3, updated_at = $4 WHERE workspace_id = $1 AND user_id = $2"""
_REMOVE = "DELETE FROM members WHERE workspace_id = $1 AND user_id = $2"


async def of_workspace(
    db: Connection, workspace_id: UUID, *, limit: int = MOST_SHOWN, offset: int = 0
) -> Found:
    """Those who joined first come first: ``id``, ``email``, ``name``, ``role``, ``joined_at``."""
    rows = await db.fetch(_LIST, workspace_id, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT, workspace_id))


async def one(db: Connection, workspace_id: UUID, user_id: UUID) -> Row | None:
    return await db.fetchrow(_ONE, workspace_id, user_id)


async def role(db: Connection, workspace_id: UUID, user_id: UUID) -> str | None:
    """Of a member who may log in, as it is now. Whoever has locked the workspace before knows that
    it stays so until his transaction ends."""
    found: str | None = await db.fetchval(_ROLE, workspace_id, user_id)
    return found


async def has_email(db: Connection, workspace_id: UUID, email: str) -> bool:
    """Whether somebody with this e-mail is a member."""
    return await db.fetchval(_BY_EMAIL, workspace_id, email) is not None


async def owners(db: Connection, workspace_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """The first owner of each workspace that has one: ``id``, ``email``, ``name``."""
    found: Sequence[Row] = await db.fetch(_OWNERS, list(workspace_ids))
    return {row["workspace_id"]: row for row in found}


async def has_other_owner(db: Connection, workspace_id: UUID, user_id: UUID) -> bool:
    """Whether somebody else, who can log in, owns it too. Until the transaction ends nobody else
    who asks this is told."""
    await db.fetch(_LOCK_OWNERS, workspace_id)  # only what is read from now on is up to date
    return bool(await db.fetchval(_OTHER_OWNERS, workspace_id, user_id))


async def join(db: Connection, workspace_id: UUID, user_id: UUID, role: str, now: datetime) -> None:
    """Make somebody a member. Who is one already keeps his role."""
    await db.execute(_JOIN, workspace_id, user_id, role, now)


async def set_role(
    db: Connection, workspace_id: UUID, user_id: UUID, role: str, now: datetime
) -> None:
    await db.execute(_SET_ROLE, workspace_id, user_id, role, now)


async def remove(db: Connection, workspace_id: UUID, user_id: UUID) -> None:
    await db.execute(_REMOVE, workspace_id, user_id)
