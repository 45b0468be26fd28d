"""The whole server: a carrier's webhook, its stream, and what the call leaves in the database."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from control import call_tickets
from control.agent_pool import AgentPool, Version
from control.auth import tokens
from control.call_facts import CallBegan
from control.db import accounts
from control.db.database import PLATFORM
from control.server import Server
from control.settings import Settings
from tests.support.media_client import Stream, twilio_signature
from tests.support.postgres import fresh_database
from tests.support.waiting import PATIENCE_S, until
from voicecore.answering import AnsweringAgent

TOKEN = "the account's token"
NUMBER = "+14155550100"
CONFIG = {
    "name": "Desk",
    "language": "en",
    "instructions": "Be brief.",
    "greeting": "Hello, this is the desk.",
    "stt": {"vendor": "scripted"},
    "llm": {"vendor": "scripted"},
    "tts": {"vendor": "scripted"},
}
SETTINGS = {
    "public_url": "https://voice.example.com",
    "twilio_auth_token": TOKEN,
    "agent_vendors": ("scripted",),
    "drain_timeout_s": 0,
}

_WORKSPACE = """
INSERT INTO workspaces (name, subscription_tier) VALUES ('Acme', 'free') RETURNING id"""
_AGENT = "INSERT INTO agents (workspace_id, name, status) VALUES ($1, 'Desk', 'live') RETURNING id"
_VERSION = """
INSERT INTO agent_versions (workspace_id, agent_id, version, name, config)
VALUES ($1, $2, 1, 'Desk', $3)"""
_NEXT_VERSION = _VERSION.replace("$2, 1,", "$2, 2,")
_PHONE = """
INSERT INTO phone_numbers (workspace_id, phone_number, carrier, agent_id)
VALUES ($1, $2, 'twilio', $3)"""


class Served:
    """A server with one live agent on one number."""

    def __init__(self, server: Server, port: int, session: aiohttp.ClientSession) -> None:
        self.server, self.port, self.session = server, port, session
        self.workspace_id = self.agent_id = UUID(int=0)

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        async with self.server.plane.db.transaction(PLATFORM) as db:
            return await db.fetch(statement, *values)

    async def set_up(self, config: dict[str, Any] = CONFIG) -> None:
        async with self.server.plane.db.transaction(PLATFORM) as db:
            self.workspace_id = await db.fetchval(_WORKSPACE)
            self.agent_id = await db.fetchval(_AGENT, self.workspace_id)
            await db.execute(_VERSION, self.workspace_id, self.agent_id, config)
            await db.execute(_PHONE, self.workspace_id, NUMBER, self.agent_id)

    async def change(self, config: dict[str, Any]) -> None:
        """The agent's next version."""
        async with self.server.plane.db.transaction(PLATFORM) as db:
            await db.execute(_NEXT_VERSION, self.workspace_id, self.agent_id, config)
            await db.execute("UPDATE agents SET version = 2")

    async def webhook(self, to: str = NUMBER, **fields: str) -> tuple[int, str]:
        """Ask as Twilio does, each time about another call."""
        form = {"CallSid": f"CA{uuid4().hex}", "From": "+14155550111", "To": to, **fields}
        url = "https://voice.example.com/webhooks/calls/inbound"
        headers = {"X-Twilio-Signature": twilio_signature(TOKEN, url, form)}
        path = f"http://127.0.0.1:{self.port}/webhooks/calls/inbound"
        async with self.session.post(path, data=form, headers=headers) as response:
            return response.status, await response.text()

    @asynccontextmanager
    async def stream(self, token: str) -> AsyncIterator[Stream]:
        url = "wss://voice.example.com/media/twilio"
        headers = {"X-Twilio-Signature": twilio_signature(TOKEN, url)}
        path = f"ws://127.0.0.1:{self.port}/media/twilio"
        async with self.session.ws_connect(path, headers=headers) as socket:
            stream = Stream(socket)
            await stream.start(token=token)
            yield stream


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with fresh_database() as url, AsyncExitStack() as stack:
        server = await Server.open(Settings(database_url=url, **SETTINGS), tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(server.stop, 0)
        served = Served(server, port, session)
        await served.set_up()
        yield served


def token_in(document: str) -> str:
    match = re.search(r'name="token" value="([^"]+)"', document)
    assert match, document
    return match[1]


async def media_from(stream: Stream) -> bytes:
    """The agent is heard."""
    while True:
        message = await stream.next()
        if message.type is aiohttp.WSMsgType.TEXT and message.json()["event"] == "media":
            return bytes(message.data, "ascii")
        assert message.type is aiohttp.WSMsgType.TEXT, message


async def test_a_number_is_answered_by_its_agent_and_the_call_is_kept(served: Served) -> None:
    status, document = await served.webhook()
    assert status == 200
    async with served.stream(token_in(document)) as stream:
        assert await media_from(stream)
        live = await served.rows("SELECT status FROM calls") or None
        assert live is None or live[0]["status"] == "in_progress"
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    (call,) = await served.rows("SELECT * FROM calls")
    assert (call["workspace_id"], call["agent_id"]) == (served.workspace_id, served.agent_id)
    assert (call["caller_number"], call["called_number"]) == ("+14155550111", NUMBER)
    assert (call["status"], call["agent_name"], call["is_test"]) == ("completed", "Desk", False)
    assert call["end_reason"] in ("caller_hangup", "carrier_disconnected")
    events = await served.rows("SELECT sequence, type FROM call_events ORDER BY sequence")
    assert [row["sequence"] for row in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "call_started"
    assert "call_ended" in {row["type"] for row in events}
    (turn,) = await served.rows("SELECT speaker, text, words FROM call_turns")
    said = " ".join(word["text"] for word in turn["words"])
    assert (turn["speaker"], said) == ("agent", CONFIG["greeting"])
    assert CONFIG["greeting"].startswith(turn["text"]), "he hung up before it was over"


async def test_a_token_lets_one_stream_in(served: Served) -> None:
    token = token_in((await served.webhook())[1])
    async with served.stream(token) as first:
        assert await media_from(first)
        async with served.stream(token) as second:
            assert (await second.next()).type is not aiohttp.WSMsgType.TEXT
    async with served.stream("made up") as third:
        assert (await third.next()).type is not aiohttp.WSMsgType.TEXT


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE agents SET status = 'paused'", "agent_not_live"),
        ("UPDATE workspaces SET status = 'suspended'", "workspace_suspended"),
        ("UPDATE phone_numbers SET agent_id = NULL", "no_agent"),
        ("UPDATE phone_numbers SET status = 'inactive'", "no_such_number"),
        ("UPDATE tiers SET max_concurrent_calls = 0", "too_many_calls"),
        ("UPDATE tiers SET max_minutes = 0", "minutes_used_up"),
    ],
)
async def test_who_may_not_be_called_is_not(served: Served, statement: str, why: str) -> None:
    await served.rows(statement)
    status, document = await served.webhook()
    assert (status, "<Reject" in document) == (200, True)


