"""Whoever leaves a workspace, or may do less in it, leaves nothing behind that does more: no API
key that he has made, no OAuth client whose secret he was shown last, no invitation that waits."""

from collections.abc import Sequence
from uuid import UUID

from control.auth import tokens
from control.db import api_keys, invitations, oauth_clients
from control.http.context import Context


async def take_back(
    context: Context, workspace_id: UUID | None, user_id: UUID, kept_roles: Sequence[str]
) -> None:
    """Take back what is somebody's, but for keys of these roles, and invitations as one of them.
    OAuth clients are kept for owners.

    :param workspace_id: None: in all that the request sees."""
    if "owner" not in kept_roles:
        await _revoke_clients(context, workspace_id, user_id)
    for row in await api_keys.revoke_his(
        context.db, workspace_id, user_id, kept_roles, context.now
    ):
        await context.write_down(
            "api_key.revoked",
            "api_key",
            row["id"],
            workspace_id=row["workspace_id"],
            before={name: row[name] for name in ("name", "prefix", "role", "created_by")},
        )
    for row in await invitations.withdraw_his(context.db, workspace_id, user_id, kept_roles):
        await context.write_down(
            "invitation.withdrawn",
            "invitation",
            row["id"],
            workspace_id=row["workspace_id"],
            before={"email": row["email"], "role": row["role"]},
        )


async def take_back_all(context: Context, user_id: UUID) -> None:
    """Of somebody who is in no workspace any more, or logs in no more."""
    await take_back(context, None, user_id, ())


async def _revoke_clients(context: Context, workspace_id: UUID | None, user_id: UUID) -> None:
    for row in await oauth_clients.revoke_his(context.db, workspace_id, user_id, context.now):
        await tokens.revoke_client(context.db, row["id"], context.now)
        await context.write_down(
            "oauth_client.revoked",
            "oauth_client",
            row["id"],
            workspace_id=row["workspace_id"],
            before={name: row[name] for name in ("client_id", "name", "scopes", "shown_to")},
        )
