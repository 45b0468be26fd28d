"""Preemptive replies: what the model says before the turn is decided is used, or is lost."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.machine_driver import Driver, after
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, LlmText, LlmToolCall, ToolCall
from voicecore.providers.stt import SttEager, SttFinal, SttInterim, SttResumed
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.drafting import LONGEST_DRAFT_CHARS, LONGEST_DRAFT_MS
from voicecore.turns.settings import PreemptivePolicy, TurnSettings

ASKED = "What are your hours?"


def driver(**policy: Any) -> Driver:
    preemptive = PreemptivePolicy(enabled=True, **policy)
    return Driver(TurnSettings(preemptive=preemptive, endpointing=after(600)))


def flux() -> Driver:
    return Driver(TurnSettings(preemptive=PreemptivePolicy(enabled=True), vendor_ends_turns=True))


def dropped(calls: Driver) -> list[str]:
    return [data["reason"] for data in calls.events("draft_dropped")]


class TestBeginning:
    def test_the_model_begins_once_the_text_is_there(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        assert call.last(out.StartLlm).request.messages[-1].text == ASKED
        assert call.events("draft_started") == [{"reply": 1, "text": ASKED}]
        assert not call.events("caller_turn"), "nothing is decided"
        assert call.machine.live_reply is None
        assert call.machine.draft == 1

    def test_an_interim_text_that_is_whole_will_do(self) -> None:
        call = driver()
        call.caller_speaks(500)
        call.send(inputs.Heard(SttInterim(ASKED)))
        assert not call.of(out.StartLlm), "the caller speaks"
        call.caller_stops()
        assert call.of(out.StartLlm)

    @pytest.mark.parametrize("text", ["My number is", "It is four five six and", "Um,"])
    def test_text_that_goes_on_is_waited_for(self, text: str) -> None:
        call = driver()
        call.caller_says(text)
        assert not call.of(out.StartLlm)

    def test_the_vendor_may_be_eager_while_sound_goes_on(self) -> None:
        call = flux()
        call.caller_speaks(500)
        call.send(inputs.Heard(SttEager(ASKED)))
        assert call.of(out.StartLlm)

    def test_not_beside_a_live_reply(self) -> None:
        call = Driver(
            TurnSettings(greeting="Hello there.", preemptive=PreemptivePolicy(enabled=True))
        )
        call.voice_speaks(1)
        call.send(inputs.Heard(SttFinal("mm-hm", flushed=True)))
        assert not call.of(out.StartLlm)

    def test_only_if_wanted(self) -> None:
        call = Driver()
        call.caller_says(ASKED)
        assert not call.of(out.StartLlm)

    def test_no_more_than_so_many_in_a_turn(self) -> None:
        call = driver(max_per_turn=2)
        for text in ("I want a table.", "For two.", "On Sunday.", "At eight."):
            call.caller_says(text, for_ms=300)
        assert len(call.of(out.StartLlm)) == 2
        call.pass_ms(1000)
        assert len(call.of(out.StartLlm)) == 3, "the turn itself"


class TestUse:
    def test_what_the_model_said_is_said_at_once(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.Thought(1, LlmText("From nine to five. ")))
        call.send(inputs.Thought(1, LlmDone()))
        assert not call.of(out.Say)
        call.pass_ms(400)
        assert call.last(out.Say) == out.Say(1, "From nine to five.")
        assert call.of(out.FinishSaying)
        assert len(call.of(out.StartLlm)) == 1
        assert call.events("draft_used") == [{"reply": 1, "lead_ms": 400}]
        call.reply_plays(1)
        assert [m.text for m in call.history.messages()][-2:] == [ASKED, "From nine to five."]
        latency = call.events("turn_latency")[-1]
        assert latency["llm_first_token"] < latency["turn_decided"]

    def test_the_model_may_go_on_afterwards(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.Thought(1, LlmText("From nine ")))
        call.pass_ms(400)
        call.model_says(1, "to five.")
        assert call.last(out.Say).text == "From nine to five."

    def test_punctuation_and_capitals_do_not_matter(self) -> None:
        call = flux()
        call.caller_speaks(500)
        call.send(inputs.Heard(SttEager("what are your hours")))
        call.caller_stops()
        call.send(inputs.Heard(SttFinal(ASKED, end_of_turn=True)))
        assert call.events("draft_used")
        assert call.history.messages()[-1].text == ASKED, "the history has the final text"

    def test_tools_run_only_then(self) -> None:
        call = driver()
        call.caller_says("Look it up.")
        tool = ToolCall("c1", "lookup", '{"q": "x"}')
        call.send(inputs.Thought(1, LlmToolCall(tool)))
        call.send(inputs.Thought(1, LlmDone()))
        call.pass_ms(399)
        assert not call.of(out.RunHttpTool)
        assert not call.events("tool_called")
        call.pass_ms(1)
        assert len(call.of(out.RunHttpTool)) == 1

    def test_a_model_that_says_nothing_times_out_after_the_turn(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.pass_ms(400 + 7999)
        assert not call.events("vendor_failed")
        call.pass_ms(1)
        assert call.events("vendor_failed")[0]["code"] == "first_output_timeout"


class TestDropping:
    def test_more_text_is_another_turn(self) -> None:
        call = driver()
        call.caller_says("I want a table.")
        call.send(inputs.Thought(1, LlmText("Certainly. ")))
        call.caller_says("For two.")
        assert dropped(call) == ["text_changed"]
        assert call.events("draft_dropped")[0]["output_characters"] == 11
        assert out.StopLlm(1) in call.outputs
        call.send(inputs.Thought(1, LlmText("late")))
        call.pass_ms(1000)
        assert call.events("caller_turn")[0]["text"] == "I want a table. For two."
        call.full_reply(call.last(out.StartLlm).reply, "Done.")
        assert [m.text for m in call.history.messages()][-1] == "Done."

    def test_the_vendor_takes_it_back(self) -> None:
        call = flux()
        call.caller_speaks(500)
        call.send(inputs.Heard(SttEager("I want")))
        call.send(inputs.Heard(SttResumed()))
        call.send(inputs.Heard(SttInterim("I want a table")))
        assert dropped(call) == ["text_changed"]

    def test_a_failure_is_not_the_callers_trouble(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.ThoughtFailed(1, VendorError("x", "overloaded", "", retryable=False)))
        assert dropped(call) == ["overloaded"]
        call.pass_ms(400)
        call.full_reply(call.last(out.StartLlm).reply, "From nine to five.")
        assert not call.ended
        assert call.events("agent_turn")[-1]["ended"] == "played"

    def test_a_flood_is_cut_off(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.Thought(1, LlmText("x" * (LONGEST_DRAFT_CHARS + 1))))
        assert dropped(call) == ["too_long"]

    def test_it_does_not_live_for_ever(self) -> None:
        call = flux()
        call.caller_speaks(500)
        call.send(inputs.Heard(SttEager(ASKED)))
        call.pass_ms(LONGEST_DRAFT_MS)
        assert dropped(call) == ["timeout"]

    def test_the_end_of_the_call_drops_it(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.StreamClosed("caller_hangup"))
        assert dropped(call) == ["call_ended"]
        assert call.machine.next_deadline() is None

    def test_a_farewell_overtakes_it(self) -> None:
        call = driver()
        call.caller_says(ASKED)
        call.send(inputs.EndRequested("drain"))
        assert dropped(call) == ["overtaken"]


class TestVoice:
    def test_the_first_sentence_is_spoken_beforehand_and_not_twice(self) -> None:
        call = driver(voice=True)
        call.caller_says(ASKED)
        call.send(inputs.Thought(1, LlmText("From nine to five. On Sunday ")))
        assert call.of(out.Say) == [out.Say(1, "From nine to five.")]
        assert not call.events("agent_saying")
        call.pass_ms(400)
        call.model_says(1, "we are closed.")
        said = ["From nine to five.", "On Sunday we are closed."]
        assert [say.text for say in call.of(out.Say)] == said
        assert [data["text"] for data in call.events("agent_saying")] == said
        assert out.UseDraft(1) in call.outputs

    def test_a_voice_that_fails_the_draft(self) -> None:
        call = driver(voice=True)
        call.caller_says(ASKED)
        call.model_says(1, "From nine to five.", done=False)
        call.send(inputs.SpeechFailed(1, VendorError("x", "overloaded", "", retryable=True)))
        assert dropped(call) == ["overloaded"]
        call.pass_ms(400)
        assert call.last(out.StartLlm).reply == 2

    @given(st.lists(st.text("aA .!?,\n", max_size=12), max_size=8), st.integers(0, 8))
    def test_the_same_is_said_with_and_without_it(self, deltas: list[str], before: int) -> None:
        said = []
        for voice in (True, False):
            call = driver(voice=voice)
            call.caller_says(ASKED)
            for delta in deltas[:before]:
                call.send(inputs.Thought(1, LlmText(delta)))
            call.pass_ms(400)
            for delta in deltas[before:]:
                call.send(inputs.Thought(1, LlmText(delta)))
            call.send(inputs.Thought(1, LlmDone()))
            said.append([say.text for say in call.of(out.Say)])
            assert said[-1] == [d["text"] for d in call.events("agent_saying") if d["reply"] == 1]
        assert said[0] == said[1]
