"""The connection to an OpenAI-compatible server: key, start, reuse, what it logs."""

import logging
from typing import Any

import pytest

from tests.support.fixtures import running
from tests.support.openai_llm_call import collect, failure, run, started
from tests.support.openai_server import (
    OpenAiServer,
    Status,
    answer,
)
from voicecore.adapters import openai_client
from voicecore.adapters.openai_llm import OpenAiLlm
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmRequest,
    LlmText,
    Message,
)

server = running(OpenAiServer)


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
