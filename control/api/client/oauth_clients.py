"""OAuth clients of a workspace, as its owners manage them. They see nothing but the workspace."""

from uuid import UUID

from control.api.client.members import role_now
from control.api.managed_clients import (
    TOO_MANY_CLIENTS,
    NewWorkspaceClient,
    OAuthClients,
    OneOAuthClient,
    listed,
    made,
    revoke,
    rotated,
)
from control.api.shapes import PortalPageQuery
from control.http.access import MEMBER_OWNS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint


@endpoint("GET", "/workspaces/{workspace_id}/oauth-clients", MEMBER_OWNS, OAuthClients)
async def list_oauth_clients(
    context: Context, workspace_id: UUID, query: PortalPageQuery
) -> Answer:
    """List the workspace's OAuth clients that are not revoked."""
    return await listed(context, workspace_id, query)


@endpoint(
    "POST",
    "/workspaces/{workspace_id}/oauth-clients",
    MEMBER_OWNS,
    OneOAuthClient,
    status=201,
    refusals=(TOO_MANY_CLIENTS,),
    shows_secret=True,
)
async def create_oauth_client(
    context: Context, workspace_id: UUID, body: NewWorkspaceClient
) -> Answer:
    """Create an OAuth client. Its secret is shown this once.

    The client is revoked when you are no owner any more, see `client_secret`."""
    await role_now(context, workspace_id, MEMBER_OWNS)
    return await made(context, body, workspace_id)


@endpoint(
    "POST",
    "/workspaces/{workspace_id}/oauth-clients/{oauth_client_id}/rotate",
    MEMBER_OWNS,
    OneOAuthClient,
    shows_secret=True,
)
async def rotate_oauth_client(
    context: Context, workspace_id: UUID, oauth_client_id: UUID
) -> Answer:
    """Give an OAuth client another secret, which is shown this once. The old one is good no more;
    the tokens that it has are.

    The client is revoked when you are no owner any more, see `client_secret`."""
    await role_now(context, workspace_id, MEMBER_OWNS)
    return await rotated(context, oauth_client_id, workspace_id)


@endpoint("DELETE", "/workspaces/{workspace_id}/oauth-clients/{oauth_client_id}", MEMBER_OWNS, None)
async def revoke_oauth_client(
    context: Context, workspace_id: UUID, oauth_client_id: UUID
) -> Answer:
    """Revoke an OAuth client, and all of its tokens."""
    await revoke(context, oauth_client_id, workspace_id)
    return None


ENDPOINTS = (list_oauth_clients, create_oauth_client, rotate_oauth_client, revoke_oauth_client)
