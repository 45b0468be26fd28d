"""Whoever leaves a workspace, or may do less in it, leaves no API key behind that does more."""

from collections.abc import Sequence
from uuid import UUID

from control.db import api_keys
from control.http.context import Context


async def revoke_keys(
    context: Context, workspace_id: UUID, user_id: UUID, kept_roles: Sequence[str]
) -> None:
    """Revoke what somebody has made, but for keys of these roles."""
    for row in await api_keys.revoke_his(
        context.db, workspace_id, user_id, kept_roles, context.now
    ):
        await context.write_down(
            "api_key.revoked",
            "api_key",
            row["id"],
            workspace_id=workspace_id,
            before={name: row[name] for name in ("name", "prefix", "role", "created_by")},
        )
