"""Which streams are let in, as which calls: tickets, and places among a workspace's calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from control import call_tickets
from control.agent_pool import Version
from control.call_tickets import LIFETIME_MS, MOST_TICKETS, CallTickets, Coming, Ticket
from control.db import routing
from control.db.database import PLATFORM, Connection
from control.server import Server
from control.settings import Settings
from control.stale_tickets import withdraw_stale
from tests.control.test_serve import (
    CONFIG,
    NUMBER,
    SETTINGS,
    Served,
    media_from,
    served,
    token_in,
    tried,
)
from tests.support.media_client import PATIENCE_S
from tests.support.postgres import fresh_database
from tests.support.waiting import until

__all__ = ["served"]
AGENT: Any = None

_WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def refused(served: Served, token: str) -> bool:
    async with served.stream(token) as stream:
        return (await stream.next()).type is not aiohttp.WSMsgType.TEXT


async def telnyx_start(served: Served, token: str, **start: Any) -> aiohttp.WSMessage:
    """What comes first on Telnyx' path, which has no signed upgrade."""
    url = f"ws://127.0.0.1:{served.port}/media/telnyx/{token}"
    media_format = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    facts = {"call_control_id": "c-1", "media_format": media_format, **start}
    message = {"event": "start", "sequence_number": "1", "stream_id": "s-1", "start": facts}
    async with served.session.ws_connect(url) as socket:
        await socket.send_str(json.dumps({"event": "connected", "version": "1.0.0"}))
        await socket.send_str(json.dumps(message))
        return await socket.receive(PATIENCE_S)


def ticket_of(coming: Coming) -> Ticket:
    return Ticket(coming, uuid4(), Version(UUID(int=1), 1), AGENT, "inbound", LIFETIME_MS)


class TestTickets:
    def test_the_same_call_has_one_until_its_stream_comes(self) -> None:
        tickets = CallTickets()
        coming = Coming("twilio", "CA1", "+1", "+2")
        assert tickets.issued(coming, 0) is None
        token = tickets.issue(ticket_of(coming), 0)
        again = tickets.issued(Coming("twilio", "CA1", "+1", "+2"), LIFETIME_MS)
        assert again is not None
        assert (again[0], again[1].call_id) == (token, coming.call_id)
        for other in (
            Coming("telnyx", "CA1", "+1", "+2"),
            Coming("twilio", "CA2", "+1", "+2"),
            Coming("twilio", "CA1", "+1", "+3"),
        ):
            assert tickets.issued(other, 0) is None
        assert tickets.use(token, "twilio", 1) is not None
        assert tickets.issued(coming, 1) is None

    def test_a_call_that_is_nobodys_is_another_each_time(self) -> None:
        tickets = CallTickets()
        tickets.issue(ticket_of(Coming("twilio")), 0)
        assert tickets.issued(Coming("twilio"), 0) is None

    def test_it_is_good_for_its_carrier_only(self) -> None:
        tickets = CallTickets()
        token = tickets.issue(ticket_of(Coming("twilio", "CA1")), 0)
        assert tickets.use(token, "telnyx", 1) is None
        assert tickets.use(token, "twilio", 1) is not None, "a guess does not use it up"

    def test_nothing_of_those_that_are_gone_is_left(self) -> None:
        unused: list[Ticket] = []
        tickets = CallTickets(on_unused=unused.append)
        for number in range(MOST_TICKETS + 1):
            tickets.issue(ticket_of(Coming("twilio", f"CA{number}")), 0)
        assert (len(tickets), len(tickets._tokens), len(unused)) == (MOST_TICKETS, MOST_TICKETS, 1)
        assert tickets.withdraw(lambda ticket: ticket.coming.carrier_call_id == "CA7") == 1
        tickets.forget_expired(LIFETIME_MS + 1)
        assert (len(tickets), len(tickets._tokens)) == (0, 0)
        tickets.issue(ticket_of(Coming("twilio", "CA1")), 0)
        tickets.close()
        assert (len(tickets._tokens), len(unused)) == (0, MOST_TICKETS + 2)


async def test_another_carriers_path_lets_no_stream_in(served: Served) -> None:
    """Twilio's upgrades are signed, Telnyx' are not."""
    token = token_in((await served.webhook())[1])
    assert (await telnyx_start(served, token)).type is not aiohttp.WSMsgType.TEXT
    async with served.stream(token) as stream:
        assert await media_from(stream)


