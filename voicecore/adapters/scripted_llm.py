"""A language model that says what its settings say, at the times they say.

The answer to a request is, in this order: what a rule says to a tool's result, what the first
rule that matches the caller's last words says, or the next of ``replies``. One token is one
word; the first comes after ``first_token_ms``, the others ``token_interval_ms`` apart.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from voicecore.adapters.registry import VendorConfig, VendorConfigError
from voicecore.adapters.scripted_faults import (
    NO_FAULTS,
    VENDOR,
    DelayMs,
    Faults,
    StreamFaults,
    Verdict,
    stream_faults,
)
from voicecore.adapters.settings import read_settings
from voicecore.providers.llm import (
    LlmDone,
    LlmEvent,
    LlmRequest,
    LlmText,
    LlmToolCall,
    Message,
    ToolCall,
)

_REPLIES = (
    "I can certainly help you with that today. "
    "Please tell me the order number that is printed on your receipt.",
)
_LATE_TEXTS = ("said ", "after ", "the cancellation")


class ScriptedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call that the model makes."""

    name: str
    """The tool's name."""
    arguments: Mapping[str, Any] | str = {}
    """As an object, or as the exact text that the model sends."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``match`` is searched, without regard to case, in the last user message. In ``reply``,
    ``after`` and the text of ``arguments``, ``{text}`` stands for that message, ``{name}`` for
    the pattern's group of that name; in ``after``, ``{result}`` for the tool's result."""

    match: str
    """A regular expression."""
    reply: str = ""
    """What is said."""
    tool: ScriptedTool | None = None
    """A tool that is called."""
    tools: tuple[ScriptedTool, ...] = ()
    """More tools that are called with it."""
    after: str = "It says: {result}"
    """What is said to the result of this rule's tool."""

    @property
    def all_tools(self) -> tuple[ScriptedTool, ...]:
        return (self.tool, *self.tools) if self.tool is not None else self.tools


class LlmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the scripted language model."""

    replies: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = _REPLIES
    """What it says where no rule matches."""
    order: Literal["sequence", "random"] = "sequence"
    """``sequence``: the n-th user message of a conversation gets the n-th reply, and the
    replies begin again after the last. ``random``: by ``seed``."""
    echo: bool = False
    """Repeat the last user message instead of ``replies``."""
    greeting: str = ""
    """The answer while the conversation has no user message; empty: the first reply."""
    rules: tuple[Rule, ...] = ()
    """Answers to certain words of the caller; the first that matches is used."""
    first_token_ms: DelayMs = 200
    """From the request to the first word."""
    token_interval_ms: DelayMs = 5
    """From word to word."""
    seed: int = 0
    """What looks random comes from it."""
    faults: Faults = NO_FAULTS
    """How it fails, on demand."""


class _Answer(msgspec.Struct, frozen=True):
    events: tuple[LlmText | LlmToolCall, ...]
    output_tokens: int


def _tokens(text: str) -> tuple[LlmText, ...]:
    return tuple(LlmText(token) for token in re.findall(r"\S+\s*", text))


def _answer(text: str, calls: Sequence[ToolCall] = ()) -> _Answer:
    wanted = tuple(LlmToolCall(call) for call in calls)
    events: tuple[LlmText | LlmToolCall, ...] = _tokens(text) + wanted
    return _Answer(events, len(events))


class ScriptedLlm:
    """Implements ``Llm``."""

    name = VENDOR

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.settings = read_settings(config, LlmSettings)
        self._replies = tuple(_answer(reply) for reply in self.settings.replies)
        self._rules = tuple(
            (_pattern(rule, place), rule) for place, rule in enumerate(self.settings.rules)
        )
        self._streams = 0

    async def start(self) -> None:
        self.settings.faults.check_start()

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        number = self._streams
        self._streams += 1
        answer = self._choose(request.messages, number)
        characters = sum(len(message.text) for message in request.messages)
        done = LlmDone(characters // 4, 0, answer.output_tokens)
        faults = stream_faults(self.settings.faults, self.settings.seed, number)
        if faults is None:
            return self._play(answer, done)
        return self._play_faulty(answer, done, faults)

    async def stop(self) -> None:
        """Nothing to release."""

    async def _play(self, answer: _Answer, done: LlmDone) -> AsyncIterator[LlmEvent]:
        clock = asyncio.get_running_loop().time
        interval_s = self.settings.token_interval_ms / 1000
        due = clock() + self.settings.first_token_ms / 1000
        for event in answer.events:
            wait_s = due - clock()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            due += interval_s
            yield event
        yield done

    async def _play_faulty(
        self, answer: _Answer, done: LlmDone, faults: StreamFaults
    ) -> AsyncIterator[LlmEvent]:
        settings = faults.settings
        clock = asyncio.get_running_loop().time
        interval_s = self.settings.token_interval_ms / 1000
        fails_at = float("inf")
        if settings.fail_at == "open":
            raise settings.error()
        if settings.fail_after_ms is not None:
            fails_at = clock() + settings.fail_after_ms / 1000
        due = clock() + (self.settings.first_token_ms + settings.delay_ms) / 1000
        try:
            for event in _spoil(answer, faults):
                await _sleep_until(due + faults.jitter_s(), fails_at, settings)
                verdict = faults.output()
                if verdict is Verdict.FAIL:
                    raise settings.error()
                if verdict is Verdict.DROP:
                    await _sleep_until(float("inf"), fails_at, settings)
                due += interval_s
                yield _cut(event, faults)
            if faults.silent:
                await _sleep_until(float("inf"), fails_at, settings)
        except asyncio.CancelledError:
            if not settings.misbehave_after_cancel:
                raise
            for text in _LATE_TEXTS:
                yield LlmText(text)
        yield done

    def _choose(self, messages: Sequence[Message], number: int) -> _Answer:
        users = [message for message in messages if message.role == "user"]
        said = users[-1].text if users else ""
        if messages and messages[-1].role == "tool":
            return self._after_tool(messages, said)
        for pattern, rule in self._rules:
            found = pattern.search(said) if users else None
            if found is not None:
                return _follow(rule, found, said, number)
        if not users and self.settings.greeting:
            return _answer(self.settings.greeting)
        if self.settings.echo:
            return _answer(said)
        if self.settings.order == "random":
            place = random.Random(f"{self.settings.seed}.{number}").randrange(len(self._replies))
        else:
            place = max(0, len(users) - 1) % len(self._replies)
        return self._replies[place]

    def _after_tool(self, messages: Sequence[Message], said: str) -> _Answer:
        last = messages[-1]
        names = {call.id: call.name for message in messages for call in message.tool_calls}
        name = names.get(last.tool_call_id)
        for pattern, rule in self._rules:
            if any(tool.name == name for tool in rule.all_tools):
                values = _values(pattern.search(said), said)
                return _answer(_fill(rule.after, {**values, "result": last.text}))
        return _answer(last.text)


def _pattern(rule: Rule, place: int) -> re.Pattern[str]:
    try:
        return re.compile(rule.match, re.IGNORECASE)
    except re.error as error:
        raise VendorConfigError(f"settings.rules[{place}].match", str(error)) from error


def _values(found: re.Match[str] | None, said: str) -> dict[str, str]:
    groups = found.groupdict(default="") if found is not None else {}
    return {**groups, "text": said}


def _fill(template: str, values: Mapping[str, str]) -> str:
    # One pass, so that braces in what the caller said stay as they are.
    return re.sub(r"\{(\w+)\}", lambda place: values.get(place[1], place[0]), template)


def _fill_json(value: object, values: Mapping[str, str]) -> object:
    match value:
        case str():
            return _fill(value, values)
        case Mapping():
            return {key: _fill_json(item, values) for key, item in value.items()}
        case list() | tuple():
            return [_fill_json(item, values) for item in value]
    return value


def _follow(rule: Rule, found: re.Match[str], said: str, number: int) -> _Answer:
    values = _values(found, said)
    calls = []
    for place, tool in enumerate(rule.all_tools):
        arguments = tool.arguments
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(_fill_json(arguments, values)).decode()
        calls.append(ToolCall(f"call_{number}_{place}", tool.name, arguments))
    return _answer(_fill(rule.reply, values), calls)


async def _sleep_until(due: float, fails_at: float, faults: Faults) -> None:
    """Waits for ``due``, or for ``fails_at`` when that is earlier; then it raises."""
    loop = asyncio.get_running_loop()
    until = min(due, fails_at)
    if until == float("inf"):
        await loop.create_future()
    wait_s = until - loop.time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    if fails_at <= due:
        raise faults.error()


def _spoil(answer: _Answer, faults: StreamFaults) -> tuple[LlmText | LlmToolCall, ...]:
    if faults.settings.garbage == "odd":
        broken = ToolCall("", "no such tool\n", '{"unclosed": [1, 2')
        return (*answer.events, LlmToolCall(broken))
    return answer.events


def _cut(event: LlmText | LlmToolCall, faults: StreamFaults) -> LlmText | LlmToolCall:
    return LlmText(faults.text(event.text)) if isinstance(event, LlmText) else event
