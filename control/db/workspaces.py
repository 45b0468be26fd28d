"""Workspaces, which Sapien calls customers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from control.db.database import Connection, Row

SORTS = {
    "name": "lower(name)",
    "email": "lower(email)",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "id": "number",
    "status": "status = 'suspended'",
}
"""By ``status`` come first those that are used, whether on trial or not."""

_LIST = """
SELECT workspaces.*, count(*) OVER () AS total FROM workspaces
WHERE deleted_at IS NULL
  AND ($1::text IS NULL OR name ILIKE $1 OR email ILIKE $1)
  AND ($2::text[] IS NULL OR status = ANY ($2))
  AND ($3::uuid[] IS NULL OR id = ANY ($3))
ORDER BY {order}, number
LIMIT $4 OFFSET $5"""
_COUNT = """
SELECT count(*) FROM workspaces
WHERE deleted_at IS NULL
  AND ($1::text IS NULL OR name ILIKE $1 OR email ILIKE $1)
  AND ($2::text[] IS NULL OR status = ANY ($2))
  AND ($3::uuid[] IS NULL OR id = ANY ($3))"""
_BY_NUMBER = """
SELECT * FROM workspaces
WHERE number = $1 AND deleted_at IS NULL AND ($2::uuid[] IS NULL OR id = ANY ($2))"""
_BY_ID = "SELECT * FROM workspaces WHERE id = $1 AND deleted_at IS NULL"
_BY_IDS = """
SELECT * FROM workspaces WHERE id = ANY ($1) AND deleted_at IS NULL ORDER BY lower(name), number"""
_LOCK = "SELECT * FROM workspaces WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE"
_INSERT = """
INSERT INTO workspaces (id, name, industry, email, phone, address, timezone, language, status,
                        subscription_tier, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
        coalesce($10, (SELECT value #>> '{}' FROM settings WHERE key = 'default_tier')), $11, $11)
RETURNING *"""
_UPDATE = """
UPDATE workspaces SET
    name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE name END,
    industry = CASE WHEN $2 ? 'industry' THEN $2 ->> 'industry' ELSE industry END,
    email = CASE WHEN $2 ? 'email' THEN $2 ->> 'email' ELSE email END,
    phone = CASE WHEN $2 ? 'phone' THEN $2 ->> 'phone' ELSE phone END,
    address = CASE WHEN $2 ? 'address'
        THEN coalesce(nullif($2 -> 'address', 'null'), '{}') ELSE address END,
    timezone = CASE WHEN $2 ? 'timezone' THEN $2 ->> 'timezone' ELSE timezone END,
    language = CASE WHEN $2 ? 'language' THEN $2 ->> 'language' ELSE language END,
    status = CASE WHEN $2 ? 'status' THEN $2 ->> 'status' ELSE status END,
    suspended_reason = CASE WHEN $2 ? 'suspended_reason'
        THEN $2 ->> 'suspended_reason' ELSE suspended_reason END,
    subscription_tier = CASE WHEN $2 ? 'subscription_tier'
        THEN $2 ->> 'subscription_tier' ELSE subscription_tier END,
    updated_at = $3
WHERE id = $1 AND deleted_at IS NULL
RETURNING *"""
_DELETE = """
WITH deleted AS (
    UPDATE workspaces SET deleted_at = now(), updated_at = now()
    WHERE id = $1 AND deleted_at IS NULL RETURNING id
), freed AS (
    DELETE FROM phone_numbers WHERE workspace_id IN (SELECT id FROM deleted)
), forgotten AS (
    DELETE FROM secrets WHERE workspace_id IN (SELECT id FROM deleted)
)
SELECT id FROM deleted"""
_LOCK_MADE = "SELECT id FROM users WHERE managed_by = $1 ORDER BY id FOR UPDATE"
_ALONE_HERE = """
SELECT person FROM unnest($2::uuid[]) AS people (person) WHERE is_managed_by(person, $1)"""
_DELETE_PEOPLE = "DELETE FROM users WHERE id = ANY ($1) RETURNING id, email, name"

_OWNED_BY = "SELECT * FROM owned_by($1)"


class Found(msgspec.Struct, frozen=True):
    """A page of rows, and how many there are in all."""

    rows: Sequence[Row]
    total: int


async def find(
    db: Connection,
    seen: Sequence[UUID] | None,
    *,
    search: str | None,
    statuses: Sequence[str] | None,
    sort: str,
    descending: bool,
    limit: int,
    offset: int,
) -> Found:
    """Those whose name or e-mail has ``search`` in it; ``sort`` is one of ``SORTS``."""
    order = SORTS[sort] + (" DESC" if descending else "")
    pattern = None if search is None else contains(search)
    rows = await db.fetch(_LIST.format(order=order), pattern, statuses, seen, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT, pattern, statuses, seen))


def contains(search: str) -> str:
    """A pattern of LIKE for text that has this in it, whatever it is."""
    plain = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{plain}%"


async def by_number(db: Connection, seen: Sequence[UUID] | None, number: int) -> Row | None:
    return await db.fetchrow(_BY_NUMBER, number, seen)


async def by_id(db: Connection, workspace_id: UUID) -> Row | None:
    return await db.fetchrow(_BY_ID, workspace_id)


async def by_ids(db: Connection, workspace_ids: Iterable[UUID]) -> Sequence[Row]:
    """Those of them that there are, by name."""
    return await db.fetch(_BY_IDS, list(workspace_ids))


async def owned_by(db: Connection, user_id: UUID) -> Sequence[Row]:
    """``id``, ``status`` of all that somebody owns, whatever the request sees."""
    return await db.fetch(_OWNED_BY, user_id)


async def lock(db: Connection, workspace_id: UUID) -> Row | None:
    """Until the transaction ends, whoever else locks it waits: for what is counted before it is
    changed."""
    return await db.fetchrow(_LOCK, workspace_id)


async def insert(db: Connection, workspace_id: UUID, now: Any, fields: Mapping[str, Any]) -> Row:
    """Make one. The transaction must see the new id.

    :raises asyncpg.ForeignKeyViolationError: there is no such tier."""
    row = await db.fetchrow(
        _INSERT,
        workspace_id,
        fields["name"],
        fields.get("industry"),
        fields.get("email"),
        fields.get("phone"),
        fields.get("address") or {},
        fields.get("timezone") or "UTC",
        fields.get("language") or "en",
        fields.get("status") or "active",
        fields.get("subscription_tier"),
        now,
    )
    assert row is not None
    return row


async def update(
    db: Connection, workspace_id: UUID, now: Any, fields: Mapping[str, Any]
) -> Row | None:
    """Change what ``fields`` names; None where there is no such workspace.

    :raises asyncpg.ForeignKeyViolationError: there is no such tier."""
    return await db.fetchrow(_UPDATE, workspace_id, dict(fields), now)


async def delete(db: Connection, workspace_id: UUID) -> Sequence[Row]:
    """Its rows are kept for the books; nobody sees them any more. Its phone numbers are not: who
    has them next may register them. Nor are its secrets, nor the people whom it made and who are in
    no other: whoever has the e-mail may come by himself.

    :returns: these people: ``id``, ``email``, ``name``."""
    if await db.fetchval(_DELETE, workspace_id) is None:
        return []
    made = [row["id"] for row in await db.fetch(_LOCK_MADE, workspace_id)]
    # Only what is asked once they are locked stays so: they may have joined another meanwhile.
    alone = [row["person"] for row in await db.fetch(_ALONE_HERE, workspace_id, made)]
    return await db.fetch(_DELETE_PEOPLE, alone)
