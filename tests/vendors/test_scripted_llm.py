import asyncio
import json
from typing import Any

import pytest

from tests.support.scripted import Timed
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_llm
from voicecore.adapters.scripted_faults import CONTROL_TEXT, HUGE_TEXT, VENDOR
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmRequest,
    LlmText,
    LlmToolCall,
    Message,
    ToolCall,
)


def vendor(**settings: Any) -> Any:
    return make_llm(VendorConfig(VENDOR, settings=settings), {})


def request(*said: str) -> LlmRequest:
    """A conversation in which the caller has said these, each answered but the last."""
    messages = [Message("system", "be brief")]
    for text in said:
        messages += [Message("user", text), Message("assistant", "yes")]
    return LlmRequest(tuple(messages[:-1] if said else messages))


async def answer(llm: Any, asked: LlmRequest) -> Timed:
    sink = Timed()
    async for event in llm.stream(asked):
        sink(event)
    return sink


async def text(llm: Any, asked: LlmRequest) -> str:
    return "".join(event.text for event in (await answer(llm, asked)).of(LlmText))


def test_first_token_then_the_others_and_done_last() -> None:
    sink = run_virtual(lambda: answer(vendor(), request("hello")))
    assert sink.times(LlmText) == [200 + 5 * n for n in range(20)]
    sentences = "".join(event.text for event in sink.of(LlmText)).split(". ")
    assert [len(sentence.split()) for sentence in sentences] == [8, 12]
    assert isinstance(sink.events[-1][1], LlmDone)
    assert sink.events[-1][1].output_tokens == 20
    assert len(sink.of(LlmDone)) == 1


def test_tokens_join_to_the_reply_exactly() -> None:
    reply = "Well,  yes:\n3 items - no more."
    assert run_virtual(lambda: text(vendor(replies=[reply]), request("x"))) == reply


def test_a_slow_consumer_does_not_delay_the_vendor() -> None:
    async def check() -> None:
        times = []
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async for _ in vendor(replies=["a b c"], token_interval_ms=100).stream(request("x")):
            times.append(round((loop.time() - begun) * 1000))
            if len(times) == 1:
                await asyncio.sleep(0.15)
        assert times == [200, 350, 400, 400]

    run_virtual(check)


def test_replies_follow_the_callers_turns_whichever_call_asks() -> None:
    async def check() -> None:
        llm = vendor(replies=["one", "two"], greeting="welcome")
        assert await text(llm, request()) == "welcome"
        assert await text(llm, request("a")) == "one"
        assert await text(llm, request("other call")) == "one"
        assert await text(llm, request("a", "b")) == "two"
        assert await text(llm, request("a", "b", "c")) == "one"

    run_virtual(check)


def test_random_replies_repeat_with_the_seed() -> None:
    async def run(seed: int) -> list[str]:
        llm = vendor(replies=[str(n) for n in range(9)], order="random", seed=seed)
        return [await text(llm, request("x")) for _ in range(30)]

    assert run_virtual(lambda: run(1)) == run_virtual(lambda: run(1))
    assert run_virtual(lambda: run(1)) != run_virtual(lambda: run(2))


def test_echo() -> None:
    assert run_virtual(lambda: text(vendor(echo=True), request("say it"))) == "say it"


RULES = [
    {"match": r"my name is (?P<name>\w+)", "reply": "Hello {name}, you said: {text}"},
    {
        "match": r"weather in (?P<city>\w+)",
        "reply": "Let me see. ",
        "tool": {"name": "weather", "arguments": {"where": {"city": "{city}"}, "days": [1, "{x}"]}},
        "after": "In {city} it is {result}.",
    },
    {
        "match": "both",
        "tools": [{"name": "a", "arguments": "not json"}, {"name": "b"}],
    },
]


def test_a_rule_answers_with_what_the_caller_said() -> None:
    said = "MY NAME IS Ada {result} {city}"
    spoken = run_virtual(lambda: text(vendor(rules=RULES), request("weather in Oslo", said)))
    assert spoken == f"Hello Ada, you said: {said}"


def test_no_rule_falls_back_to_the_replies() -> None:
    assert run_virtual(lambda: text(vendor(rules=RULES, replies=["no"]), request("hm"))) == "no"


def test_a_tool_call_and_the_answer_to_its_result() -> None:
    async def check() -> None:
        llm = vendor(rules=RULES)
        sink = await answer(llm, request("what is the weather in Oslo"))
        assert "".join(event.text for event in sink.of(LlmText)) == "Let me see. "
        (call,) = (event.call for event in sink.of(LlmToolCall))
        assert call.name == "weather"
        assert json.loads(call.arguments) == {"where": {"city": "Oslo"}, "days": [1, "{x}"]}
        messages = (
            Message("user", "what is the weather in Oslo"),
            Message("assistant", "", (call,)),
            Message("tool", "sunny", tool_call_id=call.id),
        )
        assert await text(llm, LlmRequest(messages)) == "In Oslo it is sunny."

    run_virtual(check)


