"""The database goes away while calls are live, and comes back."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from control.server import Server
from control.settings import Settings
from tests.control.test_serve import SETTINGS, Served, media_from, token_in
from tests.support.postgres import Postgres, own_server
from tests.support.waiting import until

AWAY_S = float(os.environ.get("VOICECORE_TEST_OUTAGE_S", "2"))
"""`make outage` takes half a minute."""


@pytest.fixture
async def postgres() -> AsyncIterator[Postgres]:
    async with own_server() as server:
        yield server


async def test_calls_go_on_and_nothing_is_lost(postgres: Postgres, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = Settings(database_url=postgres.url, **SETTINGS)
        server = await Server.open(settings, tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(server.stop, 0)
        served = Served(server, port, session)
        await served.set_up()
        await served.rows("UPDATE tiers SET max_concurrent_calls = NULL")
        tokens = [token_in((await served.webhook())[1]) for _ in range(3)]
        async with served.stream(tokens[0]) as through, served.stream(tokens[1]) as within:
            assert await media_from(through)
            await asyncio.to_thread(postgres.go)
            # A call that goes on, one that begins, and one that ends while the database is away.
            assert (await served.webhook())[0] == 503
            async with served.stream(tokens[2]) as begun:
                assert await media_from(begun)
                assert await media_from(within)
                await within.socket.close()
                await asyncio.sleep(AWAY_S)
                assert await media_from(through)
                assert await media_from(begun)
                await until(lambda: len(server.calls.live()) == 2)
                await asyncio.to_thread(postgres.come_back)
            await until(lambda: len(server.calls.live()) == 1)
        await until(lambda: not server.calls.live())
        async with asyncio.timeout(30):
            await server.sink.flushed()
        calls = await served.rows("SELECT id, status FROM calls")
        assert [call["status"] for call in calls] == ["completed"] * 3
        for call in calls:
            events = await served.rows(
                "SELECT sequence, type FROM call_events WHERE call_id = $1 ORDER BY sequence",
                call["id"],
            )
            assert [row["sequence"] for row in events] == list(range(1, len(events) + 1))
            assert {"call_started", "call_ended"} <= {row["type"] for row in events}
        assert (await served.webhook())[0] == 200
        assert not server.sink.dropped
