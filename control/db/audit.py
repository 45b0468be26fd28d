"""What was done, and by whom. Written by ``Context.write_down``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from control.db.database import Connection, Row

# Each filter that is set is a condition of its own, for which there may be an index.
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

    @property
    def filters(self) -> tuple[list[str], list[Any]]:
        """The conditions, and their values."""
        conditions, values = ["true"], []
        for name, condition in _CONDITIONS.items():
            if (value := getattr(self, name)) is not None:
                values.append(value)
                conditions.append(condition.format(f"${len(values)}"))
        return conditions, values


async def find(
    db: Connection,
    wanted: Wanted,
    *,
    after: tuple[datetime, int] | None,
    limit: int,
    offset: int,
) -> Sequence[Row]:
    """The newest first; ``after`` is the time and id of the entry that they come behind."""
    conditions, values = wanted.filters
    if after is not None:
        values += after
        conditions.append(_AFTER.format(f"${len(values) - 1}", f"${len(values)}"))
    values += (limit, offset)
    statement = _LIST.format(
        conditions=" AND ".join(conditions),
        limit=f"${len(values) - 1}",
        offset=f"${len(values)}",
    )
    return await db.fetch(statement, *values)


async def count(db: Connection, wanted: Wanted) -> int:
    conditions, values = wanted.filters
    statement = _COUNT.format(conditions=" AND ".join(conditions))
    return int(await db.fetchval(statement, *values))
