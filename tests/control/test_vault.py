"""The platform's secrets in a process: what was seen later stays, in whichever order it comes."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from control.db.database import PLATFORM, Connection, Database
from control.secret_keys import SecretKeys
from control.settings import Settings
from control.vault import Platform, Vault
from tests.support.postgres import fresh_database

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEYS = "here:" + base64.b64encode(bytes(range(32))).decode()
_WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database()"""


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    async with fresh_database() as url:
        opened = await Database.open(url, connections=3)
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture
def vault() -> Vault:
    return Vault(Settings(), SecretKeys(KEYS, None))


async def stored(vault: Vault, db: Connection, name: str, value: str) -> Platform:
    """As a request stores it: what is to be taken when it is kept."""
    await vault.put(db, None, name, value, NOW, updated_by="me")
    return await vault.look(db)


async def waits(db: Connection, task: "asyncio.Task[None]") -> None:
    """Until the task waits for a lock, or has not needed to."""
    while not task.done() and not await db.fetchval(_WAITING):
        pass  # each question is a step of the loop


async def test_what_was_seen_before_replaces_nothing(database: Database, vault: Vault) -> None:
    async with database.transaction(PLATFORM) as db:
        before = await stored(vault, db, "TWILIO_AUTH_TOKEN", "leaked")
    async with database.transaction(PLATFORM) as db:
        after = await stored(vault, db, "TWILIO_AUTH_TOKEN", "the new one")
    vault.take(after)
    vault.take(before)
    assert vault.signing_key("twilio") == "the new one"


async def test_a_refresh_sees_what_is_being_stored(database: Database, vault: Vault) -> None:
    """It looks while a request does not have its change kept yet, and takes what it saw later."""
    async with database.transaction(PLATFORM) as db:
        seen = await stored(vault, db, "TWILIO_AUTH_TOKEN", "the new one")
        refresh = asyncio.create_task(vault.refresh(database))
        await waits(db, refresh)
    vault.take(seen)
    await refresh
    assert vault.signing_key("twilio") == "the new one"


async def test_two_that_store_at_once_see_each_other(database: Database, vault: Vault) -> None:
    second: list[Platform] = []

    async def store() -> None:
        async with database.transaction(PLATFORM) as db:
            second.append(await stored(vault, db, "TELNYX_PUBLIC_KEY", "another"))

    async with database.transaction(PLATFORM) as db:
        first = await stored(vault, db, "TWILIO_AUTH_TOKEN", "the new one")
        other = asyncio.create_task(store())
        await waits(db, other)
    await other
    for seen in (*second, first):
        vault.take(seen)
    assert (vault.signing_key("twilio"), vault.signing_key("telnyx")) == ("the new one", "another")
