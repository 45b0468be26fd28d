"""Voice agents of a workspace."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from control.api.agent_configs import check, merged, with_voice
from control.api.client.agent_shapes import (
    AgentChange,
    AgentDetail,
    Agents,
    ListedAgent,
    NewAgent,
    OneAgent,
    OneStanding,
    VoiceAgent,
)
from control.api.client.phone_numbers import number_of
from control.db import agents, phone_numbers, routing, templates, tier_limits
from control.db.database import Row
from control.http.access import MEMBER_ADMINISTERS, MEMBER_MANAGES, MEMBER_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.etags import check_if_match, tagged
from control.http.refusals import (
    CONFLICT,
    PRECONDITION_FAILED,
    RESOURCE_NOT_FOUND,
    TIER_LIMIT_REACHED,
    VALIDATION_ERROR,
    tier_limit_reached,
)

_AGENTS = "/workspaces/{workspace_id}/agents"
_AGENT = _AGENTS + "/{agent_id}"


@endpoint("GET", _AGENTS, MEMBER_READS, Agents)
async def list_agents(context: Context, workspace_id: UUID) -> Answer:
    """List the workspace's agents."""
    found = await agents.find(context.db, workspace_id)
    return {"agents": [{name: row[name] for name in ListedAgent.model_fields} for row in found]}


@endpoint(
    "POST",
    _AGENTS,
    MEMBER_MANAGES,
    OneAgent,
    status=201,
    refusals=(TIER_LIMIT_REACHED,),
    etag=True,
    heavy="configurations",
)
async def create_agent(context: Context, workspace_id: UUID, body: NewAgent) -> Answer:
    """Create an agent, as a draft that answers no calls yet."""
    config = merged(await _template_config(context, body.template_id), body.config or {})
    given = (body.voice_provider, body.voice_config or {})
    config = {**with_voice(config, *given), "name": body.name}
    await check(context, config, workspace_id, ready=False, voice_given=given)
    if not await tier_limits.may_add_agent(context.db, workspace_id):
        raise Refused(await _no_more(context, workspace_id))
    agent_id = await agents.insert(
        context.db,
        workspace_id,
        context.now,
        name=body.name,
        config=config,
        template_id=body.template_id,
        changed_by=changed_by(context),
    )
    if body.phone_number_id is not None:
        await _answer_number(context, workspace_id, body.phone_number_id, agent_id)
    row = await _written_down(context, workspace_id, agent_id, "created", template=body.template_id)
    return tagged({"agent": agent_of(row)}, row["version"], status=201)


@endpoint("GET", _AGENT, MEMBER_READS, AgentDetail, etag=True)
async def get_agent(context: Context, workspace_id: UUID, agent_id: UUID) -> Answer:
    """Get an agent. Its ETag is that of its name and configuration."""
    row = await found_agent(context, workspace_id, agent_id)
    number = await phone_numbers.of_agent(context.db, workspace_id, agent_id)
    stats = await agents.stats(context.db, workspace_id, agent_id)
    average = stats["duration_ms"]
    answer = {
        "agent": agent_of(row),
        "phone_number": None if number is None else number_of(number),
        "stats": {
            "total_calls": stats["total_calls"],
            "avg_duration": None if average is None else round(float(average) / 1000, 3),
        },
        "readiness": await _readiness(context, workspace_id, agent_id),
    }
    return tagged(answer, row["version"])


@endpoint(
    "PUT",
    _AGENT,
    MEMBER_MANAGES,
    OneAgent,
    refusals=(PRECONDITION_FAILED,),
    etag=True,
    heavy="configurations",
)
async def update_agent(
    context: Context, workspace_id: UUID, agent_id: UUID, body: AgentChange
) -> Answer:
    """Change an agent: the fields that are given. That makes a new version; calls in progress go
    on with theirs. The latest 500 versions are kept. With `If-Match`, only the version that is
    named is changed."""
    row = await found_agent(context, workspace_id, agent_id, to_change=True)
    check_if_match(context.headers, row["version"])
    config = row["config"] if body.config is None else body.config
    name = body.name or config.get("name", row["name"])
    given = (body.voice_provider, body.voice_config or {})
    config = {**with_voice(config, *given), "name": name}
    ready = row["status"] == "live"
    replaces = body.config is not None
    await check(context, config, workspace_id, ready=ready, voice_given=given, replaces=replaces)
    if config == row["config"]:
        return tagged({"agent": agent_of(row)}, row["version"])
    await agents.add_version(
        context.db, row, context.now, name=name, config=config, changed_by=changed_by(context)
    )
    row = await _written_down(context, workspace_id, agent_id, "updated", before=row)
    if ready:
        await load(context, workspace_id, agent_id)
    return tagged({"agent": agent_of(row)}, row["version"])


@endpoint("DELETE", _AGENT, MEMBER_ADMINISTERS, None, refusals=(PRECONDITION_FAILED,))
async def delete_agent(context: Context, workspace_id: UUID, agent_id: UUID) -> Answer:
    """Delete an agent and its versions. Calls in progress go on. A number that it answers stays the
    workspace's, and is answered by nobody until it has another agent."""
    row = await found_agent(context, workspace_id, agent_id, to_change=True)
    check_if_match(context.headers, row["version"])
    await agents.delete(context.db, workspace_id, agent_id)
    await context.write_down(
        "agent.deleted", "agent", agent_id, workspace_id=workspace_id, before=_told(row)
    )
    return None


