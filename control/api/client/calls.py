"""A workspace's calls."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import Field

from control.api.call_shapes import (
    AgentName,
    CallDetail,
    CallEntry,
    CallQuery,
    Direction,
    Event,
    LiveCall,
    Word,
    call_of,
    detail_of,
    entry_of,
    live_of,
    text_of,
    words_of,
)
from control.api.cursors import cursor_of
from control.api.shapes import Query, Shape
from control.db import calls
from control.db.database import Row
from control.http.access import MEMBER_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused

RECORDING = "recording.wav"

RECORDING_NOT_FOUND = Refusal(404, "RECORDING_NOT_FOUND", "The call has no recording")


class ClientCallQuery(CallQuery):
    agent_id: UUID | None = None
    direction: Direction | None = None


class Calls(Shape):
    calls: list[CallEntry]
    total: int
    page: int
    next_cursor: str | None = Field(description="null: there are no more.")


class LiveCalls(Shape):
    active_calls: list[LiveCall]


class OneCall(Shape):
    call: CallDetail
    agent: AgentName
    recording_url: str | None
    transcription: str | None
    summary: str | None


class Transcription(Shape):
    transcription: str | None
    words: list[Word]


class EventQuery(Query):
    after: int = Field(0, ge=0, le=2**31 - 1, description="Only events behind so many.")
    limit: int = Field(1000, ge=1, le=5000)


class Events(Shape):
    events: list[Event]


@endpoint("GET", "/workspaces/{workspace_id}/calls", MEMBER_READS, Calls)
async def list_calls(context: Context, workspace_id: UUID, query: ClientCallQuery) -> Answer:
    """List the workspace's calls, the latest first."""
    wanted = calls.Wanted(
        workspace_id=workspace_id,
        agent_id=query.agent_id,
        status=query.status,
        direction=query.direction,
        is_test=query.is_test,
        since=query.since,
        until=query.until,
    )
    page, following = await page_of(context, wanted, query)
    return {
        "calls": [entry_of(row) for row in page],
        "total": await calls.count(context.db, wanted),
        "page": query.page,
        "next_cursor": following,
    }


@endpoint("GET", "/workspaces/{workspace_id}/calls/live", MEMBER_READS, LiveCalls)
async def list_live_calls(context: Context, workspace_id: UUID) -> Answer:
    """List the calls that go on."""
    rows = await calls.live(context.db, workspace_id)
    return {"active_calls": [live_of(row, context.now) for row in rows]}


@endpoint("GET", "/workspaces/{workspace_id}/calls/{call_id}", MEMBER_READS, OneCall)
async def get_call(context: Context, workspace_id: UUID, call_id: UUID) -> Answer:
    """Get a call, with what was said."""
    row = await call_of(context, call_id, workspace_id)
    turns = await calls.turns(context.db, workspace_id, call_id)
    url = f"{context.plane.api_url}/workspaces/{workspace_id}/calls/{call_id}/recording"
    return {
        "call": detail_of(row),
        "agent": {"id": row["agent_id"], "name": row["agent_name"]},
        "recording_url": url if row["has_recording"] else None,
        "transcription": text_of(turns),
        "summary": row["summary"],
    }


@endpoint(
    "GET",
    "/workspaces/{workspace_id}/calls/{call_id}/recording",
    MEMBER_READS,
    "audio/wav",
    refusals=(RECORDING_NOT_FOUND,),
    other_statuses={206: "A part of the file.", 304: "Not changed.", 416: "No such part."},
)
async def get_call_recording(context: Context, workspace_id: UUID, call_id: UUID) -> Answer:
    """Get a call's recording: the caller left, the agent right."""
    row = await call_of(context, call_id, workspace_id)
    path = recording_of(context.plane.data_dir, row)
    if path is None or not await asyncio.to_thread(path.is_file):
        raise Refused(RECORDING_NOT_FOUND)
    headers = {
        "Content-Type": "audio/wav",
        "Content-Disposition": f'attachment; filename="call-{call_id}.wav"',
    }
    return web.FileResponse(path, headers=headers)


@endpoint(
    "GET", "/workspaces/{workspace_id}/calls/{call_id}/transcription", MEMBER_READS, Transcription
)
async def get_call_transcription(context: Context, workspace_id: UUID, call_id: UUID) -> Answer:
    """Get what was said in a call, word by word.

    `transcription` is what was heard. `words` has also what the agent would have said, had the
    caller not interrupted: see `heard`."""
    await call_of(context, call_id, workspace_id)
    turns = await calls.turns(context.db, workspace_id, call_id)
    return {"transcription": text_of(turns), "words": words_of(turns)}


@endpoint("GET", "/workspaces/{workspace_id}/calls/{call_id}/events", MEMBER_READS, Events)
async def list_call_events(
    context: Context, workspace_id: UUID, call_id: UUID, query: EventQuery
) -> Answer:
    """List what happened in a call."""
    await call_of(context, call_id, workspace_id)
    rows = await calls.events(
        context.db, workspace_id, call_id, after=query.after, limit=query.limit
    )
    return {"events": [_event_of(row) for row in rows]}


async def page_of(
    context: Context, wanted: calls.Wanted, query: CallQuery
) -> tuple[list[Row], str | None]:
    """The page's rows, and the cursor of the next one."""
    rows = await calls.find(
        context.db,
        wanted,
        after=query.cursor,
        limit=query.limit + 1,  # one more tells whether there are more
        offset=0 if query.cursor else query.offset,
    )
    shown = list(rows[: query.limit])
    if len(rows) == len(shown):
        return shown, None
    return shown, cursor_of(shown[-1]["started_at"], shown[-1]["number"])


def recording_of(data_dir: Path, row: Row) -> Path | None:
    """Where a call's recording is on this machine."""
    name = Path(row["files"]).name
    if not row["has_recording"] or name in ("", ".", ".."):
        return None
    return data_dir / "calls" / name / RECORDING


def _event_of(row: Row) -> dict[str, Any]:
    return {
        "event_type": row["type"],
        "event_data": {"at_ms": row["at_ms"], **row["data"]},
        "timestamp": row["occurred_at"],
    }


ENDPOINTS = (
    list_calls,
    list_live_calls,
    get_call,
    get_call_recording,
    get_call_transcription,
    list_call_events,
)
