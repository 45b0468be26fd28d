"""Language models behind the Chat Completions protocol, through the ``openai`` SDK.

OpenAI itself and every server that speaks the same protocol (vLLM, Ollama, llama.cpp, Groq, a
LiteLLM proxy) by ``settings.base_url``. Source: platform.openai.com/docs/api-reference/chat.
The connection, the settings and the failures are shared with ``openai_tts``.

Three traits of the SDK shape this file. Its own retries are switched off, for the router knows
better where to go next. Its read time-out covers one gap between bytes, so the first token and
a stalled stream are watched here. Leaving its stream by ``break`` does not close the request
and generation goes on being billed, so every way out of ``stream`` closes it.
"""

import asyncio
import contextlib
import functools
import importlib
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from voicecore.adapters.registry import VendorConfig, VendorConfigError
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

if TYPE_CHECKING:
    import httpx2
    import openai

VENDOR = "openai"
_OPENAI_URL = "https://api.openai.com/v1"
_RESERVED = frozenset({"model", "messages", "stream", "stream_options", "tools"})
_MAX_DETAIL = 300
_MAX_TOOL_CALLS = 64
_MAX_ARGUMENT_CHARACTERS = 256 * 1024
_MAX_ANSWER_CHARACTERS = 256 * 1024
_USAGE_GRACE_S = 0.5
_IDLE_CONNECTION_S = 120.0
"""A caller may talk for longer than the five seconds that the HTTP client would wait."""
_END = object()

_log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=BaseModel)


class OpenAiLink(BaseModel):
    """Settings of the connection. ``base_url`` ends before ``/chat/completions``; where it is
    set the key may be absent, as local servers want none. ``api_key_env`` names the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_url: str | None = None
    api_key_env: str = Field("OPENAI_API_KEY", min_length=1)
    connect_timeout_ms: int = Field(3000, ge=1, le=60_000)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http:// or https:// address")
        return url


class OpenAiLlmSettings(OpenAiLink):
    """``first_token_timeout_ms`` runs from the request to the first text or tool call, thinking
    included; ``stall_timeout_ms`` is the longest gap afterwards.

    The flags below them say what a server tolerates: ``stream_usage`` asks for token counts,
    ``supports_tools`` false leaves tools out of requests, ``expect_finish_reason`` false takes
    an answer that just ends for a complete one instead of a broken one. A server's own fields
    (``service_tier``, ``parallel_tool_calls``, ``prompt_cache_key``) go into ``extra_body``."""

    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    reasoning_effort: str | None = Field(None, min_length=1)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    first_token_timeout_ms: int = Field(5000, ge=1, le=120_000)
    stall_timeout_ms: int = Field(5000, ge=1, le=120_000)
    stream_usage: bool = True
    supports_tools: bool = True
    expect_finish_reason: bool = True
    system_role: Literal["system", "developer"] = "system"

    @field_validator("extra_body")
    @classmethod
    def _adds_only(cls, body: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(_RESERVED & body.keys())
        if taken:
            raise ValueError(f"may not set {', '.join(taken)}")
        return body

    @model_validator(mode="after")
    def _one_limit(self) -> "OpenAiLlmSettings":
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("set max_tokens or max_completion_tokens, not both")
        return self


def read_settings(model: type[SettingsT], settings: Mapping[str, Any]) -> SettingsT:
    """:raises VendorConfigError: for the first setting that is wrong."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(("settings", *(str(part) for part in first["loc"])))
        raise VendorConfigError(field, first["msg"]) from None


