"""Trying an agent without a number: a stream that it answers."""

import asyncio
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import Field

from control.agent_pool import reason_of
from control.api.shapes import Body, Shape, example
from control.call_server import CallServer, Route, TooManyCalls
from control.call_tickets import LIFETIME_MS, Coming, counts_for
from control.db import routing
from control.http.access import MEMBER_MANAGES
from control.http.carrier_hooks import LOADING_TIMEOUT_S
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.media_entrance import BUSY, DRAINING, NOT_READY
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND, VALIDATION_ERROR
from control.tenant_agents import TenantAgentError
from media.carriers import CARRIERS
from voicecore.adapters.registry import VendorConfigError
from voicecore.providers.errors import VendorError

AGENT_UNAVAILABLE = Refusal(
    503, "AGENT_UNAVAILABLE", "The agent cannot answer: one of its vendors does not work"
)


_WHY = {
    "no_agent": "has no version that could answer",
    "workspace_suspended": "is a suspended workspace's",
    "too_many_calls": "is a workspace's that has as many calls, or tests, as it may at a time",
    "minutes_used_up": "is a workspace's that has used up its tier's minutes of this month",
}
AGENT_LOADING = Refusal(503, "AGENT_LOADING", "The agent is being loaded: ask again")


class StreamWish(Body):
    model_config = example(carrier="telnyx")

    carrier: Literal["twilio", "telnyx"] = Field(
        "telnyx", description="Whose protocol. Twilio's streams must be signed, if its key is set."
    )


class TestStream(Shape):
    stream_url: str
    token: str
    expires_at: datetime
    call_id: UUID


@endpoint(
    "POST",
    "/workspaces/{workspace_id}/agents/{agent_id}/test-stream",
    MEMBER_MANAGES,
    TestStream,
    refusals=(
        *(AGENT_UNAVAILABLE, AGENT_LOADING, NOT_READY, DRAINING, BUSY),
        *(CONFLICT, VALIDATION_ERROR),
    ),
    shows_secret=True,
    alone=True,
)
async def test_agent_stream(
    context: Context, workspace_id: UUID, agent_id: UUID, body: StreamWish
) -> Answer:
    """Get a stream that the agent answers, as a carrier would for a call.

    The token lets one stream in, as the stream parameter `token`, within two minutes. The agent
    need not be live. `voicecore call` can speak to it. The call is shown among the others, with
    `is_test`, and its minutes count as theirs do."""
    coming = Coming(body.carrier, is_test=True)
    calls, route = await _route(context, workspace_id, agent_id, coming)
    try:
        token, call_id = await _expected(calls, route, coming)
    except Refused:
        async with context.transaction() as db:
            await routing.release(db, workspace_id, coming.asked_by, coming.call_id)
        raise
    (kind,) = (one for one in CARRIERS if one.name == body.carrier)
    settings = context.plane.settings
    host = context.headers.get("Host", "localhost")
    base = settings.streams_reach.rstrip("/") or f"http://{host}"
    scheme, _, place = base.partition("://")
    url = ("wss://" if scheme == "https" else "ws://") + place + kind.path
    return {
        "stream_url": f"{url}/{token}" if kind.token_in_path else url,
        "token": token,
        "expires_at": context.now + timedelta(milliseconds=LIFETIME_MS),
        "call_id": call_id,
    }


async def _route(
    context: Context, workspace_id: UUID, agent_id: UUID, coming: Coming
) -> tuple[CallServer, Route]:
    """Who answers, with a place for this call among the workspace's.

    :raises Refused: he may not."""
    place = (coming.asked_by, coming.call_id)
    async with context.transaction() as db:
        row = await routing.of_agent(db, workspace_id, agent_id)
        if row is None:
            raise Refused(RESOURCE_NOT_FOUND)
        if code := await routing.refusal(db, row, *place, counts_for(), tests=True):
            raise Refused(CONFLICT, details=[Invalid("agent_id", _WHY.get(code, code))])
        calls, agents = context.plane.calls, context.plane.agents
        if calls is None or agents is None:
            raise Refused(AGENT_UNAVAILABLE)
        if (refusal := calls.entrance.unavailable()) is not None:
            raise Refused(refusal, headers={"Retry-After": "5"})
    version, make = agents.plan(row)
    return calls, Route(workspace_id, version, make, row["max_concurrent_calls"])


async def _expected(calls: CallServer, route: Route, coming: Coming) -> tuple[str, UUID]:
    """:raises Refused: there is no room, or the agent cannot be loaded."""
    try:
        async with asyncio.timeout(LOADING_TIMEOUT_S):
            return await calls.expect(route, coming)
    except TooManyCalls:
        raise Refused(CONFLICT, details=[Invalid("agent_id", _WHY["too_many_calls"])]) from None
    except TenantAgentError as error:
        details = [
            Invalid(".".join(("config", *map(str, one.path))), one.detail) for one in error.problems
        ]
        raise Refused(VALIDATION_ERROR, details=details) from error
    except TimeoutError as error:
        raise Refused(AGENT_LOADING, headers={"Retry-After": "5"}) from error
    except (VendorError, VendorConfigError) as error:
        details = [Invalid("agent_id", reason_of(error))]
        raise Refused(AGENT_UNAVAILABLE, details=details, headers={"Retry-After": "5"}) from error


ENDPOINTS = (test_agent_stream,)