async def test_a_wrong_signature_is_refused(served: Served) -> None:
    path = f"http://127.0.0.1:{served.port}/webhooks/calls/inbound"
    form = {"CallSid": "CA1", "From": "+14155550111", "To": NUMBER}
    for headers in ({}, {"X-Twilio-Signature": "AAAA"}):
        async with served.session.post(path, data=form, headers=headers) as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "BAD_SIGNATURE"


async def test_an_agent_that_cannot_work_leaves_the_call_to_the_fallback(served: Served) -> None:
    await served.change({**CONFIG, "llm": {"vendor": "no such vendor"}})
    status, body = await served.webhook()
    assert (status, "UNAVAILABLE" in body) == (503, True)


async def test_a_change_does_not_touch_a_call_in_progress(served: Served) -> None:
    token = token_in((await served.webhook())[1])
    await served.change({**CONFIG, "greeting": "Another greeting."})
    async with served.stream(token) as stream:
        assert await media_from(stream)
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()  # until then it counts as one of the two that may be
    await served.webhook()  # has the next version loaded, and is answered by what is loaded
    await served.server.calls.pool.warmed(10)
    second = token_in((await served.webhook())[1])
    async with served.stream(second) as stream:
        assert await media_from(stream)
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    versions = await served.rows("SELECT agent_version FROM calls ORDER BY started_at")
    assert [row["agent_version"] for row in versions] == [1, 2]


async def tried(served: Served, carrier: str = "twilio") -> tuple[int, Any]:
    """What a manager is answered who wants to try the agent."""
    async with served.server.plane.db.transaction(PLATFORM) as db:
        now = served.server.plane.now()
        user = await accounts.insert_user(db, "a@example.com", "A", None, now, verified_at=now)
        member = "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'manager')"
        await db.execute(member, served.workspace_id, user["id"])
        token = (await tokens.issue(db, tokens.Holder(user_id=user["id"]), now)).access
    path = f"/workspaces/{served.workspace_id}/agents/{served.agent_id}/test-stream"
    async with served.session.post(
        f"http://127.0.0.1:{served.port}{path}",
        headers={"Authorization": f"Bearer {token}"},
        json={"carrier": carrier},
    ) as response:
        return response.status, await response.json()


async def test_a_test_needs_minutes_as_a_call_does(served: Served) -> None:
    await served.rows("UPDATE tiers SET max_minutes = 0")
    status, answer = await tried(served)
    assert (status, answer["error"]["code"]) == (409, "CONFLICT")
    assert "has used up its tier's minutes" in answer["error"]["details"][0]["message"]


