"""A server whose agents are being loaded, or cannot be: no call is lost for it that need not be."""

import argparse
import asyncio
import re
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from control.api.client import agent_tests
from control.auth import tokens
from control.commands.serve import _listening
from control.db import accounts
from control.db.database import PLATFORM
from control.http import carrier_hooks
from control.secret_keys import SecretKeys
from control.server import Server
from tests.control.test_serve import (
    CONFIG,
    NUMBER,
    TOKEN,
    Served,
    media_from,
    served,
    token_in,
    tried,
)
from tests.support.media_client import twilio_signature
from tests.support.waiting import PATIENCE_S, until
from voicecore.answering import AnsweringAgent

__all__ = ["served"]
UNLOADED = "an agent cannot be loaded"


class Slow:
    """Has an agent's loading wait."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = asyncio.Event()
        maker = served.server._maker
        real = maker.make

        async def make(route: Any) -> AnsweringAgent:
            await self.go_on.wait()
            return await real(route)

        monkeypatch.setattr(maker, "make", make)
        monkeypatch.setattr(carrier_hooks, "LOADING_TIMEOUT_S", 0.01)
        monkeypatch.setattr(agent_tests, "LOADING_TIMEOUT_S", 0.01)


async def asked(served: Served, path: str) -> tuple[int, str]:
    """Ask as Twilio does after a redirect."""
    form = {"CallSid": "CA7", "From": "+14155550111", "To": NUMBER}
    signature = twilio_signature(TOKEN, f"https://voice.example.com{path}", form)
    async with served.session.post(
        f"http://127.0.0.1:{served.port}{path}",
        data=form,
        headers={"X-Twilio-Signature": signature},
    ) as response:
        return response.status, await response.text()


async def test_a_first_call_waits_until_its_agent_is_loaded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(served, monkeypatch)
    path = "/webhooks/calls/inbound"
    for _ in range(2):
        status, document = await asked(served, path)
        assert status == 200
        found = re.search(r"<Pause length=\"2\"/><Redirect method=\"POST\">([^<]+)<", document)
        assert found, document
        path = found[1].removeprefix("https://voice.example.com")
    slow.go_on.set()
    monkeypatch.setattr(carrier_hooks, "LOADING_TIMEOUT_S", 10)
    token = token_in((await asked(served, path))[1])
    async with served.stream(token) as stream:
        assert await media_from(stream)
    await served.server.sink.flushed()
    assert len(await served.rows("SELECT 1 FROM calls")) == 1


@pytest.mark.parametrize("count", ["4", "99999", "-1", "x", "%D9%A3"])
async def test_nobody_asks_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    slow = Slow(served, monkeypatch)
    status, body = await asked(served, f"/webhooks/calls/inbound?asked={count}")
    slow.go_on.set()
    assert (status, "UNAVAILABLE" in body) == (503, True)


async def test_who_tries_an_agent_is_told_what_it_lacks(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(served, monkeypatch)
    status, answer = await tried(served)
    assert (status, answer["error"]["code"]) == (503, "AGENT_LOADING")
    slow.go_on.set()
    served.server.calls.calls.draining = True
    status, answer = await tried_again(served)
    assert (status, answer["error"]["code"]) == (503, "DRAINING")


async def tried_again(served: Served) -> tuple[int, Any]:
    await served.rows("DELETE FROM members")
    await served.rows("DELETE FROM users")
    return await tried(served)


async def test_tests_that_were_not_begun_keep_no_caller_out(served: Served) -> None:
    for _ in range(3):
        assert (await tried_again(served))[0] == 200
    for _ in range(2):
        assert "<Stream" in (await served.webhook())[1]
    assert "<Reject" in (await served.webhook())[1]


async def test_an_agent_says_whether_it_is_ready(served: Served) -> None:
    pool = served.server.calls.pool
    await served.webhook()
    await served.change({**CONFIG, "llm": {"vendor": "no such vendor"}})
    assert "<Stream" in (await served.webhook())[1]  # by the version before
    await pool.warmed(10)
    (failed,) = pool._failures
    assert (failed.agent_id, failed.number) == (served.agent_id, 2)
    state, problem = pool.state(failed)
    assert (state, "no such vendor" in problem) == ("failed", True)


async def test_a_secret_has_those_agents_loaded_that_use_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = SecretKeys("", tmp_path)
    keys.make(served.server.plane.now())
    monkeypatch.setattr(served.server.plane.vault, "_keys", keys)
    maker, pool, made = served.server._maker, served.server.calls.pool, list[Any]()
    real = maker.make

    async def make(route: Any) -> AnsweringAgent:
        made.append(route["agent_id"])
        return await real(route)

    monkeypatch.setattr(maker, "make", make)
    await served.webhook()
    assert len(made) == 1
    token = await owner_of(served)
    for name in ("UNUSED", "OPENAI_API_KEY"):
        assert await stored(served, token, name) == 200
    assert await stored(served, token, "UNUSED", delete=True) == 204
    await served.webhook()
    await pool.warmed(10)
    assert len(made) == 1
    await stored(served, token, "USED")
    await served.change({**CONFIG, "llm": {"vendor": "scripted", "settings": {"tag": "${USED}"}}})
    await stored(served, token, "USED")
    await until(lambda: len(made) == 2)
    await pool.warmed(10)


async def test_a_secret_that_an_agent_cannot_use_is_told_of(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Meanwhile the agent answers as it was before."""
    keys = SecretKeys("", tmp_path)
    keys.make(served.server.plane.now())
    monkeypatch.setattr(served.server.plane.vault, "_keys", keys)
    token = await owner_of(served)
    tool = {"type": "http", "name": "orders", "description": "Looks an order up."}
    tool |= {"url": "https://orders.example.com", "headers": {"Authorization": "${USED}"}}
    await stored(served, token, "USED")
    await served.change({**CONFIG, "tools": [tool]})
    assert "<Stream" in (await served.webhook())[1]
    with capture_logs() as logged:
        await stored(served, token, "USED", "a k\u00e9y")
        await until(lambda: any(one["event"] == UNLOADED for one in logged))
    (line,) = (one for one in logged if one["event"] == UNLOADED)
    assert line["agent_id"] == str(served.agent_id)
    assert "tools[0].headers.Authorization: the secret must be" in line["error"]
    readiness = await readiness_of(served, token)
    assert readiness["state"] == "failed"
    assert "tools[0].headers.Authorization: the secret must be" in readiness["problem"]
    assert "<Stream" in (await served.webhook())[1]
    await stored(served, token, "USED", "a key")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await readiness_of(served, token) == {"state": "ready", "problem": None}:
                break
            await asyncio.sleep(0.01)


