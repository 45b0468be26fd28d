"""Telephone numbers of workspaces."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row

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
INSERT INTO phone_numbers (workspace_id, phone_number, friendly_name, carrier, created_at,
                           updated_at)
VALUES ($1, $2, $3, $4, $5, $5) RETURNING id"""
_UPDATE = """
UPDATE phone_numbers SET
    friendly_name = CASE WHEN $3 ? 'friendly_name'
        THEN $3 ->> 'friendly_name' ELSE friendly_name END,
    agent_id = CASE WHEN $3 ? 'agent_id' THEN ($3 ->> 'agent_id')::uuid ELSE agent_id END,
    updated_at = $4
WHERE workspace_id = $1 AND id = $2 RETURNING id"""
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
) -> UUID:
    """:raises asyncpg.UniqueViolationError: somebody has it."""
    values = (workspace_id, phone_number, friendly_name, carrier, now)
    number_id: UUID = await db.fetchval(_INSERT, *values)
    return number_id


async def update(
    db: Connection, workspace_id: UUID, number_id: UUID, now: datetime, fields: Mapping[str, Any]
) -> bool:
    """Change what ``fields`` names; whether there is such a number.

    :raises asyncpg.ForeignKeyViolationError: the workspace has no such agent."""
    found = await db.fetchval(_UPDATE, workspace_id, number_id, dict(fields), now)
    return found is not None


async def delete(db: Connection, workspace_id: UUID, number_id: UUID) -> None:
    await db.execute(_DELETE, workspace_id, number_id)
