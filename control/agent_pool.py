"""Agents that are loaded: one per version, shared by its calls, unloaded when nobody needs it.

A version is loaded when its first call comes, or before that when the agent is activated. Loading
takes seconds: vendors are connected, and the fixed phrases spoken.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from media.audio.format import MULAW_8K
from voicecore.answering import AnsweringAgent
from voicecore.providers.errors import VendorError

MOST_IDLE = 32
"""Versions that stay loaded without a call."""
STOP_TIMEOUT_S = 10.0

log = structlog.get_logger("control.agents")

Version = tuple[UUID, int]
"""An agent, and which of its versions."""
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

    def __len__(self) -> int:
        return len(self._loaded)

    async def hold(self, version: Version, make: Make) -> AnsweringAgent:
        """The agent, ready to answer; it stays until ``release`` was called as often.

        :raises VendorError: a vendor cannot work.
        :raises Exception: whatever ``make`` raises."""
        entry = self._loaded.get(version)
        if entry is None:
            loading = asyncio.create_task(_load(make), name="load an agent")
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

    def _forget_failed(self, version: Version, loading: "asyncio.Task[AnsweringAgent]") -> None:
        """The next call tries again, though nobody waits for this failure any more."""
        if loading.cancelled() or loading.exception() is not None:
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
            log.warning("an agent cannot be loaded", agent_id=str(version[0]), error=repr(held))
            return
        log.info("agent loaded", agent_id=str(version[0]), version=version[1])
        self.release(version)

    def release(self, version: Version) -> None:
        """One who held it does not need it any more."""
        entry = self._loaded.get(version)
        if entry is not None:
            entry.holders -= 1
            self._unload_idle(self._most_idle)

    async def stop(self) -> None:
        """Unload everything, whoever holds it."""
        for entry in self._loaded.values():
            entry.holders = 0
        self._unload_idle(0)
        if self._background:
            await asyncio.wait(self._background, timeout=STOP_TIMEOUT_S)

    def _unload_idle(self, most: int) -> None:
        idle = [version for version, entry in self._loaded.items() if not entry.holders]
        for version in idle[: max(len(idle) - most, 0)]:
            task = asyncio.create_task(_unload(self._loaded.pop(version).loading))
            self._background.add(task)
            task.add_done_callback(self._background.discard)


async def _load(make: Make) -> AnsweringAgent:
    agent = await make()
    try:
        await agent.start(MULAW_8K, lambda step: None)
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
