"""Secrets as they are stored: sealed. ``workspace_id`` None: the platform's."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control.auth.envelopes import Sealed
from control.db.database import Connection, Row

_SHOWN = "name, updated_by, created_at, updated_at"
_LIST = f"SELECT {_SHOWN} FROM secrets WHERE workspace_id IS NOT DISTINCT FROM $1 ORDER BY name"
_COUNT = "SELECT count(*) FROM secrets WHERE workspace_id IS NOT DISTINCT FROM $1"
_SEALED = """
SELECT name, key_id, wrapped_key, sealed, updated_at FROM secrets
WHERE workspace_id IS NOT DISTINCT FROM $1 ORDER BY name"""
_WAIT_FOR_ROTATION = "LOCK TABLE secrets IN ROW EXCLUSIVE MODE"
_UPSERT_WORKSPACES = f"""
INSERT INTO secrets
    (workspace_id, name, key_id, wrapped_key, sealed, updated_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (workspace_id, name) WHERE workspace_id IS NOT NULL DO UPDATE
SET key_id = excluded.key_id, wrapped_key = excluded.wrapped_key, sealed = excluded.sealed,
    updated_by = excluded.updated_by, updated_at = excluded.updated_at
RETURNING {_SHOWN}"""
_UPSERT_PLATFORMS = f"""
INSERT INTO secrets
    (workspace_id, name, key_id, wrapped_key, sealed, updated_by, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (name) WHERE workspace_id IS NULL DO UPDATE
SET key_id = excluded.key_id, wrapped_key = excluded.wrapped_key, sealed = excluded.sealed,
    updated_by = excluded.updated_by, updated_at = excluded.updated_at
RETURNING {_SHOWN}"""
_DELETE = f"""
DELETE FROM secrets WHERE workspace_id IS NOT DISTINCT FROM $1 AND name = $2 RETURNING {_SHOWN}"""
_REFERRING = """
SELECT agents.name FROM agents JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE agents.workspace_id = $1 AND position($2 IN agent_versions.config::text) > 0
ORDER BY agents.name LIMIT 20"""
_KEEP_OTHERS_OUT = "LOCK TABLE secrets IN SHARE ROW EXCLUSIVE MODE"
_ALL = "SELECT id, workspace_id, name, key_id, wrapped_key, sealed FROM secrets ORDER BY id"
_WAIT_FOR_CHANGES = "SELECT pg_advisory_xact_lock(hashtextextended('the platform''s secrets', 0))"
_KEY_IDS = "SELECT DISTINCT key_id FROM secrets"
_REWRAP = "UPDATE secrets SET key_id = $2, wrapped_key = $3 WHERE id = $1"


def place_of(workspace_id: UUID | None, name: str) -> str:
    """What a secret is sealed for."""
    return f"{workspace_id or 'platform'}/{name}"


def sealed_of(row: Row) -> Sealed:
    return Sealed(row["key_id"], row["wrapped_key"], row["sealed"])


async def find(db: Connection, workspace_id: UUID | None) -> Sequence[Row]:
    """Everything but the secrets themselves."""
    return await db.fetch(_LIST, workspace_id)


async def count(db: Connection, workspace_id: UUID | None) -> int:
    return int(await db.fetchval(_COUNT, workspace_id))


async def sealed(db: Connection, workspace_id: UUID | None) -> Sequence[Row]:
    return await db.fetch(_SEALED, workspace_id)


async def wait_for_rotation(db: Connection) -> None:
    """Until no rotation goes on: what is sealed after this, is so with keys that stay."""
    await db.execute(_WAIT_FOR_ROTATION)


async def wait_for_changes(db: Connection) -> None:
    """Until no other transaction goes on that has changed the platform's and looked at them."""
    await db.execute(_WAIT_FOR_CHANGES)


async def put(
    db: Connection,
    workspace_id: UUID | None,
    name: str,
    sealed: Sealed,
    now: datetime,
    *,
    updated_by: str,
) -> Row:
    """Store a secret in place of the one that has its name."""
    statement = _UPSERT_PLATFORMS if workspace_id is None else _UPSERT_WORKSPACES
    values = (sealed.key_id, sealed.wrapped_key, sealed.sealed, updated_by, now)
    row = await db.fetchrow(statement, workspace_id, name, *values)
    assert row is not None
    return row


async def delete(db: Connection, workspace_id: UUID | None, name: str) -> Row | None:
    """The one that was deleted; None: there was none."""
    return await db.fetchrow(_DELETE, workspace_id, name)


async def referring(db: Connection, workspace_id: UUID, name: str) -> Sequence[str]:
    """Names of agents that refer to it as they are now."""
    return [row["name"] for row in await db.fetch(_REFERRING, workspace_id, f"${{{name}}}")]


async def begin_rotation(db: Connection) -> Sequence[Row]:
    """All secrets there are; nobody stores one before the transaction ends."""
    await db.execute(_KEEP_OTHERS_OUT)
    return await db.fetch(_ALL)


async def every(db: Connection) -> Sequence[Row]:
    """All there are, to look at."""
    return await db.fetch(_ALL)


async def key_ids(db: Connection) -> set[str]:
    """Those of all keys that secrets are sealed with now."""
    return {row["key_id"] for row in await db.fetch(_KEY_IDS)}


async def rewrap(db: Connection, secret_id: UUID, sealed: Sealed) -> None:
    await db.execute(_REWRAP, secret_id, sealed.key_id, sealed.wrapped_key)
