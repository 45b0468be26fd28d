"""What goes wrong with a Chat Completions stream, and how it is told."""

import contextlib

import pytest

from tests.support.fixtures import running
from tests.support.openai_llm_call import collect, failure, gone, run
from tests.support.openai_server import (
    DONE,
    Drop,
    End,
    OpenAiServer,
    Status,
    Step,
    Wait,
    answer,
    delta,
    finish,
    tool,
)
from tests.support.refusing import refusing_port
from voicecore.adapters.openai_llm import OpenAiLlm
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmText,
)

server = running(OpenAiServer)


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
    for timeout_ms in (60, 600, 3000):
        error = await failure(server, [*before, Wait()], first_token_timeout_ms=timeout_ms)
        assert (error.code, error.retryable) == ("first_output_timeout", True)
        if server.seen:  # a busy machine may have taken that long to ask
            break
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


async def test_connect_failed() -> None:
    with refusing_port() as port:
        settings = {"base_url": f"http://127.0.0.1:{port}/v1"}
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
