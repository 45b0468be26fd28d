"""A streamed Chat Completions answer, put together from its chunks. Pure.

Source: platform.openai.com/docs/api-reference/chat-streaming, and what compatible servers make
of it.
"""

import json

from pydantic import BaseModel

from voicecore.adapters.openai_client import VENDOR
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, ToolCall

_MAX_TOOL_CALLS = 64
_MAX_ARGUMENT_CHARACTERS = 256 * 1024
_MAX_ANSWER_CHARACTERS = 256 * 1024


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
