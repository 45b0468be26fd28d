"""What was done, and by whom. Written by ``Context.write_down``."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from control.db.database import Connection, Row

_LIST = """
SELECT * FROM audit_log
WHERE ($1::uuid IS NULL OR (actor_id = $1 AND actor_kind = 'admin'))
  AND ($2::text IS NULL OR action = $2)
  AND ($3::timestamptz IS NULL OR at >= $3)
  AND ($4::timestamptz IS NULL OR at < $4)
  AND ($5::timestamptz IS NULL OR (at, id) < ($5, $6::bigint))
ORDER BY at DESC, id DESC
LIMIT $7 OFFSET $8"""
_COUNT = """
SELECT count(*) FROM audit_log
WHERE ($1::uuid IS NULL OR (actor_id = $1 AND actor_kind = 'admin'))
  AND ($2::text IS NULL OR action = $2)
  AND ($3::timestamptz IS NULL OR at >= $3)
  AND ($4::timestamptz IS NULL OR at < $4)"""


class Wanted(msgspec.Struct, frozen=True):
    """Which entries; None: any. Times from ``since`` on and before ``until``."""

    admin_id: UUID | None
    action: str | None
    since: datetime | None
    until: datetime | None

    @property
    def values(self) -> tuple[UUID | None, str | None, datetime | None, datetime | None]:
        return self.admin_id, self.action, self.since, self.until


async def find(
    db: Connection,
    wanted: Wanted,
    *,
    before: tuple[datetime, int] | None,
    limit: int,
    offset: int,
) -> Sequence[Row]:
    """The newest first; ``before`` is the time and id of the entry that they come after."""
    at, entry = before or (None, None)
    return await db.fetch(_LIST, *wanted.values, at, entry, limit, offset)


async def count(db: Connection, wanted: Wanted) -> int:
    return int(await db.fetchval(_COUNT, *wanted.values))