async def test_a_webhook_that_comes_again_gets_the_same(served: Served) -> None:
    """And takes no place of another call: the free tier may have two."""
    first = token_in((await served.webhook(CallSid="CA1"))[1])
    copies = await asyncio.gather(*(served.webhook(CallSid="CA1") for _ in range(3)))
    assert {token_in(document) for _, document in copies} == {first}
    second = token_in((await served.webhook(CallSid="CA2"))[1])
    assert "<Reject" in (await served.webhook(CallSid="CA3"))[1]
    assert token_in((await served.webhook(CallSid="CA2"))[1]) == second != first
    async with served.stream(first) as one, served.stream(second) as two:
        assert await media_from(one)
        assert await media_from(two)
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    assert token_in((await served.webhook(CallSid="CA1"))[1]) != first
    rows = await served.rows("SELECT carrier_call_id FROM calls")
    assert len(rows) == 2


async def test_a_number_that_was_given_to_another_agent_is_answered_by_that_one(
    served: Served,
) -> None:
    before = token_in((await served.webhook(CallSid="CA1"))[1])
    await served.rows(
        "WITH another AS (INSERT INTO agents (workspace_id, name, status) "
        "SELECT workspace_id, 'B', 'live' FROM agents RETURNING workspace_id, id), "
        "its AS (INSERT INTO agent_versions (workspace_id, agent_id, version, name, config) "
        "SELECT another.workspace_id, another.id, 1, 'B', $1 FROM another) "
        "UPDATE phone_numbers SET agent_id = another.id FROM another",
        CONFIG,
    )
    token = token_in((await served.webhook(CallSid="CA1"))[1])
    assert await refused(served, before)
    async with served.stream(token) as stream:
        assert await media_from(stream)
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    (call,) = await served.rows("SELECT agent_id FROM calls")
    assert call["agent_id"] != served.agent_id


async def test_copies_at_once_are_one_call(served: Served) -> None:
    """All of them wait for the agent, which the first one has loaded."""
    copies = await asyncio.gather(*(served.webhook(CallSid="CA1") for _ in range(4)))
    (token,) = {token_in(document) for _, document in copies}
    (place,) = await served.rows("SELECT call_id FROM coming_calls")
    (ticket,) = served.server.calls.tickets._tickets.values()
    assert place["call_id"] == ticket.call_id
    async with served.stream(token) as stream:
        assert await media_from(stream)
        await served.server.sink.flushed()
        token_in((await served.webhook(CallSid="CA2"))[1])
        assert "<Reject" in (await served.webhook(CallSid="CA3"))[1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE agents SET status = 'paused'",
        "UPDATE workspaces SET status = 'suspended'",
        "UPDATE workspaces SET deleted_at = now()",
        "DELETE FROM agents",
    ],
)
async def test_who_may_answer_no_more_does_not(served: Served, statement: str) -> None:
    """Whichever process was told so; a call that goes on goes on."""
    live, unused = [token_in((await served.webhook())[1]) for _ in range(2)]
    calls = served.server.calls
    async with served.stream(live) as stream:
        assert await media_from(stream)
        await withdraw_stale(calls.tickets, served.server.plane.db)
        assert len(calls.tickets) == 1
        await served.rows(statement)
        await withdraw_stale(calls.tickets, served.server.plane.db)
        assert await refused(served, unused)
        assert await media_from(stream)


async def test_a_test_of_an_agent_that_is_not_live_stands(served: Served) -> None:
    await served.rows("UPDATE agents SET status = 'draft'")
    token = (await tried(served))[1]["token"]
    tickets, database = served.server.calls.tickets, served.server.plane.db
    await withdraw_stale(tickets, database)
    assert len(tickets) == 1
    await served.rows("UPDATE workspaces SET status = 'suspended'")
    await withdraw_stale(tickets, database)
    assert await refused(served, token)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Served, Served]]:
    """Two processes' servers on one database."""
    async with fresh_database() as url, AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        both = []
        for name in ("a", "b"):
            settings = Settings(database_url=url, **SETTINGS)
            server = await Server.open(settings, tmp_path / name, stack)
            port = await server.listen("127.0.0.1", 0)
            stack.push_async_callback(server.stop, 0)
            both.append(Served(server, port, session))
        await both[0].set_up()
        yield both[0], both[1]


async def test_a_workspace_has_no_more_calls_than_it_may_in_all_processes(
    pair: tuple[Served, Served],
) -> None:
    answers = await asyncio.gather(*(pair[at % 2].webhook() for at in range(8)))
    assert sorted("<Reject" in document for _, document in answers) == [False] * 2 + [True] * 6


