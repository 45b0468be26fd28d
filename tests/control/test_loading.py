"""Agents that are being loaded, or cannot be: no call is lost for it that need not be."""

import argparse
import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from control import agent_pool
from control.agent_pool import AgentPool, Version
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
from voicecore.providers.errors import VendorError

__all__ = ["served"]
AGENT_ID = UUID(int=1)
UNLOADED = "an agent cannot be loaded"

FIRST, SECOND = Version(AGENT_ID, 1), Version(AGENT_ID, 2)


class Agent:
    """One that takes as long to load as is wanted, or cannot be."""

    def __init__(self, *, fails: bool = False) -> None:
        self.may_start = asyncio.Event()
        self.stopped = False
        self._fails = fails

    async def make(self) -> AnsweringAgent:
        return cast(AnsweringAgent, self)

    async def start(self, line: object, progress: Callable[[str], None]) -> None:
        progress("loading")
        await self.may_start.wait()
        if self._fails:
            raise VendorError("openai", "auth_failed", "the key sk-123 is wrong", retryable=False)

    async def stop(self) -> None:
        self.stopped = True


async def loaded(pool: AgentPool, version: Version) -> Agent:
    agent = Agent()
    agent.may_start.set()
    await pool.hold(version, agent.make)
    pool.release(version)
    return agent


class TestPool:
    async def test_what_was_loaded_before_answers_until_the_next_is(self) -> None:
        pool, second = AgentPool(), Agent()
        first = await loaded(pool, FIRST)
        assert pool.hold_ready(SECOND, second.make) == (FIRST, first)
        await until(lambda: pool.state(SECOND) == ("loading", ""))
        second.may_start.set()
        await pool.warmed(10)
        assert pool.hold_ready(SECOND, second.make) == (SECOND, second)
        assert pool.state(SECOND) == ("ready", "")
        assert not first.stopped  # a call has it still
        pool.release(FIRST)
        await until(lambda: first.stopped)
        await pool.stop()

    async def test_a_change_for_the_worse_turns_nobody_away(self) -> None:
        pool = AgentPool()
        first = await loaded(pool, FIRST)
        for _ in range(2):
            second = Agent(fails=True)
            second.may_start.set()
            assert pool.hold_ready(SECOND, second.make) == (FIRST, first)
            pool.release(FIRST)
            await pool.warmed(10)
            assert second.stopped
            assert pool.state(SECOND) == ("failed", "openai: auth_failed")
        assert not first.stopped
        await loaded(pool, SECOND)
        assert pool.state(SECOND) == ("ready", "")
        await pool.stop()

    async def test_nothing_else_answers(self) -> None:
        pool = AgentPool()
        await loaded(pool, Version(UUID(int=2), 1))
        assert pool.hold_ready(SECOND, Agent().make) is None
        assert pool.state(SECOND) == ("idle", "")
        await pool.stop()

    async def test_so_many_failures_are_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agent_pool, "MOST_FAILURES", 2)
        pool = AgentPool()
        for number in range(4):
            agent = Agent(fails=True)
            agent.may_start.set()
            with pytest.raises(VendorError):
                await pool.hold(Version(AGENT_ID, number), agent.make)
        states = [pool.state(Version(AGENT_ID, number))[0] for number in range(4)]
        assert states == ["idle", "idle", "failed", "failed"]


class Loads:
    """Versions that a pool is to load, and which of them it has begun with."""

    def __init__(self, **bounds: int) -> None:
        self.pool = AgentPool(**bounds)
        self.begun: list[Version] = []
        self._agents: dict[Version, Agent] = {}

    def warm(self, *versions: Version) -> None:
        for version in versions:
            self.pool.warm(version, self._make(version))

    def wait_for(self, version: Version) -> "asyncio.Task[AnsweringAgent]":
        return asyncio.create_task(self.pool.hold(version, self._make(version)))

    def may_end(self, version: Version) -> None:
        """It is loaded as soon as it is its turn."""
        self._agents[version].may_start.set()

    async def end(self, version: Version) -> None:
        """It is loaded."""
        self.may_end(version)
        await until(lambda: self.pool.state(version) == ("ready", ""))
        await settled()

    def _make(self, version: Version) -> Callable[[], Any]:
        agent = self._agents.setdefault(version, Agent())

        async def make() -> AnsweringAgent:
            self.begun.append(version)
            return await agent.make()

        return make


async def settled() -> None:
    """Whatever can go on without anything from outside has."""
    for _ in range(20):
        await asyncio.sleep(0)


def numbered(agent: int, secrets: str = "") -> Version:
    return Version(UUID(int=agent), 1, secrets)


