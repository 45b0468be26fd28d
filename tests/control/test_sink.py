"""What calls leave reaches the database: all of it, once, whatever happens to the database."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog

from control.call_facts import (
    CallBegan,
    CallEvent,
    CallFact,
    CallOver,
    CallTurn,
    decode_facts,
    encode_facts,
)
from control.db.database import PLATFORM, Database
from control.db.migrate import migrate
from control.sink import CallSink
from control.spill import SEGMENT_BYTES, Spill
from tests.support.postgres import Postgres, fresh_database, own_server
from tests.support.waiting import until

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)


def call_facts(workspace_id: UUID, events: int = 5) -> list[CallFact]:
    """A whole call."""
    call_id = uuid4()
    whose = {"workspace_id": workspace_id, "call_id": call_id}
    began = CallBegan(
        **whose,
        agent_id=None,
        agent_version=None,
        agent_name="Desk",
        carrier="twilio",
        carrier_call_id="CA1",
        direction="inbound",
        caller_number="+14155550111",
        called_number="+14155550100",
        started_at=NOW,
    )
    told: list[CallFact] = [
        CallEvent(**whose, sequence=n, type="dtmf", at_ms=n, data={"n": n}, occurred_at=NOW)
        for n in range(1, events + 1)
    ]
    word = {"text": "Hello", "start_ms": 0, "end_ms": 300}
    turn = CallTurn(
        **whose, sequence=1, speaker="agent", start_ms=0, end_ms=300, text="Hello", words=[word]
    )
    over = CallOver(
        **whose,
        status="completed",
        end_reason="caller_hangup",
        ended_at=NOW,
        duration_ms=1000,
        has_recording=True,
    )
    return [began, *told, turn, over]


async def counts(database: Database) -> dict[str, int]:
    async with database.transaction(PLATFORM) as db:
        return {
            table: await db.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("calls", "call_events", "call_turns")
        }


async def workspace(database: Database) -> UUID:
    async with database.transaction(PLATFORM) as db:
        statement = "INSERT INTO workspaces (name, subscription_tier) VALUES ('A', 'free')"
        made: UUID = await db.fetchval(statement + " RETURNING id")
        return made


@asynccontextmanager
async def sinking(database: Database, directory: Path) -> AsyncIterator[CallSink]:
    sink = CallSink(database, directory)
    sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    async with fresh_database() as url:
        opened = await Database.open(url, connections=2)
        try:
            yield opened
        finally:
            await opened.close()


def dsn_of(database: Database) -> str:
    """Of the database's owner."""
    arguments: Any = database._pool._connect_args
    return str(arguments[0])


def put_all(sink: CallSink, facts: list[CallFact]) -> None:
    for fact in facts:
        sink.put(fact)


async def test_a_call_is_written(database: Database, tmp_path: Path) -> None:
    facts = call_facts(await workspace(database))
    async with sinking(database, tmp_path) as sink:
        put_all(sink, facts)
        await sink.flushed()
        assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}
        put_all(sink, facts)  # again, as after a crash between the commit and the disk
        await sink.flushed()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}
    async with database.transaction(PLATFORM) as db:
        call = await db.fetchrow("SELECT * FROM calls")
    assert call is not None
    assert (call["status"], call["duration_ms"], call["end_reason"]) == (
        "completed",
        1000,
        "caller_hangup",
    )


async def test_what_waits_at_the_end_is_written(database: Database, tmp_path: Path) -> None:
    facts = call_facts(await workspace(database), events=2000)
    async with sinking(database, tmp_path) as sink:
        put_all(sink, facts)
    assert await counts(database) == {"calls": 1, "call_events": 2000, "call_turns": 1}


