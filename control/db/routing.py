"""Who answers a number."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from control.db.database import Connection, Row

_SECRETS = """(
           SELECT coalesce(jsonb_object_agg(secrets.name, secrets.updated_at), '{{}}')
           FROM secrets WHERE secrets.workspace_id = {}) AS secret_revisions"""
"""By their names: a secret that is changed has another one."""
_BY_NUMBER = f"""
SELECT phone_numbers.workspace_id, phone_numbers.phone_number, phone_numbers.carrier,
       agents.id AS agent_id, agents.status AS agent_status, agents.version, agents.name,
       agent_versions.config, workspaces.status AS workspace_status,
       tiers.max_concurrent_calls, tiers.max_minutes,
       {_SECRETS.format("workspaces.id")}
FROM phone_numbers
JOIN workspaces ON workspaces.id = phone_numbers.workspace_id AND workspaces.deleted_at IS NULL
JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
LEFT JOIN agents ON agents.id = phone_numbers.agent_id
LEFT JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE phone_numbers.phone_number = $1 AND phone_numbers.status = 'active'"""
_BY_AGENT = f"""
SELECT agents.workspace_id, agents.id AS agent_id, agents.status AS agent_status, agents.version,
       agents.name, agent_versions.config, workspaces.status AS workspace_status,
       tiers.max_concurrent_calls, tiers.max_minutes,
       {_SECRETS.format("workspaces.id")}
FROM agents
JOIN workspaces ON workspaces.id = agents.workspace_id AND workspaces.deleted_at IS NULL
JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE agents.workspace_id = $1 AND agents.id = $2"""
_USED = """
SELECT (SELECT count(*) FROM calls WHERE workspace_id = $1 AND status = 'in_progress'
            AND started_at > now() - interval '1 day')
       + (SELECT count(*) FROM coming_calls WHERE workspace_id = $1 AND asked_by <> $2
            AND expires_at > now()
            AND NOT EXISTS (SELECT FROM calls WHERE calls.id = coming_calls.call_id)) AS live,
       (SELECT coalesce(sum(duration_ms), 0)::bigint FROM call_counts WHERE workspace_id = $1
            AND day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date) AS duration_ms"""
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('calls of ' || $1::uuid, 0))"
_RESERVE = """
INSERT INTO coming_calls (workspace_id, asked_by, call_id, expires_at)
VALUES ($1, $2, $3, now() + $4::interval)
ON CONFLICT (workspace_id, asked_by) DO UPDATE
SET call_id = excluded.call_id, expires_at = excluded.expires_at"""
_RELEASE = """
DELETE FROM coming_calls WHERE workspace_id = $1 AND asked_by = $2 AND call_id = $3"""
_RENAME = "UPDATE coming_calls SET call_id = $3 WHERE workspace_id = $1 AND asked_by = $2"
_STANDING = """
SELECT agents.id, agents.status = 'live' AS is_live FROM agents
JOIN workspaces ON workspaces.id = agents.workspace_id
    AND workspaces.deleted_at IS NULL AND workspaces.status <> 'suspended'
WHERE agents.id = ANY ($1::uuid[])"""

_LIVE = f"""
SELECT DISTINCT ON (agents.updated_at, agents.id) agents.id AS agent_id, agents.version,
       agents.workspace_id, agent_versions.config,
       {_SECRETS.format("agents.workspace_id")}
FROM agents
JOIN phone_numbers ON phone_numbers.agent_id = agents.id AND phone_numbers.status = 'active'
JOIN workspaces ON workspaces.id = agents.workspace_id
    AND workspaces.deleted_at IS NULL AND workspaces.status <> 'suspended'
JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE agents.status = 'live' AND ($2::uuid IS NULL OR agents.workspace_id = $2)
ORDER BY agents.updated_at DESC, agents.id LIMIT $1"""


async def live(db: Connection, limit: int, workspace_id: UUID | None = None) -> Sequence[Row]:
    """Agents that answer numbers, of one workspace or of all; those that were changed last are
    the first."""
    return await db.fetch(_LIVE, limit, workspace_id)


async def of_number(db: Connection, phone_number: str) -> Row | None:
    """The agent that answers this number, and whether it may."""
    return await db.fetchrow(_BY_NUMBER, phone_number)


async def of_agent(db: Connection, workspace_id: UUID, agent_id: UUID) -> Row | None:
    """The agent itself, likewise."""
    return await db.fetchrow(_BY_AGENT, workspace_id, agent_id)


async def standing(db: Connection, agent_ids: Iterable[UUID]) -> dict[UUID, bool]:
    """Of these agents those that may answer, and whether they are live: others answer tests."""
    rows = await db.fetch(_STANDING, list(agent_ids))
    return {row["id"]: row["is_live"] for row in rows}


async def release(db: Connection, workspace_id: UUID, asked_by: str, call_id: UUID) -> None:
    """The call's stream will not come after all."""
    await db.execute(_RELEASE, workspace_id, asked_by, call_id)


async def rename(db: Connection, workspace_id: UUID, asked_by: str, call_id: UUID) -> None:
    """The call in this place has another name."""
    await db.execute(_RENAME, workspace_id, asked_by, call_id)


async def refusal(
    db: Connection,
    route: Row,
    asked_by: str,
    call_id: UUID,
    counts: timedelta,
    *,
    tests: bool = False,
) -> str:
    """Why the call is not answered, as a code; empty where it is. Then it has its place among the
    workspace's calls, whichever process answers them, for as long as it ``counts`` without a
    stream.

    :param db: a transaction. The workspace's calls are asked about one at a time until it ends.
    :param asked_by: whoever asks again has one place.
    :param tests: a test is answered by an agent that is not live yet too."""
    if route["agent_id"] is None or route["config"] is None:
        return "no_agent"
    if route["workspace_status"] == "suspended":
        return "workspace_suspended"
    if route["agent_status"] != "live" and not tests:
        return "agent_not_live"
    workspace_id = route["workspace_id"]
    most_live, most_minutes = route["max_concurrent_calls"], route["max_minutes"]
    if most_live is not None:
        await db.execute(_ALONE, workspace_id)
    used = await db.fetchrow(_USED, workspace_id, asked_by)
    assert used is not None
    if most_live is not None and used["live"] >= most_live:
        return "too_many_calls"
    if most_minutes is not None and used["duration_ms"] >= most_minutes * 60_000:
        return "minutes_used_up"
    if most_live is not None and not tests:  # a test has a place once it has begun
        await db.execute(_RESERVE, workspace_id, asked_by, call_id, counts)
    return ""