async def readiness_of(served: Served, token: str) -> Any:
    path = f"/workspaces/{served.workspace_id}/agents/{served.agent_id}"
    async with served.session.get(
        f"http://127.0.0.1:{served.port}{path}", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        return (await response.json())["readiness"]


async def owner_of(served: Served) -> str:
    """The token of somebody who owns the workspace."""
    async with served.server.plane.db.transaction(PLATFORM) as db:
        now = served.server.plane.now()
        user = await accounts.insert_user(db, "o@example.com", "O", None, now, verified_at=now)
        member = "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')"
        await db.execute(member, served.workspace_id, user["id"])
        return (await tokens.issue(db, tokens.Holder(user_id=user["id"]), now)).access


async def stored(
    served: Served, token: str, name: str, value: str = "a value", *, delete: bool = False
) -> int:
    """The status of the answer to storing a secret, or to deleting it."""
    url = f"http://127.0.0.1:{served.port}/workspaces/{served.workspace_id}/secrets/{name}"
    method, body = ("DELETE", None) if delete else ("PUT", {"value": value})
    headers = {"Authorization": f"Bearer {token}"}
    async with served.session.request(method, url, headers=headers, json=body) as response:
        return response.status


async def test_a_server_that_is_told_to_stop_waits_for_no_agent() -> None:
    class Loading:
        stopped_with: float | None = None

        async def listen(self, host: str, port: int) -> int:
            await asyncio.Event().wait()
            return 0

        async def stop(self, drain_timeout_s: float) -> None:
            self.stopped_with = drain_timeout_s

    server, stopping = Loading(), asyncio.Event()
    stopping.set()
    args = argparse.Namespace(host="127.0.0.1", port=0)
    assert await _listening(cast(Server, server), args, stopping) is None
    assert server.stopped_with == 0
