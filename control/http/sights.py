"""Whose rows a request sees.

Said twice, so that neither is trusted alone: here, for each statement's WHERE and for transactions;
and by the database itself as it finds the bearer (``see_as_bearer``), for who only reads.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from control.db.database import NOBODY, PLATFORM, Sight, of_workspaces
from control.http.access import Bearer
from control.http.endpoint import Endpoint
from control.http.errors import Refused
from control.http.refusals import (
    PEOPLE_ONLY,
    RESOURCE_NOT_FOUND,
    WORKSPACE_SUSPENDED,
    role_too_low,
)


def place_in(endpoint: Endpoint, request: web.Request) -> UUID | None:
    """The workspace of the path, where only its members may ask."""
    if endpoint.access.kind != "member":
        return None
    try:
        return UUID(request.match_info["workspace_id"])
    except ValueError:
        return None  # there is nothing at such a path, as is told to who may ask


def sight_of(endpoint: Endpoint, bearer: Bearer | None, values: Mapping[str, Any]) -> Sight:
    """Whose rows the handler sees.

    :raises Refused: the workspace of the path is none of the caller's, or it is suspended."""
    access = endpoint.access
    if bearer is None or bearer.kind == "admin":
        return PLATFORM
    if access.kind == "member":
        workspace: UUID = values["workspace_id"]
        role = bearer.roles.get(workspace)
        if role is None:
            raise Refused(RESOURCE_NOT_FOUND)
        is_key = bearer.kind == "api_key"
        if is_key and not access.takes_keys:
            raise Refused(PEOPLE_ONLY)
        if role not in access.roles:
            who = "the API key is" if is_key else "you are"
            raise Refused(role_too_low(access.roles, role, who))
        if endpoint.changes and workspace in bearer.suspended:
            raise Refused(WORKSPACE_SUSPENDED)
        return of_workspaces([workspace], bearer.person)
    if bearer.kind == "oauth":
        return _sight_of_client(bearer)
    return of_workspaces(bearer.roles, bearer.person)


def _sight_of_client(bearer: Bearer) -> Sight:
    """A client of the platform sees every customer, a workspace's own client that one, and one
    that acts for a person no more than the person."""
    if bearer.person is not None:
        seen = set(bearer.roles)
        if bearer.client_workspace is not None:
            seen &= {bearer.client_workspace}
        return of_workspaces(seen, bearer.person)
    if bearer.client_workspace is not None:
        return of_workspaces([bearer.client_workspace])
    return PLATFORM if bearer.client is not None else NOBODY
