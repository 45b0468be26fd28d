"""What a tool call becomes once it has been checked, and what the model is told of it."""

from collections.abc import Mapping

import msgspec

from voicecore.providers.llm import Message


class EndCall(msgspec.Struct, frozen=True):
    """Say ``farewell`` (the agent's ``phrases.goodbye`` if it is empty), then hang up."""

    call_id: str
    reason: str = ""
    farewell: str = ""


class TransferCall(msgspec.Struct, frozen=True):
    """Say ``say``, then connect the caller to ``number`` (E.164 or ``sip:``). ``target`` is the
    name in the agent file, empty for a number of the model's own."""

    call_id: str
    number: str
    target: str = ""
    say: str = ""


class SendDtmf(msgspec.Struct, frozen=True):
    """Press keys: ``0-9 A-D * #``, and ``w`` for a pause of half a second."""

    call_id: str
    digits: str


class CollectDigits(msgspec.Struct, frozen=True):
    """Say ``prompt`` if there is one, then wait for keys until there are ``count`` of them, or
    ``finish_on_key`` is pressed (empty: no key finishes), or ``timeout_ms`` have passed."""

    call_id: str
    count: int
    finish_on_key: str
    timeout_ms: int
    prompt: str = ""


class HttpCall(msgspec.Struct, frozen=True):
    """An HTTP request, complete but for the secrets that ``headers`` refer to."""

    call_id: str
    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_ms: int
    result_limit_bytes: int
    result_path: str = ""
    say_while: tuple[str, ...] | None = None
    """None: the agent's ``phrases.tool_meanwhile``."""


ToolRequest = EndCall | TransferCall | SendDtmf | CollectDigits | HttpCall


class ToolResult(msgspec.Struct, frozen=True):
    """The end of a tool call. ``text`` is for the model; ``error`` is a stable code, empty if
    the tool did what it should."""

    call_id: str
    name: str
    text: str
    error: str = ""

    def message(self) -> Message:
        return Message(role="tool", text=self.text, tool_call_id=self.call_id)


class ToolProblem(msgspec.Struct, frozen=True):
    """A tool call that is not carried out. ``error`` is a stable code: ``unknown_tool``,
    ``invalid_arguments``, ``too_many_rounds``, ``too_many_calls``, ``repeated_call``."""

    call_id: str
    name: str
    error: str
    detail: str

    def result(self) -> ToolResult:
        return failed(self.call_id, self.name, self.error, self.detail)


def failed(call_id: str, name: str, error: str, detail: str) -> ToolResult:
    """A result that tells the model what went wrong."""
    text = msgspec.json.encode({"error": error, "detail": detail}).decode()
    return ToolResult(call_id, name, text, error)