async def test_an_agent_is_tried_without_a_number(served: Served) -> None:
    await served.rows("UPDATE agents SET status = 'draft'")
    status, answer = await tried(served)
    assert (status, answer.get("stream_url")) == (200, "wss://voice.example.com/media/twilio")
    async with served.stream(answer["token"]) as stream:
        assert await media_from(stream)
    await until(lambda: not served.server.calls.live())
    await served.server.sink.flushed()
    (call,) = await served.rows("SELECT id, is_test FROM calls")
    assert (str(call["id"]), call["is_test"]) == (answer["call_id"], True)


async def test_a_workspace_has_no_more_calls_than_it_may(served: Served) -> None:
    """Those on their way count, too: the free tier may have two."""
    documents = [(await served.webhook())[1] for _ in range(4)]
    assert ["<Reject" in document for document in documents] == [False, False, True, True]
    async with served.stream(token_in(documents[0])) as stream:
        assert await media_from(stream)
        assert "<Reject" in (await served.webhook())[1]


async def test_those_who_ask_at_once_get_no_more_either(served: Served) -> None:
    """The agent is loaded by the first; all of them wait for it."""
    answers = await asyncio.gather(*(served.webhook() for _ in range(6)))
    assert sorted("<Reject" in document for _, document in answers) == [False] * 2 + [True] * 4


async def test_streams_that_do_not_come_keep_nobody_out_for_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count no more after half a minute; those that come then find room, or they do not."""
    monkeypatch.setattr(call_tickets, "COUNTS_MS", -1)  # half a minute has passed
    tokens = [token_in((await served.webhook())[1]) for _ in range(4)]
    async with served.stream(tokens[0]) as first, served.stream(tokens[3]) as second:
        assert await media_from(first)
        assert await media_from(second)
        async with served.stream(tokens[1]) as third:
            assert (await third.next()).type is not aiohttp.WSMsgType.TEXT
    await until(lambda: not served.server.calls.live())
    async with served.stream(tokens[2]) as later:
        assert await media_from(later)


async def test_a_stream_that_is_refused_keeps_its_token(served: Served) -> None:
    """A server that is full, or shutting down, refuses streams that are let in otherwise."""
    token = token_in((await served.webhook())[1])
    calls = served.server.calls.calls
    path = f"ws://127.0.0.1:{served.port}/media/twilio"
    headers = {
        "X-Twilio-Signature": twilio_signature(TOKEN, "wss://voice.example.com/media/twilio")
    }
    async with served.session.ws_connect(path, headers=headers) as socket:
        room, calls._limit = calls._limit, 0  # it was there when the stream was connected
        refused = Stream(socket)
        await refused.start(token=token)
        assert (await refused.next()).type is not aiohttp.WSMsgType.TEXT
        calls._limit = room
    async with served.stream(token) as stream:
        assert await media_from(stream)


async def test_a_version_that_could_not_be_loaded_is_tried_again() -> None:
    pool, version = AgentPool(), Version(UUID(int=1), 1)
    loading = asyncio.Event()

    async def fails() -> AnsweringAgent:
        await loading.wait()
        raise ValueError("not today")

    waiting = asyncio.create_task(pool.hold(version, fails))
    await asyncio.sleep(0)
    waiting.cancel()  # whoever called has hung up
    loading.set()
    await until(lambda: len(pool) == 0)
    with pytest.raises(ValueError, match="not today"):
        await pool.hold(version, fails)
    assert len(pool) == 0


async def test_calls_of_a_server_that_died_are_over(tmp_path: Path) -> None:
    async with fresh_database() as url:
        settings = Settings(database_url=url, **SETTINGS)
        async with AsyncExitStack() as stack:
            server = await Server.open(settings, tmp_path, stack)
            served = Served(server, 0, await stack.enter_async_context(aiohttp.ClientSession()))
            await served.set_up()
            server_id = UUID((tmp_path / "server.id").read_text().strip())
            for call_id, whose in ((1, server_id), (2, UUID(int=9))):
                began = CallBegan(
                    workspace_id=served.workspace_id,
                    call_id=UUID(int=call_id),
                    agent_id=None,
                    agent_version=None,
                    agent_name="Desk",
                    carrier="twilio",
                    carrier_call_id="CA1",
                    direction="inbound",
                    caller_number="",
                    called_number="",
                    started_at=server.plane.now(),
                    server=whose,
                )
                server.sink.put(began)
            await server.sink.flushed()
        async with AsyncExitStack() as stack:
            again = await Server.open(settings, tmp_path, stack)
            plane = again.plane
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    async with plane.db.reading(PLATFORM) as db:
                        rows = await db.fetch("SELECT status, end_reason FROM calls ORDER BY id")
                    if rows[0]["status"] == "failed":
                        break
                    await asyncio.sleep(0.01)
            assert [tuple(row) for row in rows] == [
                ("failed", "server_lost"),
                ("in_progress", None),
            ]
