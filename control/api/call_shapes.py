"""Calls as both portals show them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from control.api.cursors import Cursor, Time
from control.api.shapes import PortalPageQuery, Shape
from control.db import calls
from control.db.database import Row
from control.http.context import Context
from control.http.errors import Refused
from control.http.refusals import RESOURCE_NOT_FOUND

MICROS = 1_000_000

Direction = Literal["inbound", "outbound", "internal"]
Status = Literal["in_progress", "completed", "failed"]


IsTest = Annotated[
    bool,
    Field(
        description="Whether it came by `test-stream`. Tests are answered by the same vendors as "
        "other calls: they cost as much, and count towards the tier's minutes and concurrent calls."
    ),
]


class CallQuery(PortalPageQuery):
    status: Status | None = None
    is_test: bool | None = Field(None, description="Tests only, or all calls but tests.")
    since: Time | None = Field(None, alias="from", description="Begun at this time or later.")
    until: Time | None = Field(None, alias="to", description="Begun before this time.")
    cursor: Cursor | None = Field(
        None, description="The `next_cursor` of the page before; `page` counts no more then."
    )


class CallEntry(Shape):
    id: UUID
    agent_name: str
    caller_number: str
    direction: Direction
    status: Status
    duration_seconds: float
    cost_total: float
    started_at: datetime
    is_test: IsTest


class LiveCall(Shape):
    id: UUID
    agent_name: str
    caller_number: str
    duration_so_far: float = Field(description="Seconds.")
    started_at: datetime
    is_test: IsTest


class Latency(Shape):
    """From the end of the caller's turn to the first sound of the answer."""

    median_ms: int | None
    max_ms: int | None


class CallDetail(CallEntry):
    called_number: str
    carrier: str
    carrier_call_id: str
    agent_id: UUID | None
    agent_version: int | None
    end_reason: str | None
    ended_at: datetime | None
    latency: Latency


class AgentName(Shape):
    id: UUID | None
    name: str


class Word(Shape):
    text: str
    start_ms: int
    end_ms: int
    speaker: Literal["caller", "agent"]
    heard: Annotated[
        bool | Literal["cut"] | None,
        Field(
            description="Of the agent's words: whether the caller heard it before he interrupted, "
            "or `cut` where he interrupted it. null: the word is the caller's."
        ),
    ]


class Event(Shape):
    event_type: str
    event_data: dict[str, Any]
    timestamp: datetime


def entry_of(row: Row) -> dict[str, Any]:
    """As the client's list shows it."""
    return {
        "id": row["id"],
        "agent_name": row["agent_name"],
        "caller_number": row["caller_number"],
        "direction": row["direction"],
        "status": row["status"],
        "duration_seconds": row["duration_ms"] / 1000,
        "cost_total": row["cost_micros"] / MICROS,
        "started_at": row["started_at"],
        "is_test": row["is_test"],
    }


def detail_of(row: Row) -> dict[str, Any]:
    latency = row["latency"]
    return {
        **entry_of(row),
        "called_number": row["called_number"],
        "carrier": row["carrier"],
        "carrier_call_id": row["carrier_call_id"],
        "agent_id": row["agent_id"],
        "agent_version": row["agent_version"],
        "end_reason": row["end_reason"],
        "ended_at": row["ended_at"],
        "latency": {"median_ms": latency.get("median_ms"), "max_ms": latency.get("max_ms")},
    }


def live_of(row: Row, now: datetime) -> dict[str, Any]:
    duration_s = max((now - row["started_at"]).total_seconds(), 0.0)
    return {
        "id": row["id"],
        "agent_name": row["agent_name"],
        "caller_number": row["caller_number"],
        "duration_so_far": round(duration_s, 3),
        "started_at": row["started_at"],
        "is_test": row["is_test"],
    }


def text_of(turns: Sequence[Row]) -> str | None:
    """The call as lines of text, as it was heard; None where nothing was."""
    lines = [f"{turn['speaker'].capitalize()}: {turn['text']}" for turn in turns if turn["text"]]
    return "\n".join(lines) or None


def words_of(turns: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "text": word["text"],
            "start_ms": word["start_ms"],
            "end_ms": word["end_ms"],
            "speaker": turn["speaker"],
            "heard": word.get("heard"),
        }
        for turn in turns
        for word in turn["words"]
    ]


async def call_of(context: Context, call_id: UUID, workspace_id: UUID | None = None) -> Row:
    """:raises Refused: there is no such call, or it is another workspace's."""
    row = await calls.one(context.db, call_id, workspace_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row
