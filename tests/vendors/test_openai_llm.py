"""The Chat Completions adapter against a loopback server, through the real SDK."""

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from tests.support.openai_server import (
    DONE,
    Drop,
    End,
    OpenAiServer,
    Seen,
    Status,
    Step,
    Wait,
    answer,
    delta,
    finish,
    tool,
    usage,
)
from voicecore.adapters import openai_client
from voicecore.adapters.openai_answer import Answer
from voicecore.adapters.openai_llm import OpenAiLlm
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_llm
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmEvent,
    LlmRequest,
    LlmText,
    LlmToolCall,
    Message,
    ToolCall,
    ToolSpec,
)

HELLO = LlmRequest((Message("system", "Be brief."), Message("user", "Hello")))
SECRETS = {"OPENAI_API_KEY": "test-key"}


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as running:
        yield running


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


TOOL_STREAMS: dict[str, tuple[list[Step], list[ToolCall]]] = {
    "openai: parallel calls interleave": (
        [
            tool(0, "a", "f", ""),
            tool(1, "b", "g", ""),
            tool(0, args='{"x"'),
            tool(1, args="{"),
            tool(0, args=":1}"),
            tool(1, args="}"),
            finish("tool_calls"),
        ],
        [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")],
    ),
    "ollama: all index 0, whole calls, finish_reason stop": (
        [tool(0, "a", "f", '{"x":1}'), tool(0, "b", "f", '{"x":2}'), finish("stop")],
        [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", '{"x":2}')],
    ),
    "arguments as an object": (
        [tool(0, "a", "f", {"x": 1}), finish("stop")],
        [ToolCall("a", "f", '{"x": 1}')],
    ),
    "oci: a new id on every fragment": (
        [
            tool(0, "a", "f", ""),
            tool(0, "b", args='{"x":'),
            tool(0, "c", args="1}"),
            tool(0, "d", args=""),
            finish("tool_calls"),
        ],
        [ToolCall("a", "f", '{"x":1}')],
    ),
    "oci: and the name as well": (
        [tool(0, "a", "f", '{"x":'), tool(0, "b", "f", "1}"), finish("tool_calls")],
        [ToolCall("a", "f", '{"x":1}')],
    ),
    "no index": (
        [tool(None, "a", "f", '{"x":1}'), tool(None, "b", "g", "{}"), finish("weird_reason")],
        [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")],
    ),
    "no id, no arguments": (
        [tool(0, name="f"), tool(1, name="g"), finish("tool_calls")],
        [ToolCall("call_0", "f", "{}"), ToolCall("call_1", "g", "{}")],
    ),
    "one id twice": (
        [tool(0, "a", "f", "{}"), tool(1, "a", "g", "{}"), finish("tool_calls")],
        [ToolCall("a", "f", "{}"), ToolCall("call_1", "g", "{}")],
    ),
}


@pytest.mark.parametrize("name", TOOL_STREAMS)
async def test_tool_calls_are_assembled(server: OpenAiServer, name: str) -> None:
    plan, calls = TOOL_STREAMS[name]
    events = await run(server, [*plan, DONE, End()])
    assert events == [*(LlmToolCall(call) for call in calls), LlmDone()]


async def test_text_before_a_tool_call_comes_first(server: OpenAiServer) -> None:
    plan: list[Step] = [delta(content="One moment."), tool(0, "a", "f", "{}"), finish("stop"), DONE]
    events = await run(server, plan)
    assert [type(event) for event in events] == [LlmText, LlmToolCall, LlmDone]


async def test_usage_in_the_last_chunk_with_choices(server: OpenAiServer) -> None:
    last = {**finish("stop"), "usage": usage(5, 2)["usage"]}
    assert (await run(server, [delta(content="Hi"), last, DONE]))[-1] == LlmDone(5, None, 2)


async def test_a_server_that_never_ends_the_body_is_not_waited_for(server: OpenAiServer) -> None:
    events = await run(server, [delta(content="Hi"), finish("stop"), Wait()])
    assert events == [LlmText("Hi"), LlmDone()]


async def test_end_without_reason(server: OpenAiServer) -> None:
    error = await failure(server, [delta(content="Hi"), DONE])
    assert (error.code, error.retryable) == ("disconnected", True)
    events = await run(server, [delta(content="Hi"), DONE], expect_finish_reason=False)
    assert events == [LlmText("Hi"), LlmDone()]


STATUSES = [
    (Status(307), "bad_request", False),
    (Status(400, None, "invalid_request_error"), "bad_request", False),
    (Status(400, "model_not_found"), "model_not_found", False),
    (Status(401, "invalid_api_key"), "auth_failed", False),
    (Status(402), "quota_exceeded", False),
    (Status(403), "auth_failed", False),
    (Status(404, "model_not_found"), "model_not_found", False),
    (Status(408), "overloaded", True),
    (Status(422), "bad_request", False),
    (Status(429, "rate_limit_exceeded"), "rate_limited", True),
    (Status(429, "insufficient_quota", "insufficient_quota"), "quota_exceeded", False),
    (Status(500, None, "server_error"), "vendor_error", True),
    (Status(502), "vendor_error", True),
    (Status(503), "overloaded", True),
]


@pytest.mark.parametrize(("status", "code", "retryable"), STATUSES)
async def test_status(server: OpenAiServer, status: Status, code: str, retryable: bool) -> None:
    error = await failure(server, [status])
    assert (error.vendor, error.code, error.retryable) == ("openai", code, retryable)
    assert len(server.seen) == 1, "the SDK must not try again by itself"


BROKEN: list[tuple[str, list[Step], str, bool]] = [
    ("drop before the answer", [Drop()], "disconnected", True),
    ("drop mid-stream", [delta(content="Hi"), Drop()], "disconnected", True),
    ("not JSON", [delta(content="Hi"), "{not json"], "garbage", True),
    ("not UTF-8", [b"data: \xff\xfe\n\n"], "garbage", True),
    ("a number", ["42"], "garbage", True),
    ("too deep", ["[" * 100_000], "garbage", True),
    ("a call without a name", [tool(0, "a", args="{}"), finish("stop")], "garbage", True),
    ("nothing", [delta(role="assistant", content=""), finish("stop")], "vendor_error", True),
    ("filtered", [finish("content_filter")], "vendor_error", False),
    ("no events", [b"<html>", End()], "disconnected", True),
    ("error event", ['{"error":{"message":"x","type":"server_error"}}'], "vendor_error", True),
    ("limit event", ['{"error":{"message":"x","code":"rate_limit_exceeded"}}'], "rate_limited", 1),
    ("busy event", ['{"error":{"message":"x","type":"overloaded_error"}}'], "overloaded", True),
    ("quota event", ['{"error":{"message":"x","code":"insufficient_quota"}}'], "quota_exceeded", 0),
]


@pytest.mark.parametrize(
    ("plan", "code", "retryable"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
async def test_broken_streams(
    server: OpenAiServer, plan: list[Step], code: str, retryable: bool
) -> None:
    error = await failure(server, plan)
    assert (error.code, error.retryable) == (code, retryable)


async def test_garbage_that_does_no_harm_is_passed_over(server: OpenAiServer) -> None:
    plan: list[Step] = [
        b": comment\n\n",
        {"choices": []},
        {"choices": None, "usage": {"prompt_tokens": "many"}},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 7, "tool_calls": "x"}}]},
        {"unknown": True},
        *answer("Hi"),
    ]
    assert await run(server, plan) == [LlmText("Hi"), LlmDone(11, 3, 7)]


@pytest.mark.parametrize("before", [[], [delta(role="assistant", content="")]])
async def test_first_token_timeout(server: OpenAiServer, before: list[Step]) -> None:
    wait = Wait()
    error = await failure(server, [*before, wait], first_token_timeout_ms=60)
    assert (error.code, error.retryable) == ("first_output_timeout", True)
    await gone(server.seen[0])


async def test_first_token_timeout_is_not_put_off_by_keepalive_comments(
    server: OpenAiServer,
) -> None:
    chatter: list[Step] = [b": PROCESSING\n\n", delta(role="assistant"), delta(content="")]
    error = await failure(server, [*chatter, Wait()], first_token_timeout_ms=60)
    assert error.code == "first_output_timeout"


async def test_stalled_mid_stream(server: OpenAiServer) -> None:
    plan = [delta(content="Hi"), Wait()]
    error = await failure(server, plan, stall_timeout_ms=60, first_token_timeout_ms=5000)
    assert (error.code, error.retryable) == ("stalled", True)
    await gone(server.seen[0])


async def test_connect_failed(unused_tcp_port: int) -> None:
    settings = {"base_url": f"http://127.0.0.1:{unused_tcp_port}/v1"}
    llm = OpenAiLlm(VendorConfig("openai", "m", settings=settings), {})
    await llm.start()
    with pytest.raises(VendorError) as caught:
        await collect(llm)
    await llm.stop()
    assert (caught.value.code, caught.value.retryable) == ("connect_failed", True)


async def test_connect_timeout() -> None:
    """A listener whose backlog is full answers no SYN."""
    import socket

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        settings = {"base_url": base_url, "connect_timeout_ms": 50}
        llm = OpenAiLlm(VendorConfig("openai", "m", settings=settings), {})
        await llm.start()
        with pytest.raises(VendorError) as caught:
            await collect(llm)
        await llm.stop()
    assert (caught.value.code, caught.value.retryable) == ("connect_timeout", True)


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


async def test_one_connection_serves_start_and_every_answer(server: OpenAiServer) -> None:
    server.plans.extend(answer("Hi") for _ in range(3))
    async with started(server) as llm:
        for _ in range(3):
            await collect(llm)
    assert len(server.connections) == 1


async def test_idle_connections_are_kept_as_long_as_told(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert openai_client._IDLE_CONNECTION_S > 60
    monkeypatch.setattr(openai_client, "_IDLE_CONNECTION_S", 0.0)
    server.plans.extend(answer("Hi") for _ in range(2))
    async with started(server) as llm:
        for _ in range(2):
            await collect(llm)
    assert len(server.connections) > 1


async def test_start_refuses_a_wrong_key(server: OpenAiServer) -> None:
    with pytest.raises(VendorError) as caught:
        async with started(server, {"OPENAI_API_KEY": "wrong-key"}):
            pass
    assert (caught.value.code, caught.value.retryable) == ("auth_failed", False)


async def test_the_key_is_not_repeated_in_errors(server: OpenAiServer) -> None:
    error = await failure(server, [Status(400, text="bad key test-key " + "x" * 1000)])
    assert "test-key" not in str(error)
    assert len(error.detail) <= 300


async def test_what_people_say_is_not_logged(
    server: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    request = LlmRequest((Message("user", "my PIN is 4711"),))
    server.plans.append(answer("Thank", " you."))
    with caplog.at_level(logging.DEBUG):
        async with started(server) as llm:
            await collect(llm, request)
    assert caplog.records
    assert "4711" not in caplog.text
    assert "Thank" not in caplog.text
    assert "test-key" not in caplog.text


MODEL_LISTS: list[Any] = [
    Status(404),
    Status(403, text="insufficient permissions"),
    Status(401, text="Missing scopes: api.model.read"),
    Status(500),
    b"not json",
    b"[]",
    b'{"data": 7}',
]


@pytest.mark.parametrize("models", MODEL_LISTS)
async def test_start_does_without_a_model_list(server: OpenAiServer, models: Any) -> None:
    server.models = models
    assert (await run(server, answer("Hi")))[0] == LlmText("Hi")


async def test_start_tells_of_a_model_near_its_end(
    server: OpenAiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.models = [{"id": "other", "shutdown_date": "2020-01-01"}, {"id": "m"}]
    with caplog.at_level(logging.WARNING):
        async with started(server):
            pass
        assert not caplog.records
        server.models = [{"id": "m", "shutdown_date": "2027-01-14"}]
        async with started(server):
            pass
    assert "2027-01-14" in caplog.text


async def test_a_local_server_needs_no_key() -> None:
    async with OpenAiServer(key=None) as server:
        server.plans.append(answer("Hi"))
        async with started(server, {}) as llm:
            assert (await collect(llm))[0] == LlmText("Hi")


@pytest.mark.parametrize(
    ("settings", "secrets", "name"),
    [
        ({}, {}, "OPENAI_API_KEY"),
        ({"api_key_env": "GROQ_API_KEY"}, {"OPENAI_API_KEY": "x"}, "GROQ_API_KEY"),
        ({}, {"OPENAI_API_KEY": "tést"}, "OPENAI_API_KEY"),
    ],
)
async def test_without_a_key(settings: dict[str, Any], secrets: dict[str, str], name: str) -> None:
    llm = OpenAiLlm(VendorConfig("openai", "m", settings=settings), secrets)
    with pytest.raises(VendorError, match=name) as caught:
        await llm.start()
    assert caught.value.code == "auth_failed"
    await llm.stop()


async def test_stop_twice_and_use_without_start(server: OpenAiServer) -> None:
    async with started(server) as llm:
        pass
    await llm.stop()
    with pytest.raises(RuntimeError):
        await collect(llm)


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


JUNK = st.sampled_from([None, True, 0, -1, 1.5, "", "x", "{}", '{"a":1}', [], [7], {}, {"a": []}])


def shape(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields) | JUNK


FUNCTION = shape(name=JUNK, arguments=JUNK)
FRAGMENTS = st.lists(shape(index=JUNK, id=JUNK, function=FUNCTION), max_size=3) | JUNK
CHOICE = shape(delta=shape(content=JUNK, tool_calls=FRAGMENTS), finish_reason=JUNK)
COUNTS = shape(prompt_tokens=JUNK, completion_tokens=JUNK, prompt_tokens_details=JUNK)
CHUNK = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICE, max_size=2) | JUNK, "usage": COUNTS}
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CHUNK, max_size=4))
def test_any_chunk_gives_text_or_a_vendor_error(chunks: list[dict[str, Any]]) -> None:
    put_together = Answer()
    calls: tuple[ToolCall, ...] = ()
    with contextlib.suppress(VendorError):
        for each in chunks:
            assert isinstance(put_together.add(ChatCompletionChunk.construct(**each)), str)
        calls = put_together.tool_calls()
    assert all(call.id and call.name for call in calls)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
