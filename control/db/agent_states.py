"""A workspace's agents as its overview shows them."""

from collections.abc import Sequence
from uuid import UUID

from control.db.database import Connection, Row

_LIST = """
SELECT id, name, status, created_at FROM agents WHERE workspace_id = $1
ORDER BY created_at, id LIMIT 1000"""


async def of_workspace(db: Connection, workspace_id: UUID) -> Sequence[Row]:
    """``id``, ``name``, ``status``, ``created_at``; the oldest first."""
    return await db.fetch(_LIST, workspace_id)
