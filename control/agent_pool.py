"""Agents that are loaded: one per version, shared by its calls, unloaded when nobody needs it.

A version is loaded when its first call comes, or before that when the agent is activated. Loading
takes seconds: vendors are connected, and the fixed phrases spoken.
"""

import asyncio
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
STOP_TIMEOUT_S = 10.0

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
    def __init__(self, loading: "asyncio.Task[AnsweringAgent]") -> None:
        self.loading = loading
        self.holders = 0


class AgentPool:
    """Those of this process."""

    def __init__(self, most_idle: int = MOST_IDLE) -> None:
        self._loaded: OrderedDict[Version, _Loaded] = OrderedDict()
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
        entry = self._loaded.get(version)
        if entry is None:
            loading = asyncio.create_task(_load(version, make), name="load an agent")
            entry = self._loaded[version] = _Loaded(loading)
            loading.add_done_callback(lambda task: self._forget_failed(version, task))
        entry.holders += 1
        self._loaded.move_to_end(version)
        try:
            # Who waits may go away; whoever comes next finds it loaded.
            return await asyncio.shield(entry.loading)
        except BaseException:
            if self._loaded.get(version) is entry:
                self.release(version)
            raise

    def hold_ready(self, version: Version, make: Make) -> tuple[Version, AnsweringAgent] | None:
        """The agent as it is loaded already: this version of it, or the last one before it that
        is, while this one is being loaded: no caller waits because an agent was changed, and none
        is turned away because it was changed for the worse. Like ``hold``.

        None: it is not loaded at all."""
        ready = [
            one
            for one, entry in self._loaded.items()
            if one.agent_id == version.agent_id and _is_ready(entry)
        ]
        if not ready:
            return None
        newest = max(ready, key=lambda one: (one == version, one.number))
        if newest != version:
            self.warm(version, make)
        entry = self._loaded[newest]
        entry.holders += 1
        self._loaded.move_to_end(newest)
        return newest, entry.loading.result()

    def state(self, version: Version) -> tuple[State, str]:
        """How far it is, and why it could not be loaded the last time."""
        entry, failure = self._loaded.get(version), self._failures.get(version, "")
        if entry is not None:
            return ("ready", "") if _is_ready(entry) else ("loading", failure)
        return ("failed", failure) if failure else ("idle", "")

    def _forget_failed(self, version: Version, loading: "asyncio.Task[AnsweringAgent]") -> None:
        """The next call tries again, though nobody waits for this failure any more."""
        self._failures.pop(version, None)
        failure = None if loading.cancelled() else loading.exception()
        if failure is not None:
            self._failures[version] = reason_of(failure)
            if len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)
        if loading.cancelled() or failure is not None:
            entry = self._loaded.get(version)
            if entry is not None and entry.loading is loading:
                del self._loaded[version]

    def warm(self, version: Version, make: Make) -> None:
        """Load it before a call comes; a failure is logged, and tried again by the first call."""
        if version not in self._loaded and len(self._loaded) < self._most_idle:
            task = asyncio.create_task(self._warm(version, make), name="warm an agent")
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def warmed(self, timeout_s: float) -> None:
        """Wait until what is being loaded beforehand is, or could not be."""
        if self._background:
            await asyncio.wait(self._background, timeout=timeout_s)

    async def _warm(self, version: Version, make: Make) -> None:
        (held,) = await asyncio.gather(self.hold(version, make), return_exceptions=True)
        if isinstance(held, BaseException):
            log.warning(
                "an agent cannot be loaded", agent_id=str(version.agent_id), error=repr(held)
            )
            return
        log.info("agent loaded", agent_id=str(version.agent_id), version=version.number)
        self.release(version)
        self._unload_others(version)

    def release(self, version: Version) -> None:
        """One who held it does not need it any more."""
        entry = self._loaded.get(version)
        if entry is not None:
            entry.holders -= 1
            if not entry.holders and self._is_outdated(version):
                self._unload(version)
            self._unload_idle(self._most_idle)

    async def stop(self) -> None:
        """Unload everything, whoever holds it."""
        for entry in self._loaded.values():
            entry.holders = 0
        self._unload_idle(0)
        if self._background:
            await asyncio.wait(self._background, timeout=STOP_TIMEOUT_S)

    def _is_outdated(self, version: Version) -> bool:
        """Whether a later version of the agent is there for the next call."""
        return any(
            one.agent_id == version.agent_id and one.number > version.number and _is_ready(entry)
            for one, entry in self._loaded.items()
        )

    def _unload_idle(self, most: int) -> None:
        idle = self._idle()
        for version in idle[: max(len(idle) - most, 0)]:
            self._unload(version)

    def _unload_others(self, current: Version) -> None:
        """What the agent was before: no call asks for it any more."""
        for version in self._idle():
            if version.agent_id == current.agent_id and version != current:
                self._unload(version)

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
    if isinstance(error, (VendorConfigError, TenantAgentError)):
        return str(error)[:500]
    return "it cannot be made now"


def _is_ready(entry: _Loaded) -> bool:
    loading = entry.loading
    return loading.done() and not loading.cancelled() and loading.exception() is None


async def _load(version: Version, make: Make) -> AnsweringAgent:
    agent = await make()

    def tell(step: str) -> None:
        log.info("loading an agent", agent_id=str(version.agent_id), step=step)

    try:
        await agent.start(MULAW_8K, tell)
    except BaseException:
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
