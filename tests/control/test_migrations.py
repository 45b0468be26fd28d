"""A database of an earlier version, with rows in it, is brought up to date."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from control import cli
from control.auth import tokens
from control.auth.bearers import bearer_of
from control.db import migrate as migrating
from control.db.database import API_ROLE, PLATFORM, Database
from control.db.migrate import LOCK, migrate
from control.db.migration_files import MigrationError, migrations
from tests.support.api import served_from
from tests.support.postgres import fresh_database, postgres

_STARTED = "timestamptz '2026-01-20 12:00Z'"
"""Of one day, whenever the test runs: calls are counted by days."""
_CALL = f"""
INSERT INTO calls (id, workspace_id, agent_name, carrier, direction, status, started_at)
SELECT gen_random_uuid(), workspaces.id, 'Desk', 'twilio', 'inbound', 'completed', {_STARTED}
FROM workspaces"""


def first(count: int, directory: Path) -> Path:
    """The migrations of an earlier version."""
    directory.mkdir()
    for one in migrations()[:count]:
        shutil.copy(one.path, directory)
    return directory


async def run(url: str, statement: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT set_config('voicecore.platform', 'on', false)")
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


async def test_calls_and_keys_of_the_first_version_are_kept(tmp_path: Path) -> None:
    key = tokens.new_secret("vc_")
    async with fresh_database(migrated=False) as url:
        await migrate(url, directory=first(4, tmp_path / "earlier"))
        await run(url, "INSERT INTO workspaces (name, subscription_tier) VALUES ('Acme', 'free')")
        await run(url, _CALL)
        await run(
            url,
            "INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role) "
            "SELECT id, 'key', 'vc', $1, 'admin' FROM workspaces",
            tokens.digest(key),
        )
        applied = await migrate(url)
        assert applied == [one.name for one in migrations() if one.number > 4 and not one.finishes]
        await run(url, _CALL)
        await run(
            url,
            _CALL.replace("started_at)", "started_at, is_test)").replace(
                _STARTED, f"{_STARTED}, true"
            ),
        )
        counts = await run(url, "SELECT is_test, calls FROM call_counts ORDER BY is_test")
        assert [tuple(row) for row in counts] == [(False, 2), (True, 1)]
        database = await Database.open(url, connections=1)
        async with database.transaction(PLATFORM) as db:
            bearer = await bearer_of(db, key, None)
        await database.close()
    assert bearer is not None
    assert bearer.tier == "standard"


async def test_who_was_shown_a_clients_secret_is_known_afterwards(tmp_path: Path) -> None:
    """Of a workspace's clients, from the audit log: whoever made it, or rotated it since."""
    async with owned_by_nobody_special(may_make_roles=True) as url:
        await run(postgres().url, f"GRANT {API_ROLE} TO {urlsplit(url).username}")
        await migrate(url, directory=first(6, tmp_path / "earlier"))
        await run(url, "INSERT INTO workspaces (name, subscription_tier) VALUES ('Acme', 'free')")
        users = await run(
            url, "INSERT INTO users (email, name) VALUES ('a', 'A'), ('b', 'B') RETURNING id"
        )
        maker, rotator = (row["id"] for row in users)
        clients = await run(
            url,
            "INSERT INTO oauth_clients (client_id, secret_hash, name, workspace_id, scopes) "
            "SELECT which, 'x', which, id, '{read}' FROM workspaces, "
            "unnest('{made,rotated,admins,unknown}'::text[]) AS which RETURNING id, client_id",
        )
        ids = {row["client_id"]: str(row["id"]) for row in clients}
        for client, action, kind, actor in (
            ("made", "created", "user", maker),
            ("rotated", "created", "user", maker),
            ("rotated", "rotated", "user", rotator),
            ("admins", "created", "user", maker),
            ("admins", "rotated", "admin", uuid4()),
        ):
            await run(
                url,
                "INSERT INTO audit_log (actor_kind, actor_id, action, resource_type, resource_id) "
                "VALUES ($1, $2, 'oauth_client.' || $3::text, 'oauth_client', $4)",
                kind,
                actor,
                action,
                ids[client],
            )
        await migrate(url)
        rows = await run(url, "SELECT client_id, shown_to FROM oauth_clients")
        shown = {row["client_id"]: row["shown_to"] for row in rows}
    assert shown == {"made": maker, "rotated": rotator, "admins": None, "unknown": None}


