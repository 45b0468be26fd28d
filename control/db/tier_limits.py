"""What a workspace's tier allows, and what of it is used.

A limit of None is none. Months are those of the calendar, in UTC.
"""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec

from control.db import workspaces
from control.db.database import Connection, Row

LONGEST_CALL = timedelta(days=1)
"""A call that began earlier and never ended is not going on: its process died with it."""

_LIMITS = """
SELECT tiers.* FROM workspaces JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
WHERE workspaces.id = $1 AND workspaces.deleted_at IS NULL"""
_AGENTS = "SELECT count(*) FROM agents WHERE workspace_id = $1"
_THIS_MONTH = """
SELECT coalesce(sum(calls), 0)::bigint AS calls,
       coalesce(sum(duration_ms), 0)::bigint AS duration_ms
FROM call_counts WHERE workspace_id = $1 AND day >= $2"""
_LIVE = """
SELECT count(*) FROM calls
WHERE workspace_id = $1 AND status = 'in_progress' AND started_at > $2"""


class Usage(msgspec.Struct, frozen=True):
    """Agents and live calls as they are, calls and their milliseconds since the month began."""

    agents: int
    live_calls: int
    calls: int
    duration_ms: int


async def limits(db: Connection, workspace_id: UUID) -> Row | None:
    """The workspace's tier; None where there is no such workspace."""
    return await db.fetchrow(_LIMITS, workspace_id)


async def usage(db: Connection, workspace_id: UUID, now: datetime) -> Usage:
    month = await db.fetchrow(_THIS_MONTH, workspace_id, month_of(now))
    assert month is not None
    agents = await db.fetchval(_AGENTS, workspace_id)
    live = await db.fetchval(_LIVE, workspace_id, now - LONGEST_CALL)
    return Usage(agents, live, month["calls"], month["duration_ms"])


async def may_add_agent(db: Connection, workspace_id: UUID) -> bool:
    """Whether the workspace may have one more agent. Until the transaction ends nobody else may
    add one, so that two at once do not both take the last place."""
    await workspaces.lock(db, workspace_id)
    tier = await limits(db, workspace_id)
    if tier is None:
        return False
    return tier["max_agents"] is None or tier["max_agents"] > await db.fetchval(
        _AGENTS, workspace_id
    )


async def may_add_call(db: Connection, workspace_id: UUID, now: datetime) -> bool:
    """Whether the workspace may have one more call at the same time, and minutes for it."""
    tier = await limits(db, workspace_id)
    if tier is None:
        return False
    most = tier["max_concurrent_calls"]
    if most is not None:
        live = await db.fetchval(_LIVE, workspace_id, now - LONGEST_CALL)
        if live >= most:
            return False
    return await _has_minutes(db, workspace_id, tier, now)


async def may_add_minute(db: Connection, workspace_id: UUID, now: datetime) -> bool:
    """Whether the workspace may talk for longer this month. Calls that go on are not counted
    before they end."""
    tier = await limits(db, workspace_id)
    return tier is not None and await _has_minutes(db, workspace_id, tier, now)


async def _has_minutes(db: Connection, workspace_id: UUID, tier: Row, now: datetime) -> bool:
    if tier["max_minutes"] is None:
        return True
    month = await db.fetchrow(_THIS_MONTH, workspace_id, month_of(now))
    assert month is not None
    return bool(month["duration_ms"] < tier["max_minutes"] * 60_000)


def month_of(now: datetime) -> date:
    """The month's first day."""
    return now.astimezone(UTC).date().replace(day=1)
