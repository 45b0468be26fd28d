"""Language models: messages and tools in, text and tool calls out."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model wants made. ``arguments`` is JSON text, not yet checked."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True):
    """One entry of the conversation. ``tool_calls`` only with role ``assistant``;
    ``tool_call_id`` only with role ``tool``."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it. ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class LlmRequest(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()


class LlmText(msgspec.Struct, frozen=True):
    """The next piece of the answer's text."""

    text: str


class LlmToolCall(msgspec.Struct, frozen=True):
    """A complete tool call."""

    call: ToolCall


class LlmDone(msgspec.Struct, frozen=True):
    """The answer is complete. Token counts are None where the server gives none."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


LlmEvent = LlmText | LlmToolCall | LlmDone


class Llm(Protocol):
    """A configured vendor and model, shared by all calls of an agent."""

    name: str

    async def start(self) -> None:
        """Load models, import SDKs, warm connections. Called once, before the first call.

        :raises VendorError: it cannot work (no key, no model, wrong setting)."""

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Generate one answer; the last event is ``LlmDone``. Cancelling the task that
        iterates ends the vendor's request at once, so that nothing more is billed.

        :raises VendorError: while iterating."""

    async def stop(self) -> None:
        """Release everything that ``start`` took. Idempotent."""


@runtime_checkable
class Warmable(Protocol):
    """A model that answers sooner once it has seen how requests begin."""

    async def warm(self, request: LlmRequest) -> None:
        """Take the instructions in, for every answer that can be under way at a time.

        :raises VendorError: it cannot work."""