@asynccontextmanager
async def owned_by_nobody_special(*, may_make_roles: bool) -> AsyncIterator[str]:
    """A database whose owner is no superuser, as those of managed servers are."""
    privilege = "CREATEROLE" if may_make_roles else "NOCREATEROLE"
    name = f"owner_{uuid4().hex[:8]}"
    async with fresh_database(migrated=False) as url:
        await run(url, f"CREATE ROLE {name} LOGIN {privilege}")
        database = urlsplit(url).path.strip("/")
        await run(url, f"ALTER DATABASE {database} OWNER TO {name}")
        await run(url, f"ALTER SCHEMA public OWNER TO {name}")
        yield url.replace(f"//{urlsplit(url).username}", f"//{name}", 1)


async def test_the_owner_need_be_no_superuser(tmp_path: Path) -> None:
    async with owned_by_nobody_special(may_make_roles=True) as url:
        with pytest.raises(MigrationError, match=f"GRANT {API_ROLE} TO"):
            await migrate(url)  # the role is there, and another's
        await run(postgres().url, f"GRANT {API_ROLE} TO {urlsplit(url).username}")
        await migrate(url)
        assert await migrate(url) == []
        async with served_from(url, tmp_path) as api:
            (is_super,) = await run(url, "SELECT rolsuper FROM pg_roles WHERE rolname = user")
            assert not is_super["rolsuper"]
            _, token = await api.person("me@example.com")
            assert (await api.get("/auth/me", token)).json["user"]["email"] == "me@example.com"
            made = await api.post("/workspaces", {"name": "Acme"}, token)
            assert made.status == 201
            number = (await api.run("SELECT number FROM workspaces"))[0]["number"]
            client = await api.oauth(("read", "write", "admin"))
            new = {
                "customer_id": number,
                "email": "new@example.com",
                "first_name": "New",
                "last_name": "One",
                "password": "Correct-Horse-8",
                "role": "user",
            }
            assert (await api.post("/api/v1/users", new, client)).status == 201
            key = {"name": "key", "role": "member"}
            workspace = made.json["workspace"]["id"]
            path = f"/workspaces/{workspace}/api-keys"
            key = (await api.post(path, key, token)).json["key"]
            assert (await api.get(f"/workspaces/{workspace}", key)).status == 200


async def test_databases_of_one_server_may_be_migrated_at_once() -> None:
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(fresh_database(migrated=False)) for _ in range(4)]
        applied = await asyncio.gather(*(migrate(url) for url in urls))
    assert len(set(map(len, applied))) == 1


async def test_one_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    broken = first(2, tmp_path / "broken")
    (broken / "0003_broken.sql").write_text("CREATE TABLE half (); SELECT 1 / 0;")
    async with fresh_database(migrated=False) as url:
        with pytest.raises(MigrationError, match=r"0003_broken\.sql"):
            await migrate(url, directory=broken)
        names = await run(url, "SELECT name FROM schema_migrations ORDER BY name")
        assert [row["name"] for row in names] == [one.name for one in migrations()[:2]]
        assert await run(url, "SELECT to_regclass('half') AS half") == [(None,)]


