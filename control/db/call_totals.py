"""How many calls workspaces had, and what they paid for them."""

from collections.abc import Iterable
from uuid import UUID

from control.db.database import Connection, Row

_TOTALS = """
SELECT wanted.id AS workspace_id, coalesce(sum(call_counts.calls), 0)::bigint AS calls,
       coalesce(sum(call_counts.cost_micros), 0)::bigint AS revenue_micros
FROM unnest($1::uuid[]) AS wanted (id)
LEFT JOIN call_counts ON call_counts.workspace_id = wanted.id
GROUP BY wanted.id"""


async def of_workspaces(db: Connection, workspace_ids: Iterable[UUID]) -> dict[UUID, Row]:
    """``calls`` and ``revenue_micros``, since the beginning, of each."""
    rows = await db.fetch(_TOTALS, list(workspace_ids))
    return {row["workspace_id"]: row for row in rows}