async def test_those_who_ask_at_once_wait_for_each_other(served: Served) -> None:
    """Neither sees a place that is not committed yet."""
    await served.rows("UPDATE tiers SET max_concurrent_calls = 1")
    database, said = served.server.plane.db, []

    async def ask(db: Connection, carriers_id: str) -> None:
        route = await routing.of_number(db, NUMBER)
        assert route is not None
        coming = Coming("twilio", carriers_id)
        place = (coming.asked_by, coming.call_id)
        said.append(await routing.refusal(db, route, *place, call_tickets.counts_for()))

    async def second() -> None:
        async with database.transaction(PLATFORM) as db:
            await ask(db, "CA2")

    async with database.transaction(PLATFORM) as db:
        await ask(db, "CA1")
        waiting = asyncio.create_task(second())
        async with asyncio.timeout(PATIENCE_S):
            while not waiting.done() and not await db.fetchval(_WAITING):
                pass
    await waiting
    assert said == ["", "too_many_calls"]


async def test_a_carrier_that_asks_another_process_again_has_one_place(
    pair: tuple[Served, Served],
) -> None:
    answers = [await one.webhook(CallSid="CA1") for one in (*pair, *pair)]
    assert not any("<Reject" in document for _, document in answers)
    assert len(await pair[0].rows("SELECT FROM coming_calls")) == 1
    assert "<Reject" not in (await pair[1].webhook(CallSid="CA2"))[1]
    for one in pair:
        assert "<Reject" in (await one.webhook(CallSid="CA3"))[1]
        assert "<Reject" not in (await one.webhook(CallSid="CA1"))[1]


async def test_a_call_that_has_begun_counts_once(pair: tuple[Served, Served]) -> None:
    here, there = pair
    token = token_in((await here.webhook())[1])
    async with here.stream(token) as stream:
        assert await media_from(stream)
        await here.server.sink.flushed()
        assert "<Reject" not in (await there.webhook())[1]
        assert "<Reject" in (await there.webhook())[1]
    await until(lambda: not here.server.calls.live())
    await here.server.sink.flushed()
    assert "<Reject" not in (await here.webhook())[1]


async def test_a_place_whose_stream_does_not_come_is_free_again(
    pair: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_tickets, "COUNTS_MS", -1)  # half a minute has passed
    for _ in range(3):
        assert "<Reject" not in (await pair[0].webhook())[1]
        assert "<Reject" not in (await pair[1].webhook())[1]


async def test_who_cannot_be_loaded_keeps_no_place(served: Served) -> None:
    await served.change({**CONFIG, "llm": {"vendor": "no such vendor"}})
    assert (await served.webhook())[0] == 503
    assert (await tried(served))[0] == 422
    assert await served.rows("SELECT FROM coming_calls") == []


async def test_a_tier_without_a_limit_needs_no_places(served: Served) -> None:
    await served.rows("UPDATE tiers SET max_concurrent_calls = NULL")
    for _ in range(3):
        assert "<Reject" not in (await served.webhook())[1]
    assert await served.rows("SELECT FROM coming_calls") == []


@pytest.mark.parametrize("field", ["From", "To", "CallSid"])
async def test_a_webhook_with_a_nul_is_no_carriers(served: Served, field: str) -> None:
    """Signed as it is; the database would not take it."""
    status, answer = await served.webhook(**{"to" if field == "To" else field: NUMBER + "\0"})
    assert (status, "BAD_WEBHOOK" in answer) == (400, True)


async def test_a_call_is_kept_and_counted_whatever_its_stream_says(served: Served) -> None:
    """A test's stream is Telnyx', which nobody signs."""
    token = (await tried(served, "telnyx"))[1]["token"]
    hostile = {"call_control_id": "v3:\0" + "x" * 9000, "from": "\0", "to": "+1\0"}
    assert (await telnyx_start(served, token, **hostile)).type is aiohttp.WSMsgType.TEXT
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    (call,) = await served.rows("SELECT carrier_call_id, caller_number, status FROM calls")
    assert call["carrier_call_id"] == ("v3:\ufffd" + "x" * 9000)[:256]
    assert (call["caller_number"], call["status"]) == ("\ufffd", "completed")
    (count,) = await served.rows("SELECT sum(calls)::int AS calls FROM call_counts")
    assert count["calls"] == 1
    assert served.server.sink.refused == 0