class OpenAiConnection:
    """One SDK client, with one pool of connections, per configured vendor."""

    def __init__(self, link: OpenAiLink, secrets: Mapping[str, str]) -> None:
        self._link = link
        self._key = secrets.get(link.api_key_env, "").strip()
        self._client: openai.AsyncOpenAI | None = None

    @property
    def client(self) -> "openai.AsyncOpenAI":
        if self._client is None:
            raise RuntimeError("start() was not called")
        return self._client

    async def start(self, model: str, *, longest_wait_ms: int) -> None:
        """Import the SDK off the event loop, make the client, and open one connection by asking
        for the models. Only a refused key fails: a server that is away now may be back when a
        call comes, and many servers have no such list.

        :raises VendorError: ``auth_failed``."""
        if self._client is not None:
            return
        if not self._key and self._link.base_url is None:
            raise VendorError(
                VENDOR, "auth_failed", f"{self._link.api_key_env} is not set", retryable=False
            )
        if not self._key.isascii() or not self._key.isprintable():
            detail = f"{self._link.api_key_env} holds characters that no key has"
            raise VendorError(VENDOR, "auth_failed", detail, retryable=False)
        tls = await asyncio.to_thread(_load_sdk)
        import httpx2
        import openai

        connect_s = self._link.connect_timeout_ms / 1000
        client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._link.base_url or _OPENAI_URL,
            max_retries=0,
            timeout=httpx2.Timeout(longest_wait_ms / 1000 + 1, connect=connect_s, pool=connect_s),
            # Redirects are not followed: what people say goes where it was configured to go.
            http_client=openai.DefaultAsyncHttpxClient(
                verify=tls, follow_redirects=False, limits=_limits()
            ),
        )
        # The SDK takes these two from the environment, which is not its to read here.
        client.organization = client.project = None
        try:
            await self._warm(client, model)
        except BaseException:
            await client.close()
            raise
        self._client = client

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def failure(self, error: Exception, timeout_code: str) -> VendorError:
        """``error`` (of the SDK, a decoder or a timer) as the failure to act on. A time-out
        after the connection was made is ``timeout_code``."""
        code, retryable = _classify(error, timeout_code)
        detail = str(error) or type(error).__name__
        if self._key:
            detail = detail.replace(self._key, "***")
        return VendorError(VENDOR, code, detail[:_MAX_DETAIL], retryable=retryable)

    async def _warm(self, client: "openai.AsyncOpenAI", model: str) -> None:
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self._link.connect_timeout_ms / 1000 + 2):
                response = await client.get("/models", cast_to=httpx2.Response)
            listed = response.json()
        except openai.AuthenticationError as refused:
            # A key limited to some endpoints is refused this list and works all the same.
            if "scope" in str(refused).lower():
                return
            raise self.failure(refused, "connect_timeout") from refused
        except (openai.OpenAIError, TimeoutError, ValueError, RecursionError) as away:
            _log.info("%s: model list not available: %s", VENDOR, type(away).__name__)
            return
        shutdown = _shutdown_date(listed, model)
        if shutdown:
            _log.warning("%s: model %s will be shut down on %s", VENDOR, model, shutdown)


def _limits() -> "httpx2.Limits":
    import httpx2

    return httpx2.Limits(
        max_connections=1000,
        max_keepalive_connections=100,
        keepalive_expiry=_IDLE_CONNECTION_S,
    )


def _shutdown_date(listed: object, model: str) -> str:
    """``shutdown_date`` of a model in the answer to ``GET /models``, if the vendor gives one."""
    entries = listed.get("data") if isinstance(listed, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("id") == model:
            return _string(entry.get("shutdown_date"))[:40]
    return ""


@functools.cache
def _load_sdk() -> ssl.SSLContext:
    """Everything that would hold the event loop up: imports, and the certificate store, which
    every client would otherwise load again."""
    for module in ("openai", "openai.resources.chat", "openai.resources.audio"):
        importlib.import_module(module)
    # At DEBUG the SDK logs every request's body, which here is what people say.
    logging.getLogger("openai").setLevel(logging.WARNING)
    import httpx2

    return httpx2.create_ssl_context()


def _classify(error: Exception, timeout_code: str) -> tuple[str, bool]:
    import httpx2
    import openai

    if isinstance(error, TimeoutError):
        return timeout_code, True
    if isinstance(error, openai.APIConnectionError):
        return _classify_transport(error.__cause__, timeout_code), True
    if isinstance(error, httpx2.TransportError):
        return _classify_transport(error, timeout_code), True
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error.status_code, _error_name(error))
    if isinstance(error, openai.APIError):
        return _classify_name(_error_name(error))
    return "garbage", True


def _classify_transport(error: BaseException | None, timeout_code: str) -> str:
    import httpx2

    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return "connect_timeout"
    if isinstance(error, httpx2.TimeoutException):
        return timeout_code
    return "connect_failed" if isinstance(error, httpx2.ConnectError) else "disconnected"


def _error_name(error: "openai.APIError") -> str:
    return f"{error.code or ''} {error.type or ''}".lower()


def _classify_status(status: int, name: str) -> tuple[str, bool]:
    if "insufficient_quota" in name:
        return "quota_exceeded", False
    if status >= 500:
        return ("overloaded" if status in (503, 529) else "vendor_error"), True
    if status == 400 and "model_not_found" in name:
        return "model_not_found", False
    return {
        401: ("auth_failed", False),
        402: ("quota_exceeded", False),
        403: ("auth_failed", False),
        404: ("model_not_found", False),
        408: ("overloaded", True),
        409: ("vendor_error", True),
        429: ("rate_limited", True),
    }.get(status, ("bad_request", False))


def _classify_name(name: str) -> tuple[str, bool]:
    """An error inside a stream that began well carries no status."""
    if "quota" in name:
        return "quota_exceeded", False
    if "rate_limit" in name:
        return "rate_limited", True
    if "overloaded" in name:
        return "overloaded", True
    return ("bad_request", False) if "invalid_request" in name else ("vendor_error", True)


