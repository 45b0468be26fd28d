"""Voice agents and their versions.

An agent's row has what is changed in place (its status); its name and configuration are in a row
per version, which is never changed. The latest versions are kept.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import Connection, Row

VERSIONS_KEPT = 500

_SHOWN = """
SELECT agents.*, templates.name AS template_name, number.phone_number
FROM agents
LEFT JOIN templates ON templates.id = agents.template_id
LEFT JOIN LATERAL (
    SELECT phone_numbers.phone_number FROM phone_numbers
    WHERE phone_numbers.agent_id = agents.id
      AND phone_numbers.workspace_id = agents.workspace_id
    ORDER BY phone_numbers.created_at, phone_numbers.id LIMIT 1
) AS number ON true"""
_LIST = f"{_SHOWN} WHERE agents.workspace_id = $1 ORDER BY agents.created_at, agents.id"
_ONE = """
SELECT agents.*, templates.name AS template_name, agent_versions.config
FROM agents
JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
LEFT JOIN templates ON templates.id = agents.template_id
WHERE agents.workspace_id = $1 AND agents.id = $2"""
# By itself: whoever waits for the row sees its new version, but a join would still be of before.
_LOCK = "SELECT id FROM agents WHERE workspace_id = $1 AND id = $2 FOR UPDATE"
_STATS = """
SELECT count(*) AS total_calls, avg(duration_ms) FILTER (WHERE status = 'completed') AS duration_ms
FROM calls WHERE workspace_id = $1 AND agent_id = $2"""
_INSERT = """
INSERT INTO agents (workspace_id, name, template_id, voice_provider, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5) RETURNING id"""
_INSERT_VERSION = """
INSERT INTO agent_versions (workspace_id, agent_id, version, name, config, changed_by, note,
                            created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
# A hundred at most, so that nobody waits where there are many from before there was a bound. A call
# that says for a day that it is in progress was not ended by who answered it.
_FORGET_VERSIONS = """
DELETE FROM agent_versions WHERE agent_id = $2 AND version IN (
    SELECT version FROM agent_versions AS old
    WHERE workspace_id = $1 AND agent_id = $2 AND version <= $3
      AND NOT EXISTS (
          SELECT FROM calls WHERE workspace_id = $1 AND agent_id = $2
          AND agent_version = old.version AND status = 'in_progress'
          AND started_at > now() - interval '1 day')
    ORDER BY version LIMIT 100)"""
_UPDATE = """
UPDATE agents SET version = $3, name = $4, voice_provider = $5, updated_at = $6
WHERE workspace_id = $1 AND id = $2"""
_SET_STATUS = """
UPDATE agents SET status = $3, updated_at = $4
WHERE workspace_id = $1 AND id = $2 AND status <> $3"""
_DELETE = "DELETE FROM agents WHERE workspace_id = $1 AND id = $2"
_EXISTS = "SELECT EXISTS (SELECT FROM agents WHERE workspace_id = $1 AND id = $2)"
_VERSIONS = """
SELECT version, name, changed_by, note, created_at, count(*) OVER () AS total FROM agent_versions
WHERE workspace_id = $1 AND agent_id = $2 ORDER BY version DESC LIMIT $3 OFFSET $4"""
_COUNT_VERSIONS = "SELECT count(*) FROM agent_versions WHERE workspace_id = $1 AND agent_id = $2"
_VERSION = "SELECT * FROM agent_versions WHERE workspace_id = $1 AND agent_id = $2 AND version = $3"


async def find(db: Connection, workspace_id: UUID) -> Sequence[Row]:
    """All of a workspace, with ``template_name`` and the first ``phone_number`` of each."""
    return await db.fetch(_LIST, workspace_id)


async def by_id(
    db: Connection, workspace_id: UUID, agent_id: UUID, *, to_change: bool = False
) -> Row | None:
    """One, with its ``config`` and ``template_name``. Nobody else changes one that is got to be
    changed, until the transaction ends."""
    if to_change:
        await db.execute(_LOCK, workspace_id, agent_id)
    return await db.fetchrow(_ONE, workspace_id, agent_id)


async def exists(db: Connection, workspace_id: UUID, agent_id: UUID) -> bool:
    return bool(await db.fetchval(_EXISTS, workspace_id, agent_id))


async def stats(db: Connection, workspace_id: UUID, agent_id: UUID) -> Row:
    """``total_calls``, and ``duration_ms``, the average of those that ended well, or None."""
    row = await db.fetchrow(_STATS, workspace_id, agent_id)
    assert row is not None
    return row


async def insert(
    db: Connection,
    workspace_id: UUID,
    now: datetime,
    *,
    name: str,
    config: Mapping[str, Any],
    template_id: UUID | None,
    changed_by: str,
) -> UUID:
    """Make a draft, whose version is 1."""
    values = (workspace_id, name, template_id, voice_provider(config), now)
    agent_id: UUID = await db.fetchval(_INSERT, *values)
    first = (workspace_id, agent_id, 1, name, dict(config), changed_by, "", now)
    await db.execute(_INSERT_VERSION, *first)
    return agent_id


async def add_version(
    db: Connection,
    agent: Row,
    now: datetime,
    *,
    name: str,
    config: Mapping[str, Any],
    changed_by: str,
    note: str = "",
) -> int:
    """Make another version the present one; ``agent`` must have been got to be changed. Earlier
    ones than ``VERSIONS_KEPT`` go, but for those of calls in progress."""
    place, version = (agent["workspace_id"], agent["id"]), agent["version"] + 1
    what = (name, dict(config), changed_by, note, now)
    await db.execute(_INSERT_VERSION, *place, version, *what)
    await db.execute(_UPDATE, *place, version, name, voice_provider(config), now)
    await db.execute(_FORGET_VERSIONS, *place, version - VERSIONS_KEPT)
    return int(version)


async def set_status(
    db: Connection, workspace_id: UUID, agent_id: UUID, status: str, now: datetime
) -> bool:
    """Whether it had another one."""
    done = await db.execute(_SET_STATUS, workspace_id, agent_id, status, now)
    return done.endswith(" 1")


async def delete(db: Connection, workspace_id: UUID, agent_id: UUID) -> None:
    """With its versions. Its numbers stay, and have no agent any more."""
    await db.execute(_DELETE, workspace_id, agent_id)


async def versions(
    db: Connection, workspace_id: UUID, agent_id: UUID, *, limit: int, offset: int
) -> tuple[Sequence[Row], int]:
    """A page of them without their configurations, the latest first, and how many there are."""
    rows = await db.fetch(_VERSIONS, workspace_id, agent_id, limit, offset)
    if rows:
        return rows, rows[0]["total"]
    return rows, await db.fetchval(_COUNT_VERSIONS, workspace_id, agent_id)


async def version(db: Connection, workspace_id: UUID, agent_id: UUID, number: int) -> Row | None:
    return await db.fetchrow(_VERSION, workspace_id, agent_id, number)


def voice_provider(config: Mapping[str, Any]) -> str:
    """The vendor of the voice that is used."""
    tts = config["tts"]
    first = tts[0] if isinstance(tts, list) else tts
    return str(first["vendor"])
