"""Fixtures that are all alike."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest


def running(kind: Callable[[], AbstractAsyncContextManager[Any]]) -> Any:
    """A fixture for a module: ``server = running(SomeServer)`` enters one for each test that
    takes ``server``, and leaves it afterwards."""

    @pytest.fixture
    async def entered() -> AsyncIterator[Any]:
        async with kind() as it:
            yield it

    return entered
