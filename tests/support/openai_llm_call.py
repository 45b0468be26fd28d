"""An OpenAI-compatible model, started, and what it answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.openai_server import (
    OpenAiServer,
    Seen,
    Step,
)
from voicecore.adapters.openai_llm import OpenAiLlm
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmEvent,
    LlmRequest,
    Message,
)

HELLO = LlmRequest((Message("system", "Be brief."), Message("user", "Hello")))


SECRETS = {"OPENAI_API_KEY": "test-key"}


@contextlib.asynccontextmanager
async def started(
    server: OpenAiServer, secrets: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[OpenAiLlm]:
    config = VendorConfig("openai", "m", settings={"base_url": server.base_url, **settings})
    llm = OpenAiLlm(config, SECRETS if secrets is None else secrets)
    try:
        await llm.start()
        yield llm
    finally:
        await llm.stop()


async def collect(llm: OpenAiLlm, request: LlmRequest = HELLO) -> list[LlmEvent]:
    async with asyncio.timeout(5):
        return [event async for event in llm.stream(request)]


async def run(server: OpenAiServer, plan: list[Step], **settings: Any) -> list[LlmEvent]:
    server.plans.append(plan)
    async with started(server, **settings) as llm:
        return await collect(llm)


async def failure(server: OpenAiServer, plan: list[Step], **settings: Any) -> VendorError:
    with pytest.raises(VendorError) as caught:
        await run(server, plan, **settings)
    return caught.value


async def gone(seen: Seen) -> None:
    async with asyncio.timeout(2):
        await seen.gone.wait()
