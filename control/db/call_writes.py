"""Writing what calls leave. Every statement may run twice with the same values."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from control.call_facts import CallBegan, CallEvent, CallFact, CallOver, CallTurn
from control.db.database import Connection, Row

_BEGAN = """
INSERT INTO calls (workspace_id, id, agent_id, agent_version, agent_name, carrier,
                   carrier_call_id, direction, caller_number, called_number, status, started_at,
                   server, files, is_test)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'in_progress', $11, $12, $13, $14)
ON CONFLICT (id) DO NOTHING"""
_EVENT = """
INSERT INTO call_events (workspace_id, call_id, sequence, type, at_ms, data, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (call_id, sequence) DO NOTHING"""
_TURN = """
INSERT INTO call_turns (workspace_id, call_id, sequence, speaker, start_ms, end_ms, text, words,
                        interrupted)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (call_id, sequence) DO NOTHING"""
_OVER = """
UPDATE calls SET status = $3, end_reason = $4, ended_at = $5, duration_ms = $6,
                 has_recording = $7, latency = $8
WHERE workspace_id = $1 AND id = $2"""

_LEFT_BEHIND = """
SELECT workspace_id, id, files, coalesce(
    (SELECT max(at_ms) FROM call_events WHERE call_events.call_id = calls.id), 0) AS last_event_ms
FROM calls WHERE status = 'in_progress' AND server = $1 AND started_at < $2"""
_END_LOST = """
UPDATE calls SET status = 'failed', end_reason = 'server_lost',
                 ended_at = started_at + make_interval(secs => $3::bigint / 1000.0),
                 duration_ms = $3, has_recording = $4
WHERE workspace_id = $1 AND id = $2 AND status = 'in_progress'"""


class LostCall(msgspec.Struct, frozen=True):
    """One whose server died, as far as it is known."""

    workspace_id: UUID
    call_id: UUID
    duration_ms: int
    has_recording: bool


async def left_behind(db: Connection, server: UUID, started_at: datetime) -> Sequence[Row]:
    """The calls of a server that died before it was started anew, which still count as live."""
    return await db.fetch(_LEFT_BEHIND, server, started_at)


async def end_lost(db: Connection, lost: Sequence[LostCall]) -> None:
    """They are over."""
    await db.executemany(_END_LOST, [msgspec.structs.astuple(call) for call in lost])


async def write(db: Connection, facts: Sequence[CallFact]) -> None:
    """Write them, in one transaction that is the caller's."""
    began = [_values(fact) for fact in facts if isinstance(fact, CallBegan)]
    events = [_values(fact) for fact in facts if isinstance(fact, CallEvent)]
    turns = [_values(fact) for fact in facts if isinstance(fact, CallTurn)]
    over = [_values(fact) for fact in facts if isinstance(fact, CallOver)]
    for statement, rows in ((_BEGAN, began), (_EVENT, events), (_TURN, turns), (_OVER, over)):
        if rows:
            await db.executemany(statement, rows)


def _values(fact: CallFact) -> tuple[object, ...]:
    return tuple(getattr(fact, name) for name in fact.__struct_fields__)