def test_any_cut_of_arguments_gives_the_same_calls(sizes: list[int], data: st.DataObject) -> None:
    wanted = [ToolCall(f"id{n}", f"f{n}", json.dumps({"k": "v" * n})) for n in range(len(sizes))]
    streams = []
    for n, (call, size) in enumerate(zip(wanted, sizes, strict=True)):
        cuts = [call.arguments[at : at + size] for at in range(0, len(call.arguments), size)]
        streams.append([tool(n, call.id, call.name, ""), *(tool(n, args=cut) for cut in cuts)])
    put_together = Answer()
    while any(streams):
        stream = data.draw(st.sampled_from([each for each in streams if each]))
        put_together.add(ChatCompletionChunk.construct(**stream.pop(0)))
    assert sorted(put_together.tool_calls(), key=lambda call: call.id) == wanted


@pytest.mark.parametrize(
    "make",
    [
        lambda turn: tool(0, "a", "f", "x" * 50_000),
        lambda turn: delta(content="x" * 50_000),
        lambda turn: tool(turn, f"id{turn}", "f", "{}"),
    ],
)
def test_an_answer_without_end_is_cut_off(make: Callable[[int], dict[str, Any]]) -> None:
    put_together = Answer()

    def feed() -> None:
        for turn in range(100):
            put_together.add(ChatCompletionChunk.construct(**make(turn)))

    with pytest.raises(VendorError) as caught:
        feed()
    assert caught.value.code == "garbage"
