"""Who answers a number."""

from collections.abc import Sequence
from uuid import UUID

from control.db.database import Connection, Row

_BY_NUMBER = """
SELECT phone_numbers.workspace_id, phone_numbers.phone_number, phone_numbers.carrier,
       agents.id AS agent_id, agents.status AS agent_status, agents.version, agents.name,
       agent_versions.config, workspaces.status AS workspace_status,
       tiers.max_concurrent_calls, tiers.max_minutes
FROM phone_numbers
JOIN workspaces ON workspaces.id = phone_numbers.workspace_id AND workspaces.deleted_at IS NULL
JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
LEFT JOIN agents ON agents.id = phone_numbers.agent_id
LEFT JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE phone_numbers.phone_number = $1 AND phone_numbers.status = 'active'"""
_BY_AGENT = """
SELECT agents.workspace_id, agents.id AS agent_id, agents.status AS agent_status, agents.version,
       agents.name, agent_versions.config, workspaces.status AS workspace_status,
       tiers.max_concurrent_calls, tiers.max_minutes
FROM agents
JOIN workspaces ON workspaces.id = agents.workspace_id AND workspaces.deleted_at IS NULL
JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE agents.workspace_id = $1 AND agents.id = $2"""
_USED = """
SELECT (SELECT count(*) FROM calls WHERE workspace_id = $1 AND status = 'in_progress'
            AND started_at > now() - interval '1 day') AS live,
       (SELECT coalesce(sum(duration_ms), 0)::bigint FROM call_counts WHERE workspace_id = $1
            AND day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date) AS duration_ms"""

_LIVE = """
SELECT DISTINCT ON (agents.updated_at, agents.id) agents.id AS agent_id, agents.version,
       agent_versions.config
FROM agents
JOIN phone_numbers ON phone_numbers.agent_id = agents.id AND phone_numbers.status = 'active'
JOIN workspaces ON workspaces.id = agents.workspace_id
    AND workspaces.deleted_at IS NULL AND workspaces.status <> 'suspended'
JOIN agent_versions
    ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
WHERE agents.status = 'live'
ORDER BY agents.updated_at DESC, agents.id LIMIT $1"""


async def live(db: Connection, limit: int) -> Sequence[Row]:
    """Agents that answer numbers, those that were changed last first."""
    return await db.fetch(_LIVE, limit)


async def of_number(db: Connection, phone_number: str) -> Row | None:
    """The agent that answers this number, and whether it may."""
    return await db.fetchrow(_BY_NUMBER, phone_number)


async def of_agent(db: Connection, workspace_id: UUID, agent_id: UUID) -> Row | None:
    """The agent itself, likewise."""
    return await db.fetchrow(_BY_AGENT, workspace_id, agent_id)


async def refusal(db: Connection, route: Row, *, tests: bool = False) -> str:
    """Why the call is not answered, as a code; empty where it is.

    :param tests: a test is answered by an agent that is not live yet too."""
    if route["agent_id"] is None or route["config"] is None:
        return "no_agent"
    if route["workspace_status"] == "suspended":
        return "workspace_suspended"
    if route["agent_status"] != "live" and not tests:
        return "agent_not_live"
    used = await db.fetchrow(_USED, route["workspace_id"])
    assert used is not None
    most_live, most_minutes = route["max_concurrent_calls"], route["max_minutes"]
    if most_live is not None and used["live"] >= most_live:
        return "too_many_calls"
    if most_minutes is not None and used["duration_ms"] >= most_minutes * 60_000:
        return "minutes_used_up"
    return ""