async def test_processes_that_start_at_once_take_turns() -> None:
    async with fresh_database(migrated=False) as url:
        applied = await asyncio.gather(*(migrate(url) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, sum(not one.finishes for one in migrations())]


@pytest.mark.parametrize(
    "name", ["0002_other.sql", "0001_tenancy_or_not.after.sql", "0003_more.after.sql"]
)
def test_halves_that_fit_no_other_are_refused(name: str, tmp_path: Path) -> None:
    directory = first(2, tmp_path / "migrations")
    assert len(migrations(directory)) == 2
    (directory / name).touch()
    with pytest.raises(MigrationError):
        migrations(directory)


async def test_sessions_tell_the_newest_migration_that_they_know() -> None:
    """So that the next version's ``migrate --finish`` knows whom it would break."""
    async with fresh_database() as url:
        database = await Database.open(url, connections=1)
        async with database.transaction(PLATFORM) as db:
            name = await db.fetchval("SELECT current_setting('application_name')")
        await database.close()
    assert name == f"voicecore/{migrations()[-1].number:04}"


async def test_second_halves_come_behind_their_first_ones_and_only_when_asked_for() -> None:
    names = [one.name for one in migrations()]
    for half in (one.name for one in migrations() if one.finishes):
        assert names.index(half) == names.index(half.replace(".after", "")) + 1
    async with fresh_database(migrated=False) as url:
        assert not [name for name in await migrate(url) if ".after" in name]
        assert await migrate(url, finish=True) == [one.name for one in migrations() if one.finishes]


@asynccontextmanager
async def session(url: str, name: str, statement: str = "SELECT 1") -> AsyncIterator[Any]:
    """Somebody who is connected, as whom, and does nothing more after this statement."""
    connection = await asyncpg.connect(url, server_settings={"application_name": name})
    try:
        await connection.execute(statement)
        yield connection
    finally:
        connection.terminate()


def changing_tokens(directory: Path) -> Path:
    shutil.copytree(migrating.DIRECTORY, directory)
    number = migrations()[-1].number + 1
    (directory / f"{number:04}_more.sql").write_text("ALTER TABLE tokens ADD COLUMN more text")
    return directory


class TestATableInUse:
    """As by pg_dump, or by somebody who has left a transaction open."""

    NOT_LOOKED = "by nobody knows whom"
    """It says so where the machine was too busy for a look within a second."""
    READING = "BEGIN; SELECT count(*) FROM tokens"

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(migrating, "LOCK_TIMEOUT_MS", 1000)
        monkeypatch.setattr(migrating, "LOOK_EVERY_S", 0.05)

    async def test_a_migration_gives_way_and_tells_to_whom(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(migrating, "PAUSES_S", (0.0,))
        directory = changing_tokens(tmp_path / "migrations")
        async with fresh_database() as url, session(url, "pg_dump", self.READING) as reader:
            for _ in range(5):
                with pytest.raises(MigrationError, match=r"_more\.sql: .* pg_terminate") as refused:
                    async with asyncio.timeout(30):
                        await migrate(url, directory=directory)
                if self.NOT_LOOKED not in str(refused.value):
                    break
            in_way = f"pid {reader.get_server_pid()} (pg_dump, local, idle in transaction for "
            assert in_way in str(refused.value)
            assert await run(url, "SELECT count(*) FROM tokens") == [(0,)]  # nobody waits any more
            name = "SELECT name FROM schema_migrations WHERE name LIKE '%_more.sql'"
            assert await run(url, name) == []

    async def test_it_is_applied_when_they_have_gone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = changing_tokens(tmp_path / "migrations")
        monkeypatch.setattr(migrating, "PAUSES_S", (0.0,) * 20)
        async with fresh_database() as url, session(url, "pg_dump", self.READING) as reader:

            class Log:
                """Whoever reads it ends what is in the way."""

                @staticmethod
                def warning(_: str, *, by: str, **__: Any) -> None:
                    if f"by {by}" != self.NOT_LOOKED:
                        assert reader.is_closed() or f"pid {reader.get_server_pid()} " in by
                        reader.terminate()

            monkeypatch.setattr(migrating, "log", Log)
            async with asyncio.timeout(60):
                (applied,) = await migrate(url, directory=directory)
        assert applied.endswith("_more.sql")


async def test_another_process_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrating, "TURN_TIMEOUT_S", 0.0)
    lock = f"SELECT pg_advisory_lock({LOCK})"
    async with fresh_database() as url, session(url, "voicecore migrate", lock) as other:
        with pytest.raises(MigrationError, match=f"pid {other.get_server_pid()} "):
            async with asyncio.timeout(30):
                await migrate(url)


class TestFinishing:
    """What an earlier version uses is not taken away while a process of it is connected."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        directory = first(2, tmp_path / "migrations")
        (directory / "0002_access.after.sql").write_text("DROP TABLE signups")
        return directory

    @pytest.mark.parametrize("name", ["voicecore", "voicecore/0001"])
    async def test_not_while_an_older_process_is_there(self, name: str, directory: Path) -> None:
        async with fresh_database(migrated=False) as url:
            await migrate(url, directory=directory)
            async with session(url, name) as old:
                told = rf"0002 .* pid {old.get_server_pid()} \({name}, local, idle\); .* --force"
                with pytest.raises(MigrationError, match=told):
                    await migrate(url, finish=True, directory=directory)
                assert await run(url, "SELECT count(*) FROM signups") == [(0,)]
                assert await migrate(url, directory=directory) == []
                applied = await migrate(url, finish=True, force=True, directory=directory)
                assert applied == ["0002_access.after.sql"]
                assert await migrate(url, finish=True, directory=directory) == []  # nothing to lose

    async def test_those_that_know_the_migration_and_others_are_no_hindrance(
        self, directory: Path
    ) -> None:
        async with (
            fresh_database(migrated=False) as url,
            fresh_database(migrated=False) as other_url,
            session(url, "voicecore/0002"),
            session(url, "voicecore/0010"),
            session(url, "psql"),
            session(other_url, "voicecore"),
        ):
            applied = await migrate(url, finish=True, directory=directory)
        assert applied[-1] == "0002_access.after.sql"

    async def test_the_command_refuses_unless_it_is_forced(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        finish = ["migrate", "--finish", "--data-dir", str(tmp_path)]
        async with fresh_database() as url, session(url, "voicecore") as old:
            monkeypatch.setenv("VOICECORE_DATABASE_URL", url)
            assert await asyncio.to_thread(cli.main, finish) == 1
            assert f"pid {old.get_server_pid()} (voicecore, " in capsys.readouterr().err
            assert await asyncio.to_thread(cli.main, [*finish, "--force"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said == [one.name for one in migrations() if one.finishes]
