"""An answer put together from its chunks: tool calls, junk, bounds."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from tests.support.fixtures import running
from tests.support.openai_llm_call import run
from tests.support.openai_server import (
    DONE,
    End,
    OpenAiServer,
    Step,
    delta,
    finish,
    tool,
)
from voicecore.adapters.openai_answer import Answer
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmText,
    LlmToolCall,
    ToolCall,
)

server = running(OpenAiServer)


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
