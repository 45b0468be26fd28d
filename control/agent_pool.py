"""Agents that are loaded: one per version, shared by its calls, unloaded when nobody needs it.

A version is loaded when its first call comes, or before that when the agent is activated. Loading
takes seconds: vendors are connected, and the fixed phrases spoken. Models on this machine fill its
memory and its processors meanwhile, so few are loaded at a time, and of one agent one.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple
from uuid import UUID

import structlog

from control.tenant_agents import TenantAgentError
from media.audio.format import MULAW_8K
from voicecore.adapters.registry import VendorConfigError
from voicecore.answering import AnsweringAgent
from voicecore.providers.errors import VendorError

State = Literal["idle", "loading", "ready", "failed"]
MOST_FAILURES = 1000
MOST_IDLE = 32
"""Versions that stay loaded without a call."""
MOST_LOADS = 2
"""At a time, in the whole process."""
STOP_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 120.0
"""Models on a busy machine need half of it; a vendor that hangs keeps its place so long."""

log = structlog.get_logger("control.agents")


class Version(NamedTuple):
    """An agent as it is loaded."""

    agent_id: UUID
    number: int
    secrets: str = ""
    """Another text where it was made with other secrets."""


Make = Callable[[], Awaitable[AnsweringAgent]]
"""Makes an agent, not loaded yet."""


class _Loaded:
    """A version that is loaded, or will be when it is its turn."""

    def __init__(self, version: Version, make: Make, asked: int) -> None:
        self.version = version
        self.asked = asked
        self.turn = asyncio.Event()
        self.loading = asyncio.create_task(_load(version, make, self.turn), name="load an agent")
        self.holders = 0
        self.waiting = 0
        """Those who hold it and do nothing before it is loaded."""
        self.is_urgent = False
        """Somebody waits for it, or has been told to ask again."""

    @property
    def rank(self) -> tuple[int, int]:
        """The later version of an agent has the higher one."""
        return self.version.number, self.asked

    @property
    def is_ready(self) -> bool:
        loading = self.loading
        return loading.done() and not loading.cancelled() and loading.exception() is None


class _Turns:
    """Who is loaded next: those that somebody waits for, and otherwise in the order in which they
    were asked for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: list[_Loaded] = []
        self._running: set[_Loaded] = set()

    def add(self, entry: _Loaded) -> _Loaded | None:
        """Its turn will come; it may be at once. What the agent would have been before, if that
        still stood in line and nobody waits for it, is returned: this one has its place."""
        entry.loading.add_done_callback(lambda _: self._over(entry))
        for at, one in enumerate(self._queue):
            if one.version.agent_id == entry.version.agent_id and not one.waiting:
                self._queue[at], entry.is_urgent = entry, one.is_urgent
                return one
        self._queue.append(entry)
        self._next()
        return None

    def _over(self, entry: _Loaded) -> None:
        self._running.discard(entry)
        if entry in self._queue:
            self._queue.remove(entry)
        self._next()

    def _next(self) -> None:
        for entry in sorted(self._queue, key=lambda one: not one.is_urgent):
            if len(self._running) >= self._most:
                return
            agent_id = entry.version.agent_id
            if all(one.version.agent_id != agent_id for one in self._running):
                self._queue.remove(entry)
                self._running.add(entry)
                entry.turn.set()


