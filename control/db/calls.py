"""Calls, as they are read."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec

from control.db.database import Connection, Row
from control.db.pages import After, filters_of, page, total

_CONDITIONS = {
    "workspace_id": "calls.workspace_id = {}",
    "agent_id": "calls.agent_id = {}",
    "status": "calls.status = {}",
    "direction": "calls.direction = {}",
    "is_test": "calls.is_test = {}",
    "since": "calls.started_at >= {}",
    "until": "calls.started_at < {}",
}
_LIST = """
SELECT calls.*, workspaces.name AS workspace_name
FROM calls JOIN workspaces ON workspaces.id = calls.workspace_id
WHERE {conditions}
ORDER BY calls.started_at DESC, calls.number DESC
LIMIT {limit} OFFSET {offset}"""
_COUNT = "SELECT count(*) FROM calls WHERE {conditions}"
_COUNT_DAYS = "SELECT coalesce(sum(calls), 0)::bigint FROM call_counts WHERE {conditions}"
_AFTER = "(calls.started_at, calls.number) < ({}, {}::bigint)"
_ONE = """
SELECT calls.*, workspaces.name AS workspace_name
FROM calls JOIN workspaces ON workspaces.id = calls.workspace_id
WHERE calls.id = $1 AND ($2::uuid IS NULL OR calls.workspace_id = $2)"""
_LIVE = """
SELECT calls.*, workspaces.name AS workspace_name
FROM calls JOIN workspaces ON workspaces.id = calls.workspace_id
WHERE calls.status = 'in_progress' AND ($1::uuid IS NULL OR calls.workspace_id = $1)
ORDER BY calls.started_at LIMIT $2"""
_EVENTS = """
SELECT sequence, type, at_ms, data, occurred_at FROM call_events
WHERE workspace_id = $1 AND call_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4"""
_TURNS = """
SELECT speaker, start_ms, end_ms, text, words, interrupted FROM call_turns
WHERE workspace_id = $1 AND call_id = $2 ORDER BY start_ms, sequence LIMIT $3"""

MOST_TURNS = 10_000
MOST_LIVE = 1000


class Wanted(msgspec.Struct, frozen=True):
    """Which calls; None: any. Times from ``since`` on and before ``until``."""

    workspace_id: UUID | None = None
    agent_id: UUID | None = None
    status: str | None = None
    direction: str | None = None
    is_test: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


async def find(
    db: Connection, wanted: Wanted, *, after: After | None, limit: int, offset: int
) -> Sequence[Row]:
    """The newest first; ``after`` is the time and number of the call that they come behind."""
    filters = filters_of(_CONDITIONS, wanted)
    return await page(db, _LIST, filters, behind=_AFTER, after=after, limit=limit, offset=offset)


async def count(db: Connection, wanted: Wanted) -> int:
    """How many there are: whole days by what was counted, the rest of the first and of the last
    day by their calls."""
    first, last = _days(wanted)
    if first is not None and last is not None and first > last:  # within one day
        return await _counted(db, wanted)
    total = await _counted_by_day(db, wanted, first, last)
    if wanted.since is not None and wanted.since < (begin := _midnight(first)):
        total += await _counted(db, msgspec.structs.replace(wanted, until=begin))
    if wanted.until is not None and wanted.until > (end := _midnight(last)):
        total += await _counted(db, msgspec.structs.replace(wanted, since=end))
    return total


def _days(wanted: Wanted) -> tuple[date | None, date | None]:
    """The first whole day, and the one behind the last."""
    first = last = None
    if wanted.since is not None:
        utc = wanted.since.astimezone(UTC)
        first = utc.date() if utc.time() == time() else utc.date() + timedelta(days=1)
    if wanted.until is not None:
        last = wanted.until.astimezone(UTC).date()
    return first, last


def _midnight(day: date | None) -> datetime:
    assert day is not None
    return datetime.combine(day, time(), UTC)


async def _counted(db: Connection, wanted: Wanted) -> int:
    return await total(db, _COUNT, filters_of(_CONDITIONS, wanted))


async def _counted_by_day(
    db: Connection, wanted: Wanted, first: date | None, last: date | None
) -> int:
    filters = (
        ("workspace_id =", wanted.workspace_id),
        ("agent_id =", wanted.agent_id),
        ("status =", wanted.status),
        ("direction =", wanted.direction),
        ("is_test =", wanted.is_test),
        ("day >=", first),
        ("day <", last),
    )
    given = [(condition, value) for condition, value in filters if value is not None]
    conditions = [f"{condition} ${place}" for place, (condition, _) in enumerate(given, 1)]
    statement = _COUNT_DAYS.format(conditions=" AND ".join(conditions) or "true")
    return int(await db.fetchval(statement, *(value for _, value in given)))


async def one(db: Connection, call_id: UUID, workspace_id: UUID | None = None) -> Row | None:
    return await db.fetchrow(_ONE, call_id, workspace_id)


async def live(db: Connection, workspace_id: UUID | None = None) -> Sequence[Row]:
    """Those that go on, the oldest first."""
    return await db.fetch(_LIVE, workspace_id, MOST_LIVE)


async def events(
    db: Connection, workspace_id: UUID, call_id: UUID, *, after: int, limit: int
) -> Sequence[Row]:
    return await db.fetch(_EVENTS, workspace_id, call_id, after, limit)


async def turns(db: Connection, workspace_id: UUID, call_id: UUID) -> Sequence[Row]:
    """What was said, in the order in which it began."""
    return await db.fetch(_TURNS, workspace_id, call_id, MOST_TURNS)
