"""Calls that were live when the process before this one died: they are over, and are kept as what
they left shows."""

import asyncio
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import structlog

from control.db import call_writes
from control.db.database import AWAY, PLATFORM, Database, Row
from control.sink import CallSink
from media.recording_repair import repaired_ms
from voicecore.call_files import RECORDING

RETRY_S = 5.0

log = structlog.get_logger("control.left_behind")


async def end_left_behind(
    database: Database, sink: CallSink, calls_dir: Path, server_id: UUID, started_at: datetime
) -> None:
    """End them; their last facts are in the database first.

    :param server_id: whose calls, which are those of one data directory.
    :param started_at: when this process began."""
    while True:
        await sink.flushed()
        try:
            ended = await _end(database, calls_dir, server_id, started_at)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.warning("calls that were left behind are not ended yet", error=str(error))
            await asyncio.sleep(RETRY_S)
            continue
        if ended:
            log.warning("calls were left behind by a server that died", count=ended)
        return


async def _end(database: Database, calls_dir: Path, server_id: UUID, started_at: datetime) -> int:
    async with database.reading(PLATFORM) as db:
        rows = await call_writes.left_behind(db, server_id, started_at)
    lost = [await asyncio.to_thread(_as_it_was_left, calls_dir, row) for row in rows]
    async with database.transaction(PLATFORM) as db:
        await call_writes.end_lost(db, lost)
    return len(lost)


def _as_it_was_left(calls_dir: Path, row: Row) -> call_writes.LostCall:
    """It went on until the last that is known of it."""
    recorded_ms = _recorded_ms(calls_dir, row)
    return call_writes.LostCall(
        workspace_id=row["workspace_id"],
        call_id=row["id"],
        duration_ms=max(row["last_event_ms"], recorded_ms),
        has_recording=recorded_ms > 0,
    )


def _recorded_ms(calls_dir: Path, row: Row) -> int:
    """0: there is no recording that can be played."""
    name = Path(row["files"]).name
    if name in ("", ".", ".."):
        return 0
    try:
        return repaired_ms(calls_dir / name / RECORDING)
    except FileNotFoundError:
        return 0
    except OSError as error:
        log.error("a recording cannot be read", call_id=str(row["id"]), error=str(error))
        return 0
