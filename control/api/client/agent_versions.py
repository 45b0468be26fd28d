"""The history of a voice agent."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from control.api.agent_configs import check
from control.api.client.agent_shapes import OneAgent
from control.api.client.agents import agent_of, changed_by, found_agent, load
from control.api.shapes import Body, Number, PortalPageQuery, Shape
from control.db import agents
from control.db.database import Row
from control.http.access import MEMBER_MANAGES, MEMBER_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.etags import check_if_match, tagged
from control.http.refusals import PRECONDITION_FAILED, RESOURCE_NOT_FOUND, VALIDATION_ERROR

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
_AGENT = "/workspaces/{workspace_id}/agents/{agent_id}"


class Rollback(Body):
    version: Annotated[Number, Field(ge=1, le=2**31 - 1)]


class ListedVersion(Shape):
    version: int
    name: str
    changed_by: str = Field(description="A person's e-mail, or an API key's name.")
    note: str
    created_at: datetime


class Version(ListedVersion):
    config: dict[str, Any]


class Versions(Shape):
    versions: list[ListedVersion]
    total: int
    page: int
    limit: int


class OneVersion(Shape):
    version: Version


@endpoint("GET", _AGENT + "/versions", MEMBER_READS, Versions)
async def list_agent_versions(
    context: Context, workspace_id: UUID, agent_id: UUID, query: PortalPageQuery
) -> Answer:
    """List an agent's versions, the latest first. The latest 500 are kept, and those of calls in
    progress."""
    await found_agent(context, workspace_id, agent_id)
    rows, total = await agents.versions(
        context.db, workspace_id, agent_id, limit=query.limit, offset=query.offset
    )
    listed = [{name: row[name] for name in ListedVersion.model_fields} for row in rows]
    return {"versions": listed, "total": total, "page": query.page, "limit": query.limit}


@endpoint("GET", _AGENT + "/versions/{version}", MEMBER_READS, OneVersion)
async def get_agent_version(
    context: Context, workspace_id: UUID, agent_id: UUID, version: VersionNumber
) -> Answer:
    """Get a version, with its configuration."""
    row = await agents.version(context.db, workspace_id, agent_id, version)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return {"version": {name: row[name] for name in Version.model_fields}}


@endpoint(
    "POST",
    _AGENT + "/rollback",
    MEMBER_MANAGES,
    OneAgent,
    refusals=(PRECONDITION_FAILED,),
    etag=True,
    heavy="configurations",
)
async def roll_back_agent(
    context: Context, workspace_id: UUID, agent_id: UUID, body: Rollback
) -> Answer:
    """Make an agent what it was in an earlier version, of the 500 that are kept. That is a new
    version too."""
    before = await found_agent(context, workspace_id, agent_id, to_change=True)
    check_if_match(context.headers, before["version"])
    old = await _earlier(context, before, body.version)
    await check(context, old["config"], workspace_id, ready=before["status"] == "live")
    await agents.add_version(
        context.db,
        before,
        context.now,
        name=old["name"],
        config=old["config"],
        changed_by=changed_by(context),
        note=f"back to version {body.version}",
    )
    row = await found_agent(context, workspace_id, agent_id)
    if row["status"] == "live":
        await load(context, workspace_id, agent_id)
    await context.write_down(
        "agent.rolled_back",
        "agent",
        agent_id,
        workspace_id=workspace_id,
        before={"version": before["version"]},
        after={"version": row["version"]},
        to_version=body.version,
    )
    return tagged({"agent": agent_of(row)}, row["version"])


async def _earlier(context: Context, agent: Row, number: int) -> Row:
    """:raises Refused: the agent has no such version."""
    row = await agents.version(context.db, agent["workspace_id"], agent["id"], number)
    if row is None:
        wrong = Invalid("version", "there is no such version")
        raise Refused(VALIDATION_ERROR, details=[wrong])
    return row


ENDPOINTS = (list_agent_versions, get_agent_version, roll_back_agent)
