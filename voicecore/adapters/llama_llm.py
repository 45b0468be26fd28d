"""A language model on this machine: llama.cpp in a worker process.

The worker serves the OpenAI protocol on loopback and ``OpenAiLlm`` speaks it, so that
streaming, cancelling and failures are the same as with a vendor on the network.

``model`` is ``gemma3-270m`` (a base model, written to as the transcript of a call),
``smollm2-135m``, or the path of a GGUF file. The two that are named answer questions about a
dozen facts that their instructions spell out, and nothing else; neither can call tools.
"""

import asyncio
import contextlib
import secrets as random_secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, cast

import msgspec

from voicecore.adapters.openai_llm import OpenAiLlm
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.settings import read_settings
from voicecore.local.worker import WorkerProcess, WorkerSpec
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmEvent, LlmRequest, LlmText, Message

VENDOR = "llama"
DEFAULT_MODEL = "gemma3-270m"
_KEY_NAME = "LLAMA_API_KEY"
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[\w -]+$")]


class LlamaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the language models on this machine."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """How freely words are chosen; 0 is always the likeliest."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 60
    """The longest answer."""
    context_tokens: Annotated[int, msgspec.Meta(ge=256, le=131_072)] = 2048
    """The longest prompt and answer together, and the size of each slot's prompt cache."""
    slots: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many answers are made at a time."""
    threads: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """CPU threads; 0 is half of the cores, eight at most."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 5
    """How far the model's process stands back behind others (Unix ``nice``)."""
    speakers: tuple[_Name, _Name] = ("Caller", "Receptionist")
    """The caller and the agent as base models see them, and as examples in the instructions
    should name them."""
    transcript: bool = False
    """``true`` writes to any model as to a base model: the transcript of a call, to be
    continued."""
    tools: bool = False
    """``true`` offers the agent's tools to a model of one's own; the packaged ones have none."""
    cache_dir: str = ""
    """Where a packaged model is put together; empty: the user's cache."""
    first_token_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=120_000)] = 20_000
    """The longest wait from the request to the first text."""


class LlamaLlm:
    """Implements ``Llm``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.settings = settings = read_settings(config, LlamaSettings)
        self._model = config.model or DEFAULT_MODEL
        self.name = f"{VENDOR}/{self._model}"
        self._key = random_secrets.token_hex(16)
        shared = ("temperature", "max_tokens", "context_tokens", "slots", "threads")
        spec = WorkerSpec(
            vendor=VENDOR,
            command=("-m", "voicecore.local.llama_worker"),
            settings={
                **{name: getattr(settings, name) for name in shared},
                "model": self._model,
                "speakers": list(settings.speakers),
                "transcript": settings.transcript,
                "cache_dir": settings.cache_dir,
                "api_key": self._key,
            },
            nice=settings.nice,
        )
        self.worker = WorkerProcess(spec)
        self._client: OpenAiLlm | None = None
        self._base_url = ""
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        await self.worker.start()
        await self._connected()

    async def warm(self, request: LlmRequest) -> None:
        """Read a prompt in before anyone waits for it: with the instructions of an agent in
        the cache of every slot, a first turn is as quick as the later ones. Problems are
        left for the first real request to report."""
        if all(message.role == "system" for message in request.messages):
            hello = Message("user", "Hello?")
            request = msgspec.structs.replace(request, messages=(*request.messages, hello))
        await asyncio.gather(*(self._first_token(request) for _ in range(self.settings.slots)))

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        request = self._fitted(request)
        begun = False
        for last_try in (False, True):
            try:
                async with contextlib.aclosing(self._events(request)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except VendorError as error:
                # The server closes kept connections now and then just as a request comes.
                stale = error.code == "disconnected" and self.worker.state == "ready"
                if begun or last_try or not stale:
                    raise VendorError(
                        VENDOR, error.code, error.detail, retryable=error.retryable
                    ) from error

    async def _events(self, request: LlmRequest) -> AsyncGenerator[LlmEvent]:
        client = await self._connected()
        begun = False
        stream = cast(AsyncGenerator[LlmEvent], client.stream(request))
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if isinstance(event, LlmText) and not begun:
                    # A base model's line begins with the space after the colon.
                    event = LlmText(event.text.lstrip())
                    begun = bool(event.text)
                    if not begun:
                        continue
                yield event

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.stop()
        await self.worker.stop()

    async def _first_token(self, request: LlmRequest) -> None:
        with contextlib.suppress(VendorError):
            events = cast(AsyncGenerator[LlmEvent], self.stream(request))
            async with contextlib.aclosing(events):
                async for _ in events:
                    return

    async def _connected(self) -> OpenAiLlm:
        """The client of the present worker: each has an address of its own."""
        async with self._connecting:
            if self.worker.state != "ready":
                raise VendorError(
                    VENDOR, "disconnected", "the worker is not running", retryable=True
                )
            base_url = str(self.worker.info["base_url"])
            if self._client is None or base_url != self._base_url:
                former, self._client = self._client, None
                if former is not None:
                    await former.stop()
                client = self._make_client(base_url)
                await client.start()
                # Not before: whoever waits here may be cancelled, and the next one needs it.
                self._client, self._base_url = client, base_url
            return self._client

    def _make_client(self, base_url: str) -> OpenAiLlm:
        config = VendorConfig(
            vendor="openai",
            model=self._model,
            settings={
                "base_url": base_url,
                "api_key_env": _KEY_NAME,
                "supports_tools": self.settings.tools,
                "first_token_timeout_ms": self.settings.first_token_timeout_ms,
            },
        )
        return OpenAiLlm(config, {_KEY_NAME: self._key})

    def _fitted(self, request: LlmRequest) -> LlmRequest:
        """Without tools, what was said about them goes too: the templates know no such role."""
        if self.settings.tools:
            return request
        spoken = tuple(
            Message(message.role, message.text)
            for message in request.messages
            if message.role != "tool" and message.text
        )
        return LlmRequest(spoken)
