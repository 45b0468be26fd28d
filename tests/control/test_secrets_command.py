"""``voicecore secrets``: rotating the keys that secrets are sealed with."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from uuid import UUID

import pytest

from control import cli, secret_keys
from control.commands.secrets import rotate_keys
from control.db import secrets
from control.db.database import PLATFORM, Connection, Database, Row
from control.secret_keys import SecretKeys, SecretKeysError, parse_keys
from control.settings import Settings
from control.vault import Vault
from tests.support.postgres import fresh_database
from tests.support.waiting import until

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OLD = "old:" + base64.b64encode(bytes(range(32))).decode()
NEW = "new:" + base64.b64encode(bytes(range(32, 64))).decode()


class Stored:
    """A database with a secret of the platform's and one of a workspace's."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.workspace_id = UUID(int=0)

    async def fill(self, keys: SecretKeys) -> None:
        vault = Vault(Settings(), keys)
        async with self.database.transaction(PLATFORM) as db:
            self.workspace_id = await db.fetchval(
                "INSERT INTO workspaces (name, subscription_tier) "
                "SELECT 'Acme', tier_name FROM tiers LIMIT 1 RETURNING id"
            )
            for place in (None, self.workspace_id):
                await vault.put(db, place, "OPENAI_API_KEY", f"of {place}", NOW, updated_by="me")

    async def opened(self, keys: SecretKeys) -> list[str]:
        vault = Vault(Settings(), keys)
        async with self.database.reading(PLATFORM) as db:
            vault.take(await vault.look(db))
            lent = [await vault.lend(db, place) for place in (None, self.workspace_id)]
        return [one.secrets.get("OPENAI_API_KEY", "") for one in lent]

    async def key_ids(self) -> set[str]:
        async with self.database.reading(PLATFORM) as db:
            return {row["key_id"] for row in await db.fetch("SELECT key_id FROM secrets")}


@pytest.fixture
async def stored(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stored]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with fresh_database() as url:
        database = await Database.open(url, connections=2)
        try:
            yield Stored(url, database)
        finally:
            await database.close()


@pytest.fixture
def file_keys(tmp_path: Path) -> SecretKeys:
    keys = SecretKeys("", tmp_path)
    keys.make(NOW)
    return keys


async def test_rotating_the_file(
    stored: Stored, file_keys: SecretKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored.fill(file_keys)
    before = file_keys.keyring()
    assert before is not None
    assert await rotate_keys(stored.url, file_keys, drop_old=False) == 0
    after = file_keys.keyring()
    assert after is not None
    assert after.ids[1:] == before.ids
    assert await stored.key_ids() == {after.current}
    assert "2 secrets rewrapped" in capsys.readouterr().out
    expected = ["of None", f"of {stored.workspace_id}"]
    assert await stored.opened(file_keys) == expected
    assert await rotate_keys(stored.url, file_keys, drop_old=True) == 0
    last = file_keys.keyring()
    assert last is not None
    assert len(last.ids) == 1
    assert await stored.opened(file_keys) == expected


async def test_rotations_at_once_lose_no_key(
    stored: Stored, file_keys: SecretKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes when the first has its key and wraps with it next: it has to wait."""
    await stored.fill(file_keys)
    assert file_keys.file is not None
    directory = file_keys.file.parent
    flocked, begin, refused = secret_keys._flocked, secrets.begin_rotation, list[str]()
    rotations: list[asyncio.Task[int]] = []

    def look(file: TextIO) -> bool:
        if not (got := flocked(file)):
            refused.append("once")
        return got

    def rotation() -> None:
        keys = SecretKeys("", directory)
        rotations.append(asyncio.create_task(rotate_keys(stored.url, keys, drop_old=True)))

    async def begun(db: Connection) -> Sequence[Row]:
        if len(rotations) == 1:
            rotation()
            await until(lambda: bool(refused) or rotations[1].done())
        return await begin(db)

    monkeypatch.setattr(secret_keys, "_flocked", look)
    monkeypatch.setattr(secrets, "begin_rotation", begun)
    rotation()
    assert await rotations[0] == 0
    assert await rotations[1] == 0
    keyring = SecretKeys("", directory).keyring()
    assert keyring is not None
    assert {*keyring.ids} == await stored.key_ids()
    assert await stored.opened(file_keys) == ["of None", f"of {stored.workspace_id}"]


async def test_a_key_that_is_still_needed_is_not_dropped(
    stored: Stored, file_keys: SecretKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.fill(file_keys)

    async def leave(*_: object) -> None:
        """As if one had been stored behind it, with an old key."""

    monkeypatch.setattr(secrets, "rewrap", leave)
    with pytest.raises(SecretKeysError, match="still sealed with"):
        await rotate_keys(stored.url, file_keys, drop_old=True)
    assert await stored.opened(file_keys) == ["of None", f"of {stored.workspace_id}"]


async def test_rotating_what_is_configured(
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def rotate(keys: str, *more: str) -> tuple[int, str]:
        monkeypatch.setenv("VOICECORE_DATABASE_URL", stored.url)
        monkeypatch.setenv("VOICECORE_SECRET_KEYS", keys)
        words = ["secrets", "rotate", "--data-dir", str(tmp_path), *more]
        status = await asyncio.to_thread(cli.main, words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    await stored.fill(SecretKeys(OLD, None))
    status, said = await rotate(f"{NEW},{OLD}")
    assert (status, "2 secrets rewrapped with new" in said) == (0, True)
    assert "old" in said.splitlines()[-1]
    assert await stored.key_ids() == {"new"}
    assert all(await stored.opened(SecretKeys(NEW, None)))
    status, said = await rotate(f"{NEW},{OLD}")
    assert "0 secrets rewrapped with new, 2 were already" in said
    assert (await rotate(NEW, "--drop-old"))[0] == 2
    assert (await rotate(""))[0] == 1


async def test_one_that_does_not_open_changes_nothing(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored.fill(SecretKeys(OLD, None))
    async with stored.database.transaction(PLATFORM) as db:
        await db.execute("UPDATE secrets SET key_id = 'lost' WHERE workspace_id IS NOT NULL")
    assert await rotate_keys(stored.url, SecretKeys(f"{NEW},{OLD}", None), drop_old=False) == 1
    assert f"{stored.workspace_id}/OPENAI_API_KEY" in capsys.readouterr().err
    assert await stored.key_ids() == {"old", "lost"}


async def test_nobody_seals_with_an_old_key_behind_a_rotation(
    stored: Stored, file_keys: SecretKeys
) -> None:
    """A rotation goes on; who stores a secret meanwhile waits for it, and takes the new key."""
    await stored.fill(file_keys)
    vault = Vault(Settings(), file_keys)

    async def store() -> None:
        async with stored.database.transaction(PLATFORM) as db:
            await vault.put(db, None, "DEEPGRAM_API_KEY", "later", NOW, updated_by="me")

    async with stored.database.transaction(PLATFORM) as db:
        rows = await secrets.begin_rotation(db)
        assert len(rows) == 2
        storing = asyncio.create_task(store())
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass  # each question is a step of the loop
        with file_keys.lock() as file:
            file.add(NOW)
    await storing
    keyring = file_keys.keyring()
    assert keyring is not None
    assert keyring.current in await stored.key_ids()


def test_a_new_key_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["secrets", "new-key"]) == 0
    assert len(parse_keys(capsys.readouterr().out)) == 1
