"""Waiting for something that nobody announces."""

import asyncio
from collections.abc import Callable


async def until(what: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """:raises TimeoutError: it never became true."""
    async with asyncio.timeout(within_s):
        while not what():  # noqa: ASYNC110 - it is another's state, without an event
            await asyncio.sleep(0.005)
