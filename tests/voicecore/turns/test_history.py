"""The conversation as the model sees it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.legal_messages import assert_legal
from voicecore.providers.llm import Message, ToolCall
from voicecore.turns.history import LONGEST_MESSAGES, STILL_RUNNING, History


def call(id_: str) -> ToolCall:
    return ToolCall(id_, "lookup", "{}")


def shape(history: History) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in history.messages()]


class TestTurns:
    def test_instructions_come_first(self) -> None:
        history = History("Be brief.")
        history.caller_said("Hello?")
        assert history.messages() == (Message("system", "Be brief."), Message("user", "Hello?"))

    def test_no_instructions_are_no_message(self) -> None:
        assert History("").messages() == ()

    def test_turns_without_an_answer_between_are_one(self) -> None:
        history = History("")
        history.caller_said("What about")
        history.settle("")
        history.caller_said("Sunday?")
        assert shape(history) == [("user", "What about Sunday?")]

    def test_only_what_was_heard_is_kept(self) -> None:
        history = History("")
        history.caller_said("Count.")
        history.settle("One two")
        assert shape(history) == [("user", "Count."), ("assistant", "One two")]

    def test_text_that_no_protocol_carries_is_made_so(self) -> None:
        history = History("")
        history.caller_said("half \ud800 a character")
        for message in history.messages():
            message.text.encode()


class TestTools:
    def opened(self, *ids: str, text: str = "Let me see.") -> History:
        history = History("")
        history.caller_said("Is it open?")
        history.tools_called(text, tuple(call(id_) for id_ in ids))
        return history

    def test_a_tool_that_has_not_answered_is_still_running(self) -> None:
        history = self.opened("a", "b")
        history.tool_answered("b", "yes")
        assert shape(history)[2:] == [("tool", STILL_RUNNING), ("tool", "yes")]
        assert_legal(history.messages())

    def test_results_stand_in_the_order_of_the_calls(self) -> None:
        history = self.opened("a", "b")
        history.tool_answered("b", "2")
        history.tool_answered("a", "1")
        assert shape(history)[2:] == [("tool", "1"), ("tool", "2")]

    def test_a_result_after_the_reply_is_kept_for_the_next(self) -> None:
        history = self.opened("a")
        history.settle("Let me")
        history.caller_said("Never mind.")
        history.tool_answered("a", "yes")
        assert shape(history)[1:] == [
            ("assistant", "Let me"),
            ("tool", "yes"),
            ("user", "Never mind."),
        ]
        assert_legal(history.messages())

    def test_what_was_heard_is_shared_out_among_the_rounds(self) -> None:
        history = self.opened("a")
        history.tool_answered("a", "yes")
        history.tools_called("Now the other.", (call("b"),))
        history.tool_answered("b", "no")
        history.settle("Let me see. Now the other. It is open.")
        assert [text for role, text in shape(history) if role == "assistant"] == [
            "Let me see.",
            "Now the other.",
            "It is open.",
        ]
        assert_legal(history.messages())

    def test_an_interruption_in_the_first_round_leaves_the_others_silent(self) -> None:
        history = self.opened("a")
        history.tool_answered("a", "yes")
        history.tools_called("Now the other.", (call("b"),))
        history.settle("Let me")
        assert [text for role, text in shape(history) if role == "assistant"] == ["Let me", ""]
        assert_legal(history.messages())

    def test_a_round_that_was_not_heard_keeps_its_calls(self) -> None:
        history = self.opened("a")
        history.settle("")
        assert shape(history)[1:] == [("assistant", ""), ("tool", STILL_RUNNING)]
        assert_legal(history.messages())


class TestTrimming:
    def test_old_turns_are_left_out_from_a_turn_of_the_caller_on(self) -> None:
        history = History("Be brief.")
        for number in range(LONGEST_MESSAGES):
            history.caller_said(f"question {number}")
            history.tools_called("", (call(f"c{number}"),))
            history.settle(f"answer {number}")
        messages = history.messages()
        assert messages[0].role == "system"
        assert messages[1].role == "user"
        assert messages[-1].text == f"answer {LONGEST_MESSAGES - 1}"
        assert len([m for m in messages if m.role != "tool"]) <= LONGEST_MESSAGES + 1
        assert_legal(messages)


STEP = st.one_of(
    st.tuples(st.just("caller"), st.text(max_size=5)),
    st.tuples(st.just("calls"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.integers(0, 30)),
    st.tuples(st.just("settle"), st.sampled_from(["", "Let", "Let me see.", "Other words."])),
)


@given(st.lists(STEP, max_size=60))
def test_every_order_of_events_is_legal(steps: list[tuple[str, int | str]]) -> None:
    history = History("x")
    calls = 0
    for name, value in steps:
        if name == "caller":
            history.settle("")
            history.caller_said(f"said {value}")
        elif name == "calls":
            ids = [f"c{calls + place}" for place in range(int(value))]
            calls += len(ids)
            history.tools_called("Let me see.", tuple(call(id_) for id_ in ids))
        elif name == "answer":
            history.tool_answered(f"c{value}", "done")
        else:
            history.settle(str(value))
        assert_legal(history.messages())
