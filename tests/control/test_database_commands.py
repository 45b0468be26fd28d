"""``voicecore migrate``, ``admin create`` and ``seed demo``, on a database of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control import cli, logs
from control.db import tier_limits
from control.db.database import PLATFORM, Database
from tests.support.postgres import fresh_database, own_directory


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with own_directory() as directory:
        yield directory


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, data_dir: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command on this database; its exit status and what it printed."""
    import asyncio

    async def command(url: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("VOICECORE_DATABASE_URL", url)
        words = [*arguments, "--data-dir", str(data_dir)]
        status = await asyncio.to_thread(cli.main, words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return command


async def test_a_migrated_database_is_up_to_date(run) -> None:  # type: ignore[no-untyped-def]
    async with fresh_database() as url:
        assert await run(url, "migrate") == (0, "the database is up to date\n")


async def test_an_admin_is_made_once(run) -> None:  # type: ignore[no-untyped-def]
    create = ("admin", "create", "--email", "boss@example.com", "--password", "Boss-Pass-1")
    async with fresh_database() as url:
        status, said = await run(url, *create, "--role", "finance")
        assert status == 0
        assert "boss@example.com" in said
        assert "Boss-Pass-1" not in said
        assert (await run(url, *create))[0] == 1
        database = await Database.open(url, connections=1)
        async with database.transaction(PLATFORM) as db:
            rows = await db.fetch("SELECT email, role FROM admins")
        await database.close()
    assert [tuple(row) for row in rows] == [("boss@example.com", "finance")]


async def test_a_weak_password_makes_no_admin(run) -> None:  # type: ignore[no-untyped-def]
    weak = ("admin", "create", "--email", "boss@example.com", "--password", "short")
    async with fresh_database() as url:
        status, said = await run(url, *weak)
    assert (status, "8 to 256 characters" in said) == (2, True)


async def test_the_demo_may_be_made_twice(run) -> None:  # type: ignore[no-untyped-def]
    async with fresh_database() as url:
        first, again = await run(url, "seed", "demo"), await run(url, "seed", "demo")
        assert (first[0], again[0]) == (0, 0)
        assert first[1].splitlines()[:2] == again[1].splitlines()[:2]
        database = await Database.open(url, connections=1)
        async with database.transaction(PLATFORM) as db:
            (row,) = await db.fetch("SELECT status, workspace_id FROM agents")
            more = await tier_limits.may_add_agent(db, row["workspace_id"])
        await database.close()
    assert (row["status"], more) == ("live", True)


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("seed", "demo"),
        ("secrets", "rotate"),
        ("admin", "create", "--email", "boss@example.com", "--password", "Boss-Pass-1"),
    ],
)
async def test_a_database_that_is_away_is_told(run, command: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    status, said = await run("postgresql://nobody:hunter2@127.0.0.1:9/none", *command)
    assert status == 1
    assert said.startswith("the database cannot be used: 127.0.0.1:9/none: ")
    assert "VOICECORE_DATABASE_URL" in said
    assert "nobody" not in said
    assert "hunter2" not in said


async def test_a_database_that_refuses_is_told(run) -> None:  # type: ignore[no-untyped-def]
    async with fresh_database() as url:
        name = url.partition("?")[0].rpartition("/")[2]
        missing = url.replace(f"/{name}?", "/nothing_here?")
        status, said = await run(missing, "migrate")
    assert status == 1
    assert "/nothing_here: " in said
    assert "does not exist" in said


async def test_a_url_that_is_none_is_told(run) -> None:  # type: ignore[no-untyped-def]
    status, said = await run("hunter2", "migrate")
    assert status == 2
    assert said.startswith("VOICECORE_DATABASE_URL: must be as postgresql://")
    assert "hunter2" not in said


async def test_a_new_database_is_told_once(run, data_dir: Path) -> None:  # type: ignore[no-untyped-def]
    """Whoever mistypes --data-dir sees that it was none that he had."""
    told = f"made a new database in {data_dir}\n"
    status, said = await run("", "migrate")
    assert (status, told in said) == (0, True)
    status, said = await run("", "migrate")
    assert (status, told in said) == (0, False)
    async with fresh_database() as url:
        assert "made a new" not in (await run(url, "migrate", "--finish"))[1]


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("seed", "demo"),
        ("secrets", "rotate"),
        ("admin", "create", "--email", "boss@example.com", "--password", "Boss-Pass-1"),
        ("doctor",),
    ],
)
def test_the_log_is_set_up_before_anything_is_told_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Else it is on standard output, beside what was asked for, and tracebacks have variables."""
    told: list[dict[str, object]] = []
    monkeypatch.setattr(logs, "configure_logs", lambda **how: told.append(how))
    monkeypatch.setenv("VOICECORE_DRAIN_TIMEOUT_S", "soon")
    assert cli.main([*command, "--data-dir", str(tmp_path)]) == 2
    assert told == [{"json": False, "level": "warning"}]
