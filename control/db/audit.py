"""What was done, and by whom. Written by ``Context.write_down``."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from control.db.database import Connection, Row
from control.db.pages import After, filters_of, page, total

_CONDITIONS = {
    "admin_id": "actor_kind = 'admin' AND actor_id = {}",
    "action": "action = {}",
    "since": "at >= {}",
    "until": "at < {}",
}
_AFTER = "(at, id) < ({}, {}::bigint)"
_LIST = """
SELECT * FROM audit_log WHERE {conditions} ORDER BY at DESC, id DESC LIMIT {limit} OFFSET {offset}
"""
_COUNT = "SELECT count(*) FROM audit_log WHERE {conditions}"


class Wanted(msgspec.Struct, frozen=True):
    """Which entries; None: any. Times from ``since`` on and before ``until``."""

    admin_id: UUID | None
    action: str | None
    since: datetime | None
    until: datetime | None


async def find(
    db: Connection, wanted: Wanted, *, after: After | None, limit: int, offset: int
) -> Sequence[Row]:
    """The newest first; ``after`` is the time and id of the entry that they come behind."""
    filters = filters_of(_CONDITIONS, wanted)
    return await page(db, _LIST, filters, behind=_AFTER, after=after, limit=limit, offset=offset)


async def count(db: Connection, wanted: Wanted) -> int:
    return await total(db, _COUNT, filters_of(_CONDITIONS, wanted))
