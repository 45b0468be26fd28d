"""Loading an agent, and being told to stop meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from control.commands.answer import _load
from voicecore.providers.errors import VendorError


class SlowAgent:
    """Loads until ``loaded`` is set."""

    def __init__(self, error: VendorError | None = None) -> None:
        self.loaded = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = False
        self._error = error

    async def start(self, line: Any, progress: Callable[[str], None]) -> None:
        self.begun.set()
        try:
            await self.loaded.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self._error is not None:
            raise self._error


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_signal_while_loading_ends_the_loading() -> None:
    agent, signal = SlowAgent(), asyncio.Event()
    loading = asyncio.create_task(_load(agent, asyncio.create_task(_wait(signal))))  # type: ignore[arg-type]
    await agent.begun.wait()
    signal.set()
    assert await loading is False
    assert agent.cancelled


async def test_what_is_loaded_waits_for_the_signal() -> None:
    agent, signal = SlowAgent(), asyncio.Event()
    stopping = asyncio.create_task(_wait(signal))
    agent.loaded.set()
    assert await _load(agent, stopping) is True  # type: ignore[arg-type]
    assert not stopping.done()
    signal.set()
    await stopping


async def test_a_vendor_that_cannot_work_is_told() -> None:
    agent = SlowAgent(VendorError("acme", "auth_failed", "wrong key", retryable=False))
    stopping = asyncio.create_task(_wait(asyncio.Event()))
    agent.loaded.set()
    with pytest.raises(VendorError):
        await _load(agent, stopping)  # type: ignore[arg-type]
    await asyncio.wait({stopping})
    assert stopping.cancelled()