class OpenAiLlm:
    """A model of an OpenAI-compatible server; see ``OpenAiLlmSettings``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        if not config.model:
            raise VendorConfigError("model", "must name a model")
        self.name = f"{VENDOR}/{config.model}"
        self._model = config.model
        self._settings = read_settings(OpenAiLlmSettings, config.settings)
        self._connection = OpenAiConnection(self._settings, secrets)

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

    async def _chunks(self, request: LlmRequest, answer: "Answer") -> AsyncGenerator[object]:
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
                await stream.close()

    def _next_by(self, answer: "Answer", first_by: float, now: float) -> float:
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


class _Call:
    def __init__(self, index: object, id_: str) -> None:
        self.index = index
        self.id = id_
        self.name = ""
        self.arguments = ""

    def complete(self) -> bool:
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False


class Answer:
    """Puts an answer together from chunks, as loosely as servers send them: the SDK builds its
    chunk objects without checking them, so any field may be missing or of another type.

    Fragments of a tool call belong together by ``index``. Servers that give every call index 0
    begin another one with a new id once the arguments so far are whole; servers that put a new
    id on every fragment are told apart by their arguments not being whole, or by the name, which
    comes only once. That tools were called is known by the calls, not by ``finish_reason``."""

    def __init__(self) -> None:
        self.begun = False
        self.characters = 0
        self.finish_reason: str | None = None
        self.usage = LlmDone()
        self._calls: list[_Call] = []
        self._argument_characters = 0

    def add(self, chunk: object) -> str:
        """Take a chunk in and return the text it adds.

        :raises VendorError: ``garbage``."""
        if not isinstance(chunk, BaseModel):
            raise _garbage(f"a chunk is a {type(chunk).__name__}")
        self._read_usage(getattr(chunk, "usage", None))
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list) or not choices:
            return ""
        choice = choices[0]
        delta = getattr(choice, "delta", None)
        text = self._text(delta)
        fragments = getattr(delta, "tool_calls", None)
        for fragment in fragments if isinstance(fragments, list) else ():
            self._add_fragment(fragment)
        self.begun = self.begun or bool(text or self._calls)
        reason = getattr(choice, "finish_reason", None)
        if reason:
            self.finish_reason = str(reason)[:40]
        return text

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Every call, each with an id of its own.

        :raises VendorError: ``garbage``, if one has no name."""
        made: list[ToolCall] = []
        taken: set[str] = set()
        for number, call in enumerate(self._calls):
            if not call.name:
                raise _garbage("a tool call without a name")
            id_ = call.id if call.id and call.id not in taken else f"call_{number}"
            taken.add(id_)
            made.append(ToolCall(id_, call.name, call.arguments.strip() or "{}"))
        return tuple(made)

    def _text(self, delta: object) -> str:
        text = ""
        for field in ("content", "refusal"):
            value = getattr(delta, field, None)
            if isinstance(value, str):
                text += value
        self.characters += len(text)
        if self.characters > _MAX_ANSWER_CHARACTERS:
            raise _garbage("the answer does not end")
        return text

    def _add_fragment(self, fragment: object) -> None:
        function = getattr(fragment, "function", None)
        id_, name = _string(getattr(fragment, "id", None)), _string(getattr(function, "name", None))
        arguments = getattr(function, "arguments", None)
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        call = self._call_for(getattr(fragment, "index", None), id_, name)
        call.id = call.id or id_
        call.name = call.name or name
        call.arguments += _string(arguments)
        self._argument_characters += len(_string(arguments))
        if self._argument_characters > _MAX_ARGUMENT_CHARACTERS:
            raise _garbage("tool arguments do not end")

    def _call_for(self, index: object, id_: str, name: str) -> _Call:
        if index is None and self._calls:
            index = self._calls[-1].index
        for call in reversed(self._calls):
            if call.index != index:
                continue
            if id_ and name and id_ != call.id and call.complete():
                break
            return call
        if len(self._calls) == _MAX_TOOL_CALLS:
            raise _garbage("too many tool calls")
        self._calls.append(_Call(index, id_))
        return self._calls[-1]

    def _read_usage(self, usage: object) -> None:
        given = _count(getattr(usage, "prompt_tokens", None))
        made = _count(getattr(usage, "completion_tokens", None))
        if given is None and made is None:
            return
        details = getattr(usage, "prompt_tokens_details", None)
        self.usage = LlmDone(given, _count(getattr(details, "cached_tokens", None)), made)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _garbage(detail: str) -> VendorError:
    return VendorError(VENDOR, "garbage", detail, retryable=True)
