"""OAuth clients, as the platform's admins manage them: everybody's, and the platform's own, which
see every customer."""

from uuid import UUID

from pydantic import Field

from control.api.managed_clients import (
    TOO_MANY_CLIENTS,
    NewWorkspaceClient,
    OAuthClients,
    OneOAuthClient,
    RateLimitTier,
    listed,
    made,
    revoke,
    rotated,
)
from control.api.shapes import PortalPageQuery
from control.db import workspaces
from control.http.access import ADMIN_OWNS, ADMIN_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import VALIDATION_ERROR


class NewOAuthClient(NewWorkspaceClient):
    workspace_id: UUID | None = Field(
        None, description="Whose it is; without one it is the platform's."
    )
    rate_limit_tier: RateLimitTier | None = Field(
        None, description="Without one, that of the workspace's subscription; or `standard`."
    )


class OAuthClientQuery(PortalPageQuery):
    workspace_id: UUID | None = None


@endpoint("GET", "/admin/oauth-clients", ADMIN_READS, OAuthClients)
async def admin_list_oauth_clients(context: Context, query: OAuthClientQuery) -> Answer:
    """List OAuth clients that are not revoked."""
    return await listed(context, query.workspace_id, query)


@endpoint(
    "POST",
    "/admin/oauth-clients",
    ADMIN_OWNS,
    OneOAuthClient,
    status=201,
    refusals=(TOO_MANY_CLIENTS,),
    shows_secret=True,
)
async def admin_create_oauth_client(context: Context, body: NewOAuthClient) -> Answer:
    """Create an OAuth client. Its secret is shown this once."""
    whose = body.workspace_id
    if whose is not None and await workspaces.by_id(context.db, whose) is None:
        details = [Invalid("workspace_id", "There is no such workspace")]
        raise Refused(VALIDATION_ERROR, details=details)
    return await made(context, body, whose, body.rate_limit_tier)


@endpoint(
    "POST",
    "/admin/oauth-clients/{oauth_client_id}/rotate",
    ADMIN_OWNS,
    OneOAuthClient,
    shows_secret=True,
)
async def admin_rotate_oauth_client(context: Context, oauth_client_id: UUID) -> Answer:
    """Give an OAuth client another secret, which is shown this once. The old one is good no more;
    the tokens that it has are."""
    return await rotated(context, oauth_client_id, None)


@endpoint("DELETE", "/admin/oauth-clients/{oauth_client_id}", ADMIN_OWNS, None)
async def admin_revoke_oauth_client(context: Context, oauth_client_id: UUID) -> Answer:
    """Revoke an OAuth client, and all of its tokens."""
    await revoke(context, oauth_client_id, None)
    return None


ENDPOINTS = (
    admin_list_oauth_clients,
    admin_create_oauth_client,
    admin_rotate_oauth_client,
    admin_revoke_oauth_client,
)