async def test_one_bad_fact_takes_none_with_it(database: Database, tmp_path: Path) -> None:
    good, bad = call_facts(await workspace(database)), call_facts(uuid4())
    async with sinking(database, tmp_path) as sink:
        put_all(sink, [*bad[:1], *good])
        await sink.flushed()
    assert (await counts(database))["calls"] == 1
    refused, _ = decode_facts((tmp_path / "refused.txt").read_bytes())
    assert refused == bad[:1]
    assert (sink.refused, sink.dropped) == (1, 0)


@pytest.fixture
async def postgres() -> AsyncIterator[Postgres]:
    async with own_server() as server:
        yield server


async def test_while_the_database_is_away_nothing_is_lost_and_nothing_twice(
    postgres: Postgres, tmp_path: Path
) -> None:
    await migrate(postgres.url)
    database = await Database.open(postgres.url, connections=2)
    whose = await workspace(database)
    calls = [call_facts(whose, events=300) for _ in range(4)]
    spill = tmp_path / "spill"
    async with sinking(database, spill) as sink:
        put_all(sink, calls[0])
        assert sink.waiting == len(calls[0])
        await sink.flushed()
        assert (sink.waiting, sink.spilled) == (0, 0)
        await asyncio.to_thread(postgres.go)
        put_all(sink, calls[1])
        async with asyncio.timeout(20):
            while not list(spill.glob("*.jsonl")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await until(lambda: sink.spilled > 0)
        put_all(sink, calls[2])
    # The process ends while the database is away; the next one brings everything home.
    assert not sink.dropped
    async with sinking(database, spill) as sink:
        put_all(sink, calls[3])
        await asyncio.to_thread(postgres.come_back)
        async with asyncio.timeout(30):
            await sink.flushed()
    assert await counts(database) == {"calls": 4, "call_events": 1200, "call_turns": 4}
    assert not list(spill.glob("*.jsonl"))
    await database.close()


def test_segments_come_back_in_order(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    assert spill.empty
    whose = uuid4()
    facts = [fact for _ in range(30) for fact in call_facts(whose, events=200)]
    for start in range(0, len(facts), 100):
        spill.append(encode_facts(facts[start : start + 100]))
    assert len(list(tmp_path.glob("*.jsonl"))) > 1
    again, found = Spill(tmp_path), []
    while not again.empty:
        lines = again.first()
        assert len(lines) < 2 * SEGMENT_BYTES
        found += decode_facts(lines)[0]
        again.drop_first()
    assert found == facts


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    facts = call_facts(uuid4())
    lines = encode_facts(facts)
    found, wrong = decode_facts(lines[:-10])
    assert found == facts[:-1]
    assert lines.endswith(wrong[:-1] + lines[-10:])


async def test_a_refusal_that_is_not_about_the_facts_condemns_none(
    database: Database, tmp_path: Path
) -> None:
    facts = call_facts(await workspace(database))
    owner = await asyncpg.connect(dsn_of(database))
    await owner.execute("REVOKE INSERT ON calls FROM voicecore_api")
    async with sinking(database, tmp_path) as sink:
        put_all(sink, facts)
        await until(lambda: bool(list(tmp_path.glob("*.jsonl"))))
        await owner.execute("GRANT INSERT ON calls TO voicecore_api")
        await sink.flushed()
    await owner.close()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}
    assert not (tmp_path / "refused.txt").exists()


async def test_a_disk_that_takes_nothing_for_a_while_stops_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = call_facts(await workspace(database))
    owner = await asyncpg.connect(dsn_of(database))
    await owner.execute("REVOKE INSERT ON calls FROM voicecore_api")
    failures = []

    def full(path: Path, *_: Any) -> Any:
        failures.append(path)
        raise OSError(28, "No space left on device")

    async with sinking(database, tmp_path) as sink:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", full)
            put_all(sink, facts)
            await until(lambda: bool(failures))
        await owner.execute("GRANT INSERT ON calls TO voicecore_api")
        await sink.flushed()
        assert not sink.dropped
    await owner.close()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}