def test_two_tool_calls_have_their_own_ids() -> None:
    sink = run_virtual(lambda: answer(vendor(rules=RULES), request("both")))
    calls = [event.call for event in sink.of(LlmToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [("a", "not json"), ("b", "{}")]
    assert len({call.id for call in calls}) == 2


def test_the_result_of_an_unknown_tool_is_repeated() -> None:
    messages = (Message("user", "x"), Message("tool", "42", tool_call_id="nobody"))
    assert run_virtual(lambda: text(vendor(rules=RULES), LlmRequest(messages))) == "42"


def test_an_empty_request_is_answered() -> None:
    assert run_virtual(lambda: text(vendor(replies=["yes"]), LlmRequest(()))) == "yes"


async def cancelled(llm: Any, after_ms: int) -> tuple[Timed, bool]:
    """What an iterating task got, and whether cancelling it ended the iteration."""
    sink = Timed()

    async def consume() -> None:
        async for event in llm.stream(request("x")):
            sink(event)

    task = asyncio.create_task(consume())
    await asyncio.sleep(after_ms / 1000)
    task.cancel()
    await asyncio.wait([task])
    return sink, task.cancelled()


@pytest.mark.parametrize("faults", [{}, {"never_answers": True}, {"stall_after": 2}])
def test_cancelling_ends_it_at_once(faults: dict[str, Any]) -> None:
    async def check() -> None:
        sink, was_cancelled = await cancelled(vendor(faults=faults), 212)
        assert was_cancelled
        assert sink.now_ms() == 212
        assert not sink.of(LlmDone)

    run_virtual(check)


def test_a_vendor_may_ignore_the_cancelling() -> None:
    async def check() -> None:
        sink, was_cancelled = await cancelled(vendor(faults={"misbehave_after_cancel": True}), 212)
        assert not was_cancelled
        assert sink.of(LlmText)[-1].text == "the cancellation"
        assert len(sink.of(LlmDone)) == 1

    run_virtual(check)


@pytest.mark.parametrize(
    ("faults", "tokens", "failed_at"),
    [
        ({"fail_at": "open"}, 0, 0),
        ({"fail_at": "first_output"}, 0, 200),
        ({"fail_at": "mid", "mid_after": 4}, 4, 220),
        ({"fail_after_ms": 100}, 0, 100),
        ({"fail_after_ms": 207}, 2, 207),
        ({"never_answers": True, "fail_after_ms": 5000}, 0, 5000),
        ({"stall_after": 2, "fail_after_ms": 5000}, 2, 5000),
        ({"delay_ms": 300, "fail_at": "first_output"}, 0, 500),
    ],
)
def test_failures(faults: dict[str, Any], tokens: int, failed_at: int) -> None:
    async def check() -> None:
        sink = Timed()
        with pytest.raises(VendorError, match="overloaded"):  # noqa: PT012
            async for event in vendor(faults={"code": "overloaded", **faults}).stream(request()):
                sink(event)
        assert len(sink.events) == tokens
        assert sink.now_ms() == failed_at

    run_virtual(check)


def test_a_stall_after_the_last_token_withholds_the_end() -> None:
    async def check() -> None:
        sink = Timed()
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(30):
                llm = vendor(replies=["a b"], faults={"stall_after": 2})
                async for event in llm.stream(request("x")):
                    sink(event)
        assert [event.text for event in sink.of(LlmText)] == ["a ", "b"]
        assert not sink.of(LlmDone)

    run_virtual(check)


def test_cut_inside_a_word() -> None:
    async def check() -> None:
        sink = Timed()
        llm = vendor(replies=["yes certainly so"], faults={"fail_at": "mid_word", "mid_after": 2})
        with pytest.raises(VendorError):  # noqa: PT012
            async for event in llm.stream(request("x")):
                sink(event)
        assert [event.text for event in sink.of(LlmText)] == ["yes ", "certa"]

    run_virtual(check)


@pytest.mark.parametrize(
    ("garbage", "token"), [("empty", ""), ("control", CONTROL_TEXT), ("huge", HUGE_TEXT)]
)
def test_garbage_text(garbage: str, token: str) -> None:
    sink = run_virtual(lambda: answer(vendor(faults={"garbage": garbage}), request("x")))
    assert {event.text for event in sink.of(LlmText)} == {token}


def test_a_broken_tool_call() -> None:
    sink = run_virtual(lambda: answer(vendor(faults={"garbage": "odd"}), request("x")))
    call: ToolCall = sink.of(LlmToolCall)[0].call
    with pytest.raises(ValueError):
        json.loads(call.arguments)


def test_jitter_repeats() -> None:
    async def run() -> list[int]:
        sink = await answer(vendor(faults={"jitter_ms": 50}), request("x"))
        return sink.times(LlmText)

    assert run_virtual(run) == run_virtual(run)
    assert run_virtual(run) != [200 + 5 * n for n in range(20)]


async def test_start_fails_on_demand() -> None:
    with pytest.raises(VendorError, match="vendor_error"):
        await vendor(faults={"fail_at": "start"}).start()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"rules": [{"match": "("}]}, "settings.rules[0].match"),
        ({"rules": [{}]}, "settings.rules[0]"),
        ({"replies": []}, "settings.replies"),
        ({"first_token_ms": "soon"}, "settings.first_token_ms"),
    ],
)
def test_wrong_settings_name_their_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as caught:
        vendor(**settings)
    assert caught.value.field == field
