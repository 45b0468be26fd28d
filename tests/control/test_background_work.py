"""What a server does all the time goes on, whatever the database says once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from control import left_behind, stale_tickets, vault
from control.agent_pool import Version
from control.call_tickets import LIFETIME_MS, CallTickets, Coming, Ticket
from control.db import call_writes, routing, tidying
from control.db.database import Database
from control.secret_keys import SecretKeys
from control.settings import Settings
from control.vault import Vault
from tests.support.postgres import fresh_database
from tests.support.waiting import until

Work = Callable[[Database], Coroutine[Any, Any, None]]
AGENT: Any = None


def tidying_work(database: Database) -> Coroutine[Any, Any, None]:
    return tidying.tidy_always(database, lambda: datetime.now(UTC))


def vault_work(database: Database) -> Coroutine[Any, Any, None]:
    return Vault(Settings(), SecretKeys("", Path())).refresh_always(database)


def tickets_work(database: Database) -> Coroutine[Any, Any, None]:
    tickets, version = CallTickets(), Version(uuid4(), 1)
    ticket = Ticket(Coming("twilio"), uuid4(), version, AGENT, "inbound", LIFETIME_MS)
    tickets.issue(ticket, 0)
    return stale_tickets.withdraw_always(tickets, database)


def left_behind_work(database: Database) -> Coroutine[Any, Any, None]:
    class Sink:
        async def flushed(self) -> None:
            """At once."""

    sink: Any = Sink()
    return left_behind.end_left_behind(database, sink, Path(), uuid4(), datetime.now(UTC))


@pytest.mark.parametrize(
    ("work", "module", "name", "pause"),
    [
        (tidying_work, tidying, "tidy", (tidying, "EVERY_S")),
        (vault_work, Vault, "look", (vault, "REFRESH_EVERY_S")),
        (tickets_work, routing, "standing", (stale_tickets, "EVERY_S")),
        (left_behind_work, call_writes, "left_behind", (left_behind, "RETRY_S")),
    ],
)
async def test_a_deadlock_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, work: Work, module: Any, name: str, pause: tuple[Any, str]
) -> None:
    does: Callable[..., Awaitable[Any]] = getattr(module, name)
    done: list[str] = []

    async def fails_first(*values: Any) -> Any:
        if not done:
            done.append("failed")
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        found = await does(*values)
        done.append("worked")
        return found

    monkeypatch.setattr(module, name, fails_first)
    monkeypatch.setattr(*pause, 0.01)
    async with fresh_database() as url:
        database = await Database.open(url, connections=1)
        task = asyncio.create_task(work(database))
        await until(lambda: "worked" in done or task.done())
        task.cancel()
        await asyncio.wait([task])
        await database.close()
    assert done[:2] == ["failed", "worked"]