async def test_a_bug_does_not_end_the_sink(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = call_facts(await workspace(database))
    failed = []

    async def broken(sink: CallSink, batch: list[CallFact]) -> bool:
        failed.append(batch)
        raise RuntimeError("a bug")

    async with sinking(database, tmp_path) as sink:
        with monkeypatch.context() as patched:
            patched.setattr(CallSink, "_taken", broken)
            put_all(sink, facts)
            await until(lambda: bool(failed))
        await sink.flushed()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}


async def test_what_comes_while_the_database_is_tried_for_the_last_time_is_kept(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = call_facts(await workspace(database))
    Spill(tmp_path).append(encode_facts(facts[:1]))
    tries = []

    async def away(sink: CallSink) -> bool:
        if not tries:
            put_all(sink, facts[1:])
            sink._stopping = True
        tries.append(len(sink._waiting))
        return False

    with monkeypatch.context() as patched:
        patched.setattr(CallSink, "_brought_home", away)
        async with sinking(database, tmp_path):
            await until(lambda: bool(tries))
    async with sinking(database, tmp_path) as sink:
        await sink.flushed()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}


async def test_what_a_bug_left_behind_is_on_disk_when_it_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = call_facts(await workspace(database))

    async def broken(sink: CallSink, batch: list[CallFact]) -> bool:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(CallSink, "_taken", broken)
        sink = CallSink(database, tmp_path)
        sink.start()
        put_all(sink, facts)
        await sink.stop()
    async with sinking(database, tmp_path) as again:
        await again.flushed()
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}


@pytest.mark.parametrize("away", [False, True])
async def test_a_fact_that_cannot_be_written_takes_none_with_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """Whether it goes into the database or onto the disk; it is counted, and kept."""
    whose = await workspace(database)
    bad = CallEvent(whose, uuid4(), 1, "dtmf", 0, {"digit": object()}, NOW)
    facts = call_facts(whose)
    async with sinking(database, tmp_path) as sink:
        with monkeypatch.context() as patched:
            if away:

                def fails(*_: object) -> None:
                    raise OSError("away")

                patched.setattr(Database, "transaction", fails)
            put_all(sink, [*facts[:3], bad, *facts[3:]])
            await until(lambda: sink.refused == 1)
        await sink.flushed()
        assert (sink.refused, sink.dropped) == (1, 0)
    assert await counts(database) == {"calls": 1, "call_events": 5, "call_turns": 1}
    assert b"object at" in (tmp_path / "refused.txt").read_bytes()


def test_a_file_that_is_no_segment_is_left_alone(tmp_path: Path) -> None:
    for name in ("²1.jsonl", "1.jsonl", "٣٣٣٣٣٣٣٣.jsonl", "000000001.jsonl", "notes.jsonl"):
        (tmp_path / name).write_text("x\n")
    spill = Spill(tmp_path)
    assert spill.empty
    spill.append(b"{}\n")
    assert [path.name for path in tmp_path.glob("00000001.jsonl")] == ["00000001.jsonl"]
    assert Spill(tmp_path).first() == b"{}\n"


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def test_nobody_else_may_read_what_callers_said(tmp_path: Path) -> None:
    """Neither what is written now, nor what was left by a version that did not see to it."""
    directory = tmp_path / "spill"
    private = {"00000001.jsonl": 0o600, "refused.txt": 0o600}
    before = os.umask(0o022)
    try:
        spill = Spill(directory)
        spill.append(b"{}\n")
        spill.refuse(b"x\n")
        assert modes(directory) == private
        directory.chmod(0o755)
        for path in directory.iterdir():
            path.chmod(0o644)
        again = Spill(directory)
        assert modes(directory) == private
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert again.first() == b"{}\n"
    finally:
        os.umask(before)


def test_what_is_not_ours_to_narrow_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with structlog.testing.capture_logs() as logs:
        Spill(tmp_path).append(b"{}\n")
    assert [(log["code"], log["path"]) for log in logs] == [("not_private", str(tmp_path))]
