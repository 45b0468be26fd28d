"""Language models behind the Chat Completions protocol, through the ``openai`` SDK.

OpenAI itself and every server that speaks the same protocol (vLLM, Ollama, llama.cpp, Groq, a
LiteLLM proxy) by ``settings.base_url``. Source: platform.openai.com/docs/api-reference/chat.

Two traits of the SDK shape this file. Its read time-out covers one gap between bytes, so the
first token and a stalled stream are watched here. Leaving its stream by ``break`` does not close
the request and generation goes on being billed, so every way out of ``stream`` closes it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from voicecore.adapters.openai_answer import Answer
from voicecore.adapters.openai_client import (
    VENDOR,
    OpenAiConnection,
    OpenAiLink,
    check_extra_body,
    close_in_time,
)
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.settings import missing_names, read_settings
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmEvent, LlmRequest, LlmText, LlmToolCall, Message, ToolSpec

_RESERVED = frozenset({"model", "messages", "stream", "stream_options", "tools"})
_USAGE_GRACE_S = 0.5
_END = object()


class OpenAiLlmSettings(OpenAiLink):
    """Settings of the language models. What is empty is not sent, and so the server's default."""

    temperature: float | None = Field(None, ge=0, le=2)
    """How freely words are chosen; 0 is always the likeliest. Reasoning models take none."""
    max_tokens: int | None = Field(None, ge=1)
    """The longest answer, as older models and most compatible servers name it. Not together
    with ``max_completion_tokens``."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """The longest answer, thinking included, as OpenAI's present models name it."""
    reasoning_effort: str | None = Field(None, min_length=1)
    """How long a reasoning model thinks, in the server's words (``none``, ``low``, ...).
    Thinking delays the first word by seconds."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Fields of the server's own (``service_tier``, ``parallel_tool_calls``,
    ``prompt_cache_key``), added to each request. It may not set what the adapter sets itself:
    ``model``, ``messages``, ``stream``, ``stream_options``, ``tools``."""
    first_token_timeout_ms: int = Field(5000, ge=1, le=120_000)
    """The longest wait from the request to the first text or tool call, thinking included."""
    stall_timeout_ms: int = Field(5000, ge=1, le=120_000)
    """The longest gap inside an answer."""
    stream_usage: bool = True
    """Whether token counts are asked for; ``false`` for servers that refuse the request then."""
    supports_tools: bool = True
    """``false`` leaves the tools out of requests, for servers and models that have none."""
    expect_finish_reason: bool = True
    """``false`` takes an answer that just ends for a complete one instead of a broken one, for
    servers that send no ``finish_reason``."""
    system_role: Literal["system", "developer"] = "system"
    """The role that the instructions are sent under."""

    @field_validator("extra_body")
    @classmethod
    def _adds_only(cls, body: dict[str, Any]) -> dict[str, Any]:
        return check_extra_body(body, _RESERVED)

    @model_validator(mode="after")
    def _one_limit(self) -> "OpenAiLlmSettings":
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("set max_tokens or max_completion_tokens, not both")
        return self


class OpenAiLlm:
    """A model of an OpenAI-compatible server; see ``OpenAiLlmSettings``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.name = f"{VENDOR}/{config.model}"
        self._model = config.model
        missing = missing_names(config, "model")
        self._settings = read_settings(config, OpenAiLlmSettings, also=missing)
        self._connection = OpenAiConnection(self._settings, secrets)

    def check_key(self) -> None:
        self._connection.check_key()

    async def start(self) -> None:
        settings = self._settings
        longest_ms = max(settings.first_token_timeout_ms, settings.stall_timeout_ms)
        await self._connection.start(self._model, longest_wait_ms=longest_ms)

    async def stop(self) -> None:
        await self._connection.stop()

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        answer = Answer()
        async with contextlib.aclosing(self._chunks(request, answer)) as chunks:
            async for chunk in chunks:
                text = answer.add(chunk)
                if text:
                    yield LlmText(text)
        if answer.finish_reason is None and self._settings.expect_finish_reason:
            raise VendorError(VENDOR, "disconnected", "the answer broke off", retryable=True)
        calls = answer.tool_calls()
        if not calls and not answer.characters:
            filtered = answer.finish_reason == "content_filter"
            detail = f"the answer is empty (finish_reason {answer.finish_reason})"
            raise VendorError(VENDOR, "vendor_error", detail, retryable=not filtered)
        for call in calls:
            yield LlmToolCall(call)
        yield answer.usage

    async def _chunks(self, request: LlmRequest, answer: Answer) -> AsyncGenerator[object]:
        import openai

        client = self._connection.client
        now = asyncio.get_running_loop().time
        first_by = now() + self._settings.first_token_timeout_ms / 1000
        stream: Any = None
        try:
            async with asyncio.timeout_at(first_by):
                stream = await client.chat.completions.create(**self._body(request))
            iterator = aiter(stream)
            while True:
                async with asyncio.timeout_at(self._next_by(answer, first_by, now())):
                    chunk = await anext(iterator, _END)
                if chunk is _END:
                    return
                yield chunk
        except (openai.OpenAIError, TimeoutError, ValueError, RecursionError) as error:
            if isinstance(error, TimeoutError) and answer.finish_reason is not None:
                return
            code = "stalled" if answer.begun else "first_output_timeout"
            raise self._connection.failure(error, code) from error
        finally:
            if stream is not None:
                await close_in_time(stream.close())

    def _next_by(self, answer: Answer, first_by: float, now: float) -> float:
        if answer.finish_reason is not None:
            return now + _USAGE_GRACE_S
        return now + self._settings.stall_timeout_ms / 1000 if answer.begun else first_by

    def _body(self, request: LlmRequest) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [_wire_message(each, settings.system_role) for each in request.messages],
            "stream": True,
        }
        for field in ("temperature", "max_tokens", "max_completion_tokens", "reasoning_effort"):
            value = getattr(settings, field)
            if value is not None:
                body[field] = value
        if settings.stream_usage:
            body["stream_options"] = {"include_usage": True}
            if settings.base_url is None:
                body["stream_options"]["include_obfuscation"] = False
        if request.tools and settings.supports_tools:
            body["tools"] = [_wire_tool(tool) for tool in request.tools]
        if settings.extra_body:
            body["extra_body"] = settings.extra_body
        return body


def _wire_message(message: Message, system_role: str) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    role = system_role if message.role == "system" else message.role
    wire: dict[str, Any] = {"role": role, "content": message.text}
    if message.tool_calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return wire


def _wire_tool(tool: ToolSpec) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}
