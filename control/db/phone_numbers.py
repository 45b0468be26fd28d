"""Telephone numbers of workspaces."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row
from control.db.workspaces import Found, contains

_SHOWN = """
SELECT phone_numbers.*, agents.name AS agent_name
FROM phone_numbers LEFT JOIN agents
    ON agents.id = phone_numbers.agent_id AND agents.workspace_id = phone_numbers.workspace_id
WHERE phone_numbers.workspace_id = $1"""
_LIST = f"{_SHOWN} ORDER BY phone_numbers.created_at, phone_numbers.id"
_ONE = f"{_SHOWN} AND phone_numbers.id = $2"
_OF_AGENT = f"""{_SHOWN} AND phone_numbers.agent_id = $2
ORDER BY phone_numbers.created_at, phone_numbers.id LIMIT 1"""
_INSERT = """
INSERT INTO phone_numbers (workspace_id, phone_number, friendly_name, carrier, agent_id, status,
                           created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id"""
_UPDATE = """
UPDATE phone_numbers SET
    friendly_name = CASE WHEN $3 ? 'friendly_name'
        THEN $3 ->> 'friendly_name' ELSE friendly_name END,
    agent_id = CASE WHEN $3 ? 'agent_id' THEN ($3 ->> 'agent_id')::uuid ELSE agent_id END,
    updated_at = $4
WHERE workspace_id = $1 AND id = $2 RETURNING id"""
_OF_ALL = """
FROM phone_numbers JOIN workspaces ON workspaces.id = phone_numbers.workspace_id"""
_WANTED = """
WHERE ($1::text IS NULL OR phone_numbers.status = $1)
  AND ($2::uuid IS NULL OR phone_numbers.workspace_id = $2)
  AND ($3::text IS NULL OR phone_numbers.phone_number LIKE $3)"""
_LIST_ALL = f"""
SELECT phone_numbers.*, workspaces.name AS workspace_name, count(*) OVER () AS total
{_OF_ALL} {_WANTED}
ORDER BY phone_numbers.created_at DESC, phone_numbers.id LIMIT $4 OFFSET $5"""
_COUNT_ALL = f"SELECT count(*) {_OF_ALL} {_WANTED}"
_ANY = f"""
SELECT phone_numbers.*, workspaces.name AS workspace_name {_OF_ALL} WHERE phone_numbers.id = $1"""
_SET_STATUS = "UPDATE phone_numbers SET status = $2, updated_at = $3 WHERE id = $1"
_DELETE = "DELETE FROM phone_numbers WHERE workspace_id = $1 AND id = $2"


async def find(db: Connection, workspace_id: UUID) -> Sequence[Row]:
    """All of a workspace, with ``agent_name``."""
    return await db.fetch(_LIST, workspace_id)


async def by_id(db: Connection, workspace_id: UUID, number_id: UUID) -> Row | None:
    return await db.fetchrow(_ONE, workspace_id, number_id)


async def of_agent(db: Connection, workspace_id: UUID, agent_id: UUID) -> Row | None:
    """The first that the agent answers."""
    return await db.fetchrow(_OF_AGENT, workspace_id, agent_id)


async def insert(
    db: Connection,
    workspace_id: UUID,
    now: datetime,
    *,
    phone_number: str,
    friendly_name: str,
    carrier: str | None,
    agent_id: UUID | None,
    status: str,
) -> UUID:
    """:raises asyncpg.UniqueViolationError: somebody has it.
    :raises asyncpg.ForeignKeyViolationError: the workspace has no such agent."""
    values = (workspace_id, phone_number, friendly_name, carrier, agent_id, status, now)
    number_id: UUID = await db.fetchval(_INSERT, *values)
    return number_id


async def update(
    db: Connection, workspace_id: UUID, number_id: UUID, now: datetime, fields: Mapping[str, Any]
) -> bool:
    """Change what ``fields`` names; whether there is such a number.

    :raises asyncpg.ForeignKeyViolationError: the workspace has no such agent."""
    found = await db.fetchval(_UPDATE, workspace_id, number_id, dict(fields), now)
    return found is not None


async def find_all(
    db: Connection,
    *,
    status: str | None,
    workspace_id: UUID | None,
    search: str | None,
    limit: int,
    offset: int,
) -> Found:
    """Those of every workspace, with ``workspace_name``, the newest first."""
    pattern = None if search is None else contains(search)
    rows = await db.fetch(_LIST_ALL, status, workspace_id, pattern, limit, offset)
    if rows or not offset:
        return Found(rows, rows[0]["total"] if rows else 0)
    return Found(rows, await db.fetchval(_COUNT_ALL, status, workspace_id, pattern))


async def any_by_id(db: Connection, number_id: UUID) -> Row | None:
    """Whoever has it, with ``workspace_name``."""
    return await db.fetchrow(_ANY, number_id)


async def set_status(db: Connection, number_id: UUID, status: str, now: datetime) -> None:
    await db.execute(_SET_STATUS, number_id, status, now)


async def delete(db: Connection, workspace_id: UUID, number_id: UUID) -> None:
    await db.execute(_DELETE, workspace_id, number_id)
