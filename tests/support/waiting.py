"""Waiting for what happens soon, without guessing when."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 10.0


async def until(holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Look again and again.

    :raises TimeoutError: it did not come to hold."""
    async with asyncio.timeout(patience_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
