import pytest

from tests.support.agent_tools import call
from voicecore.agents.conduct import Limits
from voicecore.tools.guard import ToolGuard
from voicecore.tools.requests import ToolResult, failed


def _guard(**limits: int) -> ToolGuard:
    guard = ToolGuard(Limits(**limits))  # type: ignore[arg-type]
    guard.turn_started()
    return guard


def _run(guard: ToolGuard, name: str, arguments: str = "{}", result: str = "same") -> str:
    """One round with one call; the code of the refusal, or nothing."""
    guard.round_started()
    made = call(name, arguments)
    problem = guard.admit(made)
    outcome = problem.result() if problem else ToolResult(made.id, name, result)
    guard.finished(made, outcome)
    return outcome.error


def test_rounds_of_a_turn_are_bounded() -> None:
    guard = _guard(max_tool_rounds=3)
    codes = []
    for round in range(5):
        allowed = guard.tools_allowed
        codes.append((allowed, _run(guard, "t", result=str(round))))
    assert codes == [(True, "")] * 3 + [(False, "too_many_rounds")] * 2
    guard.turn_started()
    assert guard.tools_allowed
    assert _run(guard, "t") == ""


def test_the_same_call_with_the_same_result_is_stopped_and_stays_stopped() -> None:
    guard = _guard(max_tool_rounds=50, max_tool_repeats=2)
    codes = [_run(guard, "end_call", '{"reason": "x"}') for _ in range(20)]
    assert codes == ["", ""] + ["repeated_call"] * 18
    assert _run(guard, "end_call", '{"reason": "y"}') == ""


def test_the_order_of_arguments_does_not_matter() -> None:
    guard = _guard(max_tool_repeats=1)
    assert _run(guard, "t", '{"a": 1, "b": 2}') == ""
    assert _run(guard, "t", '{ "b":2, "a":1 }') == "repeated_call"


def test_another_result_is_progress() -> None:
    guard = _guard(max_tool_rounds=50, max_tool_repeats=2)
    assert [_run(guard, "poll", result=str(at)) for at in range(10)] == [""] * 10
    results = ["a", "b", "a", "b", "b"]
    fresh = _guard(max_tool_rounds=50, max_tool_repeats=2)
    assert [_run(fresh, "poll", result=result) for result in results] == [""] * 5
    assert _run(fresh, "poll") == "repeated_call"


def test_two_tools_that_take_turns_are_stopped() -> None:
    guard = _guard(max_tool_rounds=50, max_tool_repeats=2)
    codes = [_run(guard, name) for _ in range(4) for name in ("a", "b")]
    assert codes == [""] * 4 + ["repeated_call"] * 4


def test_failures_are_no_progress() -> None:
    guard = _guard(max_tool_repeats=2)
    for _ in range(2):
        guard.round_started()
        assert guard.admit(call("t")) is None
        guard.finished(call("t"), failed("c1", "t", "timeout", "slow"))
    assert _run(guard, "t") == "repeated_call"


def test_identical_calls_of_one_answer_count() -> None:
    guard = _guard(max_tool_repeats=2)
    guard.round_started()
    refused = [guard.admit(call("t", call_id=str(at))) is not None for at in range(300)]
    assert refused == [False] * 2 + [True] * 298


def test_a_new_turn_may_ask_again_even_if_a_call_never_ended() -> None:
    guard = _guard(max_tool_repeats=1)
    guard.round_started()
    assert guard.admit(call("t")) is None
    guard.turn_started()
    guard.finished(call("t"), ToolResult("c1", "t", "late"))
    assert _run(guard, "u") == ""
    guard.turn_started()
    assert _run(guard, "t") == ""


def test_a_telephone_call_has_a_total() -> None:
    guard = _guard(max_tool_calls=3, max_tool_rounds=1)
    for at in range(3):
        guard.turn_started()
        assert guard.tools_allowed
        assert _run(guard, "t", result=str(at)) == ""
    guard.turn_started()
    assert not guard.tools_allowed
    assert _run(guard, "t") == "too_many_calls"


@pytest.mark.parametrize("arguments", ["{", "\ud800", "[" * 5000])
def test_broken_arguments_can_be_counted(arguments: str) -> None:
    guard = _guard(max_tool_repeats=1)
    assert _run(guard, "t", arguments) == ""
    assert _run(guard, "t", arguments) == "repeated_call"