class AgentPool:
    """Those of this process."""

    def __init__(self, most_idle: int = MOST_IDLE, most_loads: int = MOST_LOADS) -> None:
        self._loaded: OrderedDict[Version, _Loaded] = OrderedDict()
        self._turns = _Turns(most_loads)
        self._asked = itertools.count()
        self._background: set[asyncio.Task[None]] = set()
        self._most_idle = most_idle
        self._failures: OrderedDict[Version, str] = OrderedDict()
        """Why versions could not be loaded when that was tried last."""

    def __len__(self) -> int:
        return len(self._loaded)

    async def hold(self, version: Version, make: Make) -> AnsweringAgent:
        """The agent, ready to answer; it stays until ``release`` was called as often.

        :raises VendorError: a vendor cannot work.
        :raises Exception: whatever ``make`` raises."""
        entry = self._loaded.get(version) or self._add(version, make)
        entry.holders += 1
        entry.waiting += 1
        entry.is_urgent = True
        self._loaded.move_to_end(version)
        try:
            # Who waits may go away; whoever comes next finds it loaded.
            return await asyncio.shield(entry.loading)
        except BaseException:
            if self._loaded.get(version) is entry:
                self.release(version)
            raise
        finally:
            entry.waiting -= 1

    def hold_ready(self, version: Version, make: Make) -> tuple[Version, AnsweringAgent] | None:
        """The agent as it is loaded already: this version of it, or the last one before it that
        is, while this one is being loaded: no caller waits because an agent was changed, and none
        is turned away because it was changed for the worse. Like ``hold``.

        None: it is not loaded at all."""
        ready = [entry for entry in self._of(version.agent_id) if entry.is_ready]
        if not ready:
            return None
        newest = max(ready, key=lambda entry: (entry.version == version, entry.rank))
        if newest.version != version:
            self.warm(version, make)
        newest.holders += 1
        self._loaded.move_to_end(newest.version)
        return newest.version, newest.loading.result()

    def state(self, version: Version) -> tuple[State, str]:
        """How far it is, and why it could not be loaded the last time."""
        entry, failure = self._loaded.get(version), self._failures.get(version, "")
        if entry is not None:
            return ("ready", "") if entry.is_ready else ("loading", failure)
        return ("failed", failure) if failure else ("idle", "")

    def _add(self, version: Version, make: Make) -> _Loaded:
        entry = self._loaded[version] = _Loaded(version, make, next(self._asked))
        entry.loading.add_done_callback(lambda _: self._tried(entry))
        outdated = self._turns.add(entry)
        if outdated is not None:
            if self._loaded.get(outdated.version) is outdated:  # it may be thrown away already
                del self._loaded[outdated.version]
            outdated.loading.cancel()
        return entry

    def _of(self, agent_id: UUID) -> list[_Loaded]:
        return [entry for one, entry in self._loaded.items() if one.agent_id == agent_id]

    def _tried(self, entry: _Loaded) -> None:
        """The next call tries again, though nobody waits for this failure any more."""
        version, loading = entry.version, entry.loading
        failure = None if loading.cancelled() else loading.exception()
        self._failures.pop(version, None)
        about = {"agent_id": str(version.agent_id), "version": version.number}
        if failure is not None:
            self._failures[version] = reason_of(failure)
            if len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)
            log.warning("an agent cannot be loaded", **about, error=repr(failure))
        elif entry.is_ready:
            log.info("agent loaded", **about)
        if not entry.is_ready and self._loaded.get(version) is entry:
            del self._loaded[version]

    def warm(self, version: Version, make: Make) -> None:
        """Load it before a call comes; a failure is logged, and tried again by the first call. Of
        the versions of an agent that nobody waits for only the last one is loaded."""
        entry = self._loaded.get(version)
        if entry is not None:
            entry.asked = next(self._asked)
            if entry.is_ready:
                self._unload_earlier(entry)
        elif self._of(version.agent_id) or len(self._loaded) < self._most_idle:
            entry = self._add(version, make)
            entry.holders += 1
            task = asyncio.create_task(self._warm(entry), name="warm an agent")
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def warmed(self, timeout_s: float) -> None:
        """Wait until what is being loaded beforehand is, or could not be."""
        if self._background:
            await asyncio.wait(self._background, timeout=timeout_s)

    async def _warm(self, entry: _Loaded) -> None:
        await asyncio.wait([entry.loading])
        if self._loaded.get(entry.version) is entry:
            self.release(entry.version)
            self._unload_earlier(entry)

    def release(self, version: Version) -> None:
        """One who held it does not need it any more."""
        entry = self._loaded.get(version)
        if entry is not None:
            entry.holders -= 1
            if not entry.holders and self._is_outdated(entry):
                self._unload(version)
            self._unload_idle(self._most_idle)

    async def stop(self) -> None:
        """Unload everything, whoever holds it."""
        for entry in self._loaded.values():
            entry.holders = 0
        self._unload_idle(0)
        if self._background:
            await asyncio.wait(self._background, timeout=STOP_TIMEOUT_S)

    def _is_outdated(self, entry: _Loaded) -> bool:
        """Whether a later version of the agent is there for the next call."""
        return any(
            one.is_ready and one.rank > entry.rank for one in self._of(entry.version.agent_id)
        )

    def _unload_idle(self, most: int) -> None:
        idle = self._idle()
        for version in idle[: max(len(idle) - most, 0)]:
            self._unload(version)

    def _unload_earlier(self, current: _Loaded) -> None:
        """What the agent was before: no call asks for it any more."""
        for entry in self._of(current.version.agent_id):
            if not entry.holders and entry.rank < current.rank:
                self._unload(entry.version)

    def _idle(self) -> list[Version]:
        return [version for version, entry in self._loaded.items() if not entry.holders]

    def _unload(self, version: Version) -> None:
        task = asyncio.create_task(_unload(self._loaded.pop(version).loading))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def reason_of(error: BaseException) -> str:
    """Why an agent cannot be loaded, for who made it: a vendor's own words may be anything."""
    if isinstance(error, VendorError):
        return f"{error.vendor}: {error.code}"
    if isinstance(error, TimeoutError):
        return "it takes too long"
    if isinstance(error, (VendorConfigError, TenantAgentError)):
        return str(error)[:500]
    return "it cannot be made now"


async def _load(version: Version, make: Make, turn: asyncio.Event) -> AnsweringAgent:
    """:raises TimeoutError: it takes so long that others should have its place."""
    await turn.wait()
    agent = await make()

    def tell(step: str) -> None:
        log.info("loading an agent", agent_id=str(version.agent_id), step=step)

    try:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            await agent.start(MULAW_8K, tell)
    except BaseException:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await agent.stop()
        raise
    return agent


async def _unload(loading: "asyncio.Task[AnsweringAgent]") -> None:
    if not loading.done():
        loading.cancel()
    await asyncio.wait([loading])
    if not loading.cancelled() and loading.exception() is None:
        try:
            await loading.result().stop()
        except VendorError as error:
            log.warning("a vendor did not stop", vendor=error.vendor, code=error.code)
