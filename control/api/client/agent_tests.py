"""Trying an agent without a number: a stream that it answers."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Literal
from uuid import UUID

from pydantic import Field

from control.api.shapes import Body, Shape
from control.call_server import Route, TooManyCalls
from control.call_tickets import LIFETIME_MS
from control.db import routing
from control.http.access import MEMBER_MANAGES
from control.http.carrier_hooks import LOADING_TIMEOUT_S
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND, VALIDATION_ERROR
from control.tenant_agents import TenantAgentError
from media.carriers import CARRIERS
from voicecore.adapters.registry import VendorConfigError
from voicecore.providers.errors import VendorError

AGENT_UNAVAILABLE = Refusal(
    503, "AGENT_UNAVAILABLE", "The agent cannot answer: one of its vendors does not work"
)


class StreamWish(Body):
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
    refusals=(AGENT_UNAVAILABLE, CONFLICT, VALIDATION_ERROR),
    shows_secret=True,
    alone=True,
)
async def test_agent_stream(
    context: Context, workspace_id: UUID, agent_id: UUID, body: StreamWish
) -> Answer:
    """Get a stream that the agent answers, as a carrier would for a call.

    The token lets one stream in, as the stream parameter `token`, within two minutes. The agent
    need not be live. `voicecore call` can speak to it."""
    async with context.plane.db.reading(context.sight) as db:
        row = await routing.of_agent(db, workspace_id, agent_id)
        if row is None:
            raise Refused(RESOURCE_NOT_FOUND)
        if code := await routing.refusal(db, row, tests=True):
            raise Refused(CONFLICT, details=[Invalid("agent_id", code)])
    calls, agents = context.plane.calls, context.plane.agents
    if calls is None or agents is None or not calls.entrance.ready:
        raise Refused(AGENT_UNAVAILABLE)
    make = partial(agents.make, row["config"])
    route = Route(workspace_id, agent_id, row["version"], make, row["max_concurrent_calls"])
    try:
        async with asyncio.timeout(LOADING_TIMEOUT_S):
            token, call_id = await calls.expect(route, is_test=True)
    except TooManyCalls:
        raise Refused(CONFLICT, details=[Invalid("agent_id", "too_many_calls")]) from None
    except TenantAgentError as error:
        details = [
            Invalid(".".join(("config", *map(str, one.path))), one.detail) for one in error.problems
        ]
        raise Refused(VALIDATION_ERROR, details=details) from error
    except (VendorError, VendorConfigError, TimeoutError) as error:
        raise Refused(AGENT_UNAVAILABLE, headers={"Retry-After": "5"}) from error
    (kind,) = (one for one in CARRIERS if one.name == body.carrier)
    settings = context.plane.settings
    host = context.headers.get("Host", "localhost")
    base = settings.public_url.rstrip("/") or f"http://{host}"
    scheme, _, place = base.partition("://")
    url = ("wss://" if scheme == "https" else "ws://") + place + kind.path
    return {
        "stream_url": f"{url}/{token}" if kind.token_in_path else url,
        "token": token,
        "expires_at": context.now + timedelta(milliseconds=LIFETIME_MS),
        "call_id": call_id,
    }


ENDPOINTS = (test_agent_stream,)