class TestTurns:
    async def test_few_are_loaded_at_a_time_as_they_were_asked_for(self) -> None:
        loads = Loads(most_loads=2)
        wanted = [numbered(agent) for agent in range(5)]
        loads.warm(*wanted)
        await settled()
        assert loads.begun == wanted[:2]
        assert [loads.pool.state(version)[0] for version in wanted] == ["loading"] * 5
        await loads.end(wanted[1])
        assert loads.begun == wanted[:3]
        await loads.end(wanted[0])
        assert loads.begun == wanted[:4]
        await loads.pool.stop()

    async def test_one_that_somebody_waits_for_goes_before(self) -> None:
        loads = Loads(most_loads=1)
        wanted = [numbered(agent) for agent in range(5)]
        loads.warm(*wanted[:4])
        waiting = [loads.wait_for(wanted[3]), loads.wait_for(wanted[4])]
        await settled()
        waiting[0].cancel()  # whoever it was will ask again
        for version in (wanted[0], wanted[3], wanted[4], wanted[1]):
            await loads.end(version)
        assert loads.begun == [wanted[0], wanted[3], wanted[4], wanted[1], wanted[2]]
        await waiting[1]
        await loads.pool.stop()

    async def test_of_one_agents_changes_the_last_is_loaded_after_the_first(self) -> None:
        loads = Loads(most_loads=2)
        changes = [numbered(1, f"secrets {at}") for at in range(6)]
        loads.warm(*changes, numbered(2))
        await settled()
        assert loads.begun == [changes[0], numbered(2)]
        assert loads.pool.state(changes[5])[0] == "loading"
        await loads.end(changes[0])
        assert loads.begun == [changes[0], numbered(2), changes[5]]
        loads.warm(changes[5])
        await loads.end(changes[5])
        await until(lambda: len(loads.pool) == 2)  # what it was before is not kept
        await loads.end(numbered(2))
        assert len(loads.begun) == 3
        await loads.pool.stop()

    async def test_one_that_somebody_waits_for_is_loaded_whatever_comes_after(self) -> None:
        loads = Loads(most_loads=2)
        changes = [numbered(1, f"secrets {at}") for at in range(3)]
        loads.warm(changes[0])
        waiting = loads.wait_for(changes[1])
        await settled()
        loads.warm(changes[2])
        for version in changes[:2]:
            await loads.end(version)
        await waiting
        await loads.end(changes[2])
        assert loads.begun == changes
        await loads.pool.stop()

    async def test_one_that_is_being_thrown_away_is_asked_for_again(self) -> None:
        loads = Loads(most_loads=1, most_idle=1)
        first = loads.wait_for(numbered(1))
        await asyncio.sleep(0)
        gone = [loads.wait_for(numbered(2)), loads.wait_for(numbered(3))]
        await asyncio.sleep(0)
        for waiting in gone:
            waiting.cancel()  # two that nobody holds are more than may be
        again = loads.wait_for(numbered(2))
        await settled()
        await loads.end(numbered(1))
        await loads.end(numbered(2))
        await asyncio.gather(first, again)
        assert loads.begun.count(numbered(2)) == 1
        await loads.pool.stop()

    async def test_one_that_hangs_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agent_pool, "LOAD_TIMEOUT_S", 0.01)
        loads = Loads(most_loads=1)
        hanging, next_one = loads.wait_for(numbered(1)), loads.wait_for(numbered(2))
        await asyncio.sleep(0)
        loads.may_end(numbered(2))
        with pytest.raises(TimeoutError):
            await hanging
        assert loads.pool.state(numbered(1)) == ("failed", "it takes too long")
        await next_one
        assert loads.begun == [numbered(1), numbered(2)]
        await loads.pool.stop()

    async def test_one_that_fails_makes_room(self) -> None:
        loads = Loads(most_loads=1)
        failing = Agent(fails=True)
        failing.may_start.set()
        loads.pool.warm(numbered(1), failing.make)
        loads.warm(numbered(2))
        await until(lambda: loads.begun == [numbered(2)])
        await loads.pool.stop()

    async def test_a_full_pool_loads_what_an_agent_has_become(self) -> None:
        loads = Loads(most_idle=1)
        loads.warm(numbered(1))
        await settled()
        await loads.end(numbered(1))
        loads.warm(numbered(2), numbered(1, "another secret"))
        await settled()
        assert loads.begun == [numbered(1), numbered(1, "another secret")]
        await loads.pool.stop()

    async def test_a_call_keeps_the_secrets_it_began_with_and_nobody_after_it(self) -> None:
        loads = Loads()
        before, after = numbered(1, "before"), numbered(1, "after")
        held = loads.wait_for(before)
        await settled()
        await loads.end(before)
        loads.warm(after)
        await settled()
        await loads.end(after)
        agent = cast(Agent, await held)
        assert (len(loads.pool), agent.stopped) == (2, False)
        loads.pool.release(before)
        await until(lambda: agent.stopped)
        assert len(loads.pool) == 1
        await loads.pool.stop()

    async def test_the_log_has_a_failure_that_nobody_waited_for(self) -> None:
        pool, agent = AgentPool(), Agent(fails=True)
        waiting = asyncio.create_task(pool.hold(FIRST, agent.make))
        await settled()
        waiting.cancel()
        with capture_logs() as logged:
            agent.may_start.set()
            await until(lambda: pool.state(FIRST)[0] == "failed")
        (line,) = (one for one in logged if one["event"] == UNLOADED)
        assert (line["agent_id"], line["version"]) == (str(AGENT_ID), 1)
        assert "auth_failed" in line["error"]


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