@endpoint(
    "POST",
    _AGENT + "/activate",
    MEMBER_MANAGES,
    OneStanding,
    refusals=(VALIDATION_ERROR,),
    heavy="configurations",
)
async def activate_agent(context: Context, workspace_id: UUID, agent_id: UUID) -> Answer:
    """Have an agent answer calls. Its vendors must have keys, and nothing of a template may be
    left to fill in."""
    row = await found_agent(context, workspace_id, agent_id, to_change=True)
    await check(context, row["config"], workspace_id, ready=True)
    await load(context, workspace_id, agent_id)
    return await _stand(context, row, "live", "activated")


@endpoint("POST", _AGENT + "/pause", MEMBER_MANAGES, OneStanding, refusals=(CONFLICT,))
async def pause_agent(context: Context, workspace_id: UUID, agent_id: UUID) -> Answer:
    """Have an agent answer no more calls. Those in progress go on."""
    row = await found_agent(context, workspace_id, agent_id, to_change=True)
    if row["status"] == "draft":
        raise Refused(CONFLICT)
    return await _stand(context, row, "paused", "paused")


async def found_agent(
    context: Context, workspace_id: UUID, agent_id: UUID, *, to_change: bool = False
) -> Row:
    """:raises Refused: the workspace has no such agent."""
    row = await agents.by_id(context.db, workspace_id, agent_id, to_change=to_change)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


def agent_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in VoiceAgent.model_fields}


def changed_by(context: Context) -> str:
    """A person's e-mail, or an API key's name."""
    return context.bearer.email or context.bearer.name or ""


async def _readiness(context: Context, workspace_id: UUID, agent_id: UUID) -> Mapping[str, Any]:
    calls, maker = context.plane.calls, context.plane.agents
    route = await routing.of_agent(context.db, workspace_id, agent_id)
    if calls is None or maker is None or route is None:
        return {"state": "idle", "problem": None}
    state, problem = calls.pool.state(maker.plan(route)[0])
    return {"state": state, "problem": problem or None}


async def load(context: Context, workspace_id: UUID, agent_id: UUID) -> None:
    """Load a live agent as it is now, where calls are answered: no caller waits for it."""
    calls, maker = context.plane.calls, context.plane.agents
    if calls is not None and maker is not None:
        route = await routing.of_agent(context.db, workspace_id, agent_id)
        if route is not None:
            context.afterwards.append(partial(calls.pool.warm, *maker.plan(route)))


async def _template_config(context: Context, template_id: UUID | None) -> dict[str, Any]:
    """:raises Refused: there is no such template."""
    if template_id is None:
        return {}
    row = await templates.public_by_id(context.db, template_id)
    if row is None:
        wrong = Invalid("template_id", "there is no such template")
        raise Refused(VALIDATION_ERROR, details=[wrong])
    config: dict[str, Any] = row["default_config"]
    return config


async def _no_more(context: Context, workspace_id: UUID) -> Refusal:
    """What is said where there are as many agents as there may be."""
    tier = await tier_limits.limits(context.db, workspace_id)
    if tier is None:  # deleted since the token was looked up
        return RESOURCE_NOT_FOUND
    used = await tier_limits.usage(context.db, workspace_id, context.now)
    return tier_limit_reached("agents", used.agents, tier["max_agents"], tier["tier_name"])


async def _answer_number(
    context: Context, workspace_id: UUID, number_id: UUID, agent_id: UUID
) -> None:
    """:raises Refused: the workspace has no such number."""
    fields = {"agent_id": str(agent_id)}
    known = await phone_numbers.update(context.db, workspace_id, number_id, context.now, fields)
    if not known:
        wrong = Invalid("phone_number_id", "there is no such number")
        raise Refused(VALIDATION_ERROR, details=[wrong])


async def _stand(context: Context, row: Row, status: str, action: str) -> Answer:
    place = (row["workspace_id"], row["id"])
    if await agents.set_status(context.db, *place, status, context.now):
        await context.write_down(
            f"agent.{action}",
            "agent",
            row["id"],
            workspace_id=row["workspace_id"],
            before={"status": row["status"]},
            after={"status": status},
        )
    return {"agent": {"id": row["id"], "status": status}}


async def _written_down(
    context: Context,
    workspace_id: UUID,
    agent_id: UUID,
    action: str,
    *,
    before: Row | None = None,
    **details: Any,
) -> Row:
    """The agent as it is now, after that was noted."""
    row = await found_agent(context, workspace_id, agent_id)
    await context.write_down(
        f"agent.{action}",
        "agent",
        agent_id,
        workspace_id=workspace_id,
        before=None if before is None else _told(before),
        after=_told(row),
        **details,
    )
    return row


def _told(row: Row) -> dict[str, Any]:
    """For the audit log; the configuration is in the version."""
    return {name: row[name] for name in ("name", "status", "version", "voice_provider")}


ENDPOINTS = (
    list_agents,
    create_agent,
    get_agent,
    update_agent,
    delete_agent,
    activate_agent,
    pause_agent,
)
