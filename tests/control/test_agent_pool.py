"""The pool that loads agents: which version answers meanwhile, and whose turn it is."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from control import agent_pool
from control.agent_pool import AgentPool, Version
from tests.support.waiting import until
from voicecore.answering import AnsweringAgent
from voicecore.providers.errors import VendorError

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
