"""The Chat Completions adapter against a loopback server, through the real SDK."""

import asyncio
import gc
from typing import Any

import pytest

from tests.support.fixtures import running
from tests.support.openai_llm_call import HELLO, collect, failure, gone, run, started
from tests.support.openai_server import (
    DONE,
    OpenAiServer,
    Wait,
    answer,
    delta,
    finish,
    usage,
)
from voicecore.adapters import openai_client
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_llm
from voicecore.providers.llm import (
    LlmDone,
    LlmRequest,
    LlmText,
    Message,
    ToolCall,
    ToolSpec,
)

server = running(OpenAiServer)


async def test_streams_text_then_usage(server: OpenAiServer) -> None:
    events = await run(server, answer("Hel", "lo."))
    assert events == [LlmText("Hel"), LlmText("lo."), LlmDone(11, 3, 7)]


async def test_sends_only_what_is_set(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    await run(server, answer("x"))
    assert server.seen[0].body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {name.lower() for name in server.seen[0].headers}
    assert not headers & {"openai-organization", "openai-project"}


async def test_sends_settings(server: OpenAiServer) -> None:
    await run(
        server,
        answer("x"),
        temperature=0.5,
        max_completion_tokens=40,
        reasoning_effort="none",
        extra_body={"service_tier": "fast"},
        stream_usage=False,
        system_role="developer",
    )
    body = server.seen[0].body
    assert body["messages"][0]["role"] == "developer"
    assert "stream_options" not in body
    picked = ("temperature", "max_completion_tokens", "reasoning_effort", "service_tier")
    assert [body[name] for name in picked] == [0.5, 40, "none", "fast"]


async def test_tools_and_their_results_are_sent(server: OpenAiServer) -> None:
    request = LlmRequest(
        (
            Message("user", "Weather?"),
            Message("assistant", tool_calls=(ToolCall("c1", "weather", '{"city":"Oslo"}'),)),
            Message("tool", "cold", tool_call_id="c1"),
        ),
        (ToolSpec("weather", "Looks it up.", {"type": "object", "properties": {}}),),
    )
    server.plans.extend([answer("Cold."), answer("Cold.")])
    async with started(server) as llm:
        await collect(llm, request)
    body = server.seen[0].body
    assert body["messages"][1]["content"] is None
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"
    assert body["tools"][0]["function"]["description"] == "Looks it up."
    async with started(server, supports_tools=False) as llm:
        await collect(llm, request)
    assert "tools" not in server.seen[1].body


async def test_usage_in_the_last_chunk_with_choices(server: OpenAiServer) -> None:
    last = {**finish("stop"), "usage": usage(5, 2)["usage"]}
    assert (await run(server, [delta(content="Hi"), last, DONE]))[-1] == LlmDone(5, None, 2)


async def test_a_server_that_never_ends_the_body_is_not_waited_for(server: OpenAiServer) -> None:
    events = await run(server, [delta(content="Hi"), finish("stop"), Wait()])
    assert events == [LlmText("Hi"), LlmDone()]


async def test_cancelling_closes_the_request_at_once(server: OpenAiServer) -> None:
    server.plans.append([delta(content="Hi"), Wait()])
    first = asyncio.Event()
    async with started(server) as llm:

        async def consume() -> None:
            async for _ in llm.stream(HELLO):
                first.set()

        task = asyncio.create_task(consume())
        await asyncio.wait_for(first.wait(), 2)
        task.cancel()
        await gone(server.seen[0])
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelling_before_the_first_token(server: OpenAiServer) -> None:
    wait = Wait()
    server.plans.append([wait])
    async with started(server) as llm:
        task = asyncio.create_task(collect(llm))
        await asyncio.wait_for(wait.reached.wait(), 2)
        task.cancel()
        await gone(server.seen[0])
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_the_iterator_closes_the_request(server: OpenAiServer) -> None:
    server.plans.extend([[delta(content="Hi"), Wait()], [delta(content="Hi"), Wait()]])
    async with started(server) as llm:
        stream = llm.stream(HELLO)
        assert await anext(stream) == LlmText("Hi")
        await stream.aclose()  # type: ignore[attr-defined]
        await gone(server.seen[0])
        async for _ in llm.stream(HELLO):
            break
        gc.collect()
        await gone(server.seen[1])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temprature": 1}, "settings.temprature"),
    ({"temperature": 3}, "settings.temperature"),
    ({"temperature": "hot"}, "settings.temperature"),
    ({"base_url": "api.example.com"}, "settings.base_url"),
    ({"base_url": "http://"}, "settings.base_url"),
    ({"first_token_timeout_ms": 0}, "settings.first_token_timeout_ms"),
    ({"extra_body": {"model": "x"}}, "settings.extra_body"),
    ({"max_tokens": 1, "max_completion_tokens": 1}, "settings"),
]


@pytest.mark.parametrize(("settings", "field"), WRONG)
def test_wrong_settings_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as caught:
        make_llm(VendorConfig("openai", "m", settings=settings), {})
    assert caught.value.field == field


def test_a_model_must_be_named() -> None:
    with pytest.raises(VendorConfigError) as caught:
        make_llm(VendorConfig("openai"), {})
    assert caught.value.field == "model"


async def test_a_close_that_hangs_holds_nobody_up(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: object) -> None:
        closing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(openai_client, "_CLOSE_TIMEOUT_S", 0.02)
    monkeypatch.setattr("openai.AsyncStream.close", hang)
    monkeypatch.setattr("openai.AsyncOpenAI.close", hang)
    closing, wait = asyncio.Event(), Wait()
    server.plans.append([delta(content="Hi"), wait])
    async with asyncio.timeout(None) as patience, started(server) as llm:
        patience.reschedule(asyncio.get_running_loop().time() + 5)  # not for loading the SDK
        task = asyncio.create_task(collect(llm))
        await wait.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert closing.is_set()


async def test_trouble_with_closing_does_not_hide_the_failure(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("openai.AsyncStream.close", broken)
    error = await failure(server, [delta(content="Hi"), "{not json"])
    assert error.code == "garbage"
