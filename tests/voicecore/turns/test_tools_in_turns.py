"""Tools within a reply: asked for, run, told to the model, given up."""

import json
from typing import Any

import pytest

from tests.support.legal_messages import assert_legal
from tests.support.machine_driver import AGENT, Driver
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, LlmText, LlmToolCall, ToolCall
from voicecore.providers.stt import SttInterim
from voicecore.tools.requests import ToolResult, failed
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.settings import TurnSettings
from voicecore.turns.thinking import MAX_CALLS_IN_ANSWER
from voicecore.turns.tooling import TOOL_SLACK_MS

RETRYABLE = VendorError("x", "disconnected", "", retryable=True)


def asked(text: str = "Look it up.", settings: TurnSettings | None = None) -> tuple[Driver, int]:
    driver = Driver(settings)
    return driver, driver.caller_turn(text)


def answered(driver: Driver, text: str = '{"open": true}', call_id: str = "c1") -> None:
    driver.send(inputs.ToolAnswered(ToolResult(call_id, "lookup", text)))


def tool_messages(driver: Driver) -> list[str]:
    messages = driver.last(out.StartLlm).request.messages
    assert_legal(messages)
    return [message.text for message in messages if message.role == "tool"]


def last_result(driver: Driver) -> Any:
    return json.loads(tool_messages(driver)[-1])


class TestHttp:
    def test_the_whole_way(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup", '{"q": "hours"}')
        (run,) = driver.of(out.RunHttpTool)
        assert run.request.url == "https://example.com/lookup?q=hours"
        assert driver.last(out.Say).text == "One moment, please."
        assert len(driver.of(out.StartLlm)) == 1
        answered(driver)
        assert tool_messages(driver) == ['{"open": true}']
        driver.model_says(reply, "It is open.")
        assert out.FinishSaying(reply) in driver.outputs
        driver.reply_plays(reply)
        assert [(m.role, m.text) for m in driver.history.messages()][1:] == [
            ("user", "Look it up."),
            ("assistant", ""),
            ("tool", '{"open": true}'),
            ("assistant", "One moment, please. It is open."),
        ]

    def test_what_the_model_says_itself_takes_the_place_of_the_phrase(self) -> None:
        driver, reply = asked()
        driver.send(inputs.Thought(reply, LlmText("Let **me** see.")))
        driver.model_calls(reply, "lookup")
        assert [say.text for say in driver.of(out.Say)] == ["Let me see."]
        answered(driver)
        driver.model_says(reply, "It is open.")
        driver.reply_plays(reply)
        spoken = [m.text for m in driver.history.messages() if m.role == "assistant"]
        assert spoken == ["Let me see.", "It is open."]

    def test_all_tools_of_a_round_are_awaited(self) -> None:
        driver, reply = asked()
        for id_ in ("a", "b"):
            call = ToolCall(id_, "lookup", json.dumps({"q": id_}))
            driver.send(inputs.Thought(reply, LlmToolCall(call)))
        driver.send(inputs.Thought(reply, LlmDone()))
        assert len(driver.of(out.RunHttpTool)) == 2
        answered(driver, "2", "b")
        assert len(driver.of(out.StartLlm)) == 1
        answered(driver, "1", "a")
        assert tool_messages(driver) == ["1", "2"]

    def test_a_failure_is_told_to_the_model(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.send(inputs.ToolAnswered(failed("c1", "lookup", "http_status", "it said 500")))
        assert last_result(driver) == {"error": "http_status", "detail": "it said 500"}
        assert driver.events("tool_answered")[-1]["error"] == "http_status"

    def test_silence_while_a_tool_runs_asks_nobody(self) -> None:
        driver, reply = asked(settings=TurnSettings(ask_after_ms=3000))
        driver.model_calls(reply, "lookup")
        driver.pass_ms(9000)
        assert not driver.of(out.SayPhrase)

    def test_a_tool_that_never_answers_is_given_up(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.voice_speaks(reply, done=False)
        driver.pass_ms(10_000 + TOOL_SLACK_MS - 1)
        assert len(driver.of(out.StartLlm)) == 1
        driver.pass_ms(1)
        assert last_result(driver)["error"] == "timeout"
        answered(driver, "too late")
        assert len(driver.of(out.StartLlm)) == 2

    def test_a_result_comes_once(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        answered(driver)
        answered(driver, "again")
        assert len(driver.of(out.StartLlm)) == 2
        assert tool_messages(driver) == ['{"open": true}']

    def test_the_voice_that_stays_silent_while_the_tool_runs_is_noticed(self) -> None:
        driver, reply = asked(settings=TurnSettings(first_audio_timeout_ms=3000))
        driver.model_calls(reply, "lookup")
        driver.pass_ms(3000)
        assert driver.events("vendor_failed")[-1]["kind"] == "tts"
        assert out.RestartVoice(reply) in driver.outputs

    def test_a_model_that_fails_after_the_tool_leaves_no_silence(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        answered(driver)
        driver.send(inputs.ThoughtFailed(reply, RETRYABLE))
        said = [say.text for say in driver.of(out.Say)]
        assert said == ["One moment, please.", TurnSettings().phrases.apology]
        assert out.FinishSaying(reply) in driver.outputs

    def test_a_model_that_says_nothing_after_the_tool_leaves_no_silence(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        answered(driver)
        driver.send(inputs.Thought(reply, LlmDone()))
        said = [say.text for say in driver.of(out.Say)] + [p.text for p in driver.of(out.SayPhrase)]
        assert said[-1] != "One moment, please."


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "arguments", "error"),
        [
            ("weather", "{}", "unknown_tool"),
            ("lookup", '{"q": 3}', "invalid_arguments"),
            ("lookup", "{", "invalid_arguments"),
            ("send_dtmf", '{"digits": "xyz"}', "invalid_arguments"),
            ("transfer_call", '{"target": "nobody"}', "invalid_arguments"),
        ],
    )
    def test_a_wrong_call_is_told_to_the_model_at_once(
        self, name: str, arguments: str, error: str
    ) -> None:
        driver, reply = asked()
        driver.model_calls(reply, name, arguments)
        assert last_result(driver)["error"] == error
        assert driver.machine.live_reply == reply
        assert not driver.of(out.RunHttpTool)

    def test_the_same_call_again_and_again_is_stopped(self) -> None:
        driver, reply = asked()
        for number in range(4):
            driver.model_calls(reply, "lookup", '{"q": "x"}', id_=f"c{number}")
            answered(driver, "same", f"c{number}")
        assert len(driver.of(out.RunHttpTool)) == 2
        assert last_result(driver)["error"] == "repeated_call"

    def test_too_many_rounds_end_in_a_request_without_tools(self) -> None:
        driver, reply = asked()
        for number in range(5):
            assert driver.last(out.StartLlm).request.tools
            driver.model_calls(reply, "lookup", f'{{"q": "{number}"}}', id_=f"c{number}")
            answered(driver, str(number), f"c{number}")
        assert not driver.last(out.StartLlm).request.tools
        driver.model_says(reply, "That is all.")
        driver.reply_plays(reply)
        again = driver.caller_turn("And?")
        assert driver.last(out.StartLlm).request.tools, "the next turn starts anew"
        assert again != reply

    def test_a_model_that_cannot_stop_calling_is_stopped(self) -> None:
        driver, reply = asked()
        for number in range(1000):
            call = ToolCall(f"c{number}", "lookup", f'{{"q": "{number}"}}')
            driver.send(inputs.Thought(reply, LlmToolCall(call)))
        assert out.StopLlm(reply) in driver.outputs
        assert len(driver.of(out.RunHttpTool)) <= MAX_CALLS_IN_ANSWER

    def test_rounds_without_an_end_come_to_one(self) -> None:
        """A model that calls tools though none are offered any more."""
        driver, reply = asked()
        for number in range(100):
            driver.model_calls(reply, "lookup", f'{{"q": "{number}"}}', id_=f"c{number}")
            answered(driver, str(number), f"c{number}")
        assert len(driver.of(out.RunHttpTool)) == 5
        assert len(driver.of(out.StartLlm)) == 6
        assert out.FinishSaying(reply) in driver.outputs


class TestIds:
    def test_ids_that_are_used_again_are_told_apart(self) -> None:
        driver, reply = asked()
        for number in (1, 2):
            driver.model_calls(reply, "lookup", f'{{"q": "{number}"}}', id_="call_0")
            run = driver.last(out.RunHttpTool)
            answered(driver, f"result {number}", run.request.call_id)
        assert tool_messages(driver) == ["result 1", "result 2"]

    def test_two_of_one_answer_are_told_apart(self) -> None:
        driver, reply = asked()
        for q in ("1", "2"):
            call = ToolCall("", "lookup", f'{{"q": "{q}"}}')
            driver.send(inputs.Thought(reply, LlmToolCall(call)))
        driver.send(inputs.Thought(reply, LlmDone()))
        first, second = (run.request.call_id for run in driver.of(out.RunHttpTool))
        answered(driver, "two", second)
        answered(driver, "one", first)
        assert tool_messages(driver) == ["one", "two"]

    def test_what_goes_back_to_the_model_is_what_its_server_takes(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "functions.look up\n" + "x" * 90, '{"q": "\ud800"', id_="\ud800")
        (message,) = [m for m in driver.last(out.StartLlm).request.messages if m.tool_calls]
        (call,) = message.tool_calls
        assert call.name.startswith("functions_look_up_xxx")
        assert len(call.name) == 64
        (call.id + call.arguments).encode()


class TestEndCall:
    def test_a_farewell_is_said_and_heard_first(self) -> None:
        driver, reply = asked("Bye.")
        driver.model_calls(reply, "end_call", '{"farewell": "Take care."}')
        assert driver.last(out.Say).text == "Take care."
        assert out.FinishSaying(reply) in driver.outputs
        assert not driver.ended
        driver.reply_plays(reply)
        assert driver.last(out.HangUp) == out.HangUp("agent_hangup")
        assert driver.ended
        assert len(driver.of(out.StartLlm)) == 1

    def test_without_a_farewell_the_phrase_is_said(self) -> None:
        driver, reply = asked("Bye.")
        driver.model_calls(reply, "end_call")
        assert driver.last(out.Say).text == "Goodbye."
        driver.reply_plays(reply)
        assert driver.ended

    def test_after_words_of_its_own_nothing_is_added(self) -> None:
        driver, reply = asked("Bye.")
        driver.send(inputs.Thought(reply, LlmText("Have a nice day.")))
        driver.model_calls(reply, "end_call")
        assert [say.text for say in driver.of(out.Say)] == ["Have a nice day."]
        driver.reply_plays(reply)
        assert driver.ended

    def test_a_caller_who_speaks_over_it_is_heard(self) -> None:
        driver, reply = asked("Bye.")
        driver.model_calls(reply, "end_call", '{"farewell": "Take good care of yourself."}')
        driver.voice_speaks(reply)
        driver.caller_says("Oh, one more thing!")
        driver.pass_ms(1000)
        assert not driver.ended
        assert driver.last(out.StartLlm).reply > reply


class TestTransfer:
    def test_is_told_to_whoever_can_do_it(self) -> None:
        driver, reply = asked("Sales, please.")
        driver.model_calls(reply, "transfer_call", '{"target": "sales"}')
        assert driver.events("transfer_requested") == [{"number": "+15550100", "target": "sales"}]
        assert last_result(driver) == {"status": "transfer requested"}

    def test_needs_no_words(self) -> None:
        silent = AGENT.replace("- type: transfer_call", "- type: transfer_call\n    say: null")
        driver = Driver(agent=silent)
        reply = driver.caller_turn("Sales, please.")
        driver.model_calls(reply, "transfer_call", '{"target": "sales"}')
        driver.model_says(reply)
        assert not driver.events("vendor_failed")
        assert driver.events("agent_turn")[-1]["ended"] == "nothing_to_say"
        assert driver.machine.live_reply is None


class TestKeys:
    def test_tones_are_played_as_part_of_the_reply(self) -> None:
        driver, reply = asked("Press one.")
        driver.model_calls(reply, "send_dtmf", '{"digits": "1w2#"}')
        assert driver.of(out.PlayTones) == [out.PlayTones(reply, "1w2#")]
        assert last_result(driver) == {"status": "sent"}

    def test_tones_without_words_are_an_answer(self) -> None:
        driver, reply = asked("Press one.")
        driver.model_calls(reply, "send_dtmf", '{"digits": "1"}')
        driver.model_says(reply)
        assert driver.last(out.FinishSaying) == out.FinishSaying(reply)
        assert not driver.events("vendor_failed")
        driver.send(inputs.AudioCame(reply, 150))
        driver.send(inputs.ReplyStarted(reply, driver.now_ms))
        driver.send(inputs.SpeechDone(reply))
        driver.send(inputs.ReplyPlayed(reply, 150))
        assert driver.events("agent_turn")[-1]["ended"] == "played"
        assert driver.machine.live_reply is None

    def test_a_voice_that_begins_again_keeps_tones_in_their_place(self) -> None:
        driver, reply = asked("Press one.")
        driver.model_says(reply, "Pressing it now. ", done=False)
        driver.model_calls(reply, "send_dtmf", '{"digits": "1"}')
        driver.model_says(reply, "Done.")
        error = VendorError("x", "disconnected", "", retryable=True)
        driver.outputs.clear()
        driver.send(inputs.SpeechFailed(reply, error))
        steps = (out.RestartVoice, out.Say, out.PlayTones, out.FinishSaying)
        assert [step for step in driver.outputs if isinstance(step, steps)] == [
            out.RestartVoice(reply),
            out.Say(reply, "Pressing it now."),
            out.PlayTones(reply, "1"),
            out.Say(reply, "Done."),
            out.FinishSaying(reply),
        ]

    def collecting(self, **arguments: Any) -> tuple[Driver, int]:
        driver, reply = asked("My number?")
        arguments = {"timeout_s": 5, **arguments}
        driver.model_calls(reply, "collect_digits", json.dumps(arguments))
        return driver, reply

    def press(self, driver: Driver, digits: str) -> None:
        for digit in digits:
            driver.send(inputs.DigitPressed(digit))
            driver.pass_ms(300)

    def test_the_count_completes(self) -> None:
        driver, _ = self.collecting(count=4)
        self.press(driver, "123")
        assert len(driver.of(out.StartLlm)) == 1
        self.press(driver, "4")
        assert last_result(driver) == {"digits": "1234", "status": "complete"}

    def test_the_finish_key_finishes(self) -> None:
        driver, _ = self.collecting(count=8, finish_on_key="*")
        self.press(driver, "12#*")
        assert last_result(driver) == {"digits": "12#", "status": "finished"}

    def test_silence_ends_the_wait(self) -> None:
        driver, _ = self.collecting(count=8)
        self.press(driver, "12")
        driver.pass_ms(5000)
        assert last_result(driver) == {"digits": "12", "status": "timeout"}

    def test_each_key_gives_more_time(self) -> None:
        driver, _ = self.collecting(count=8)
        for _ in range(4):
            driver.pass_ms(4000)
            driver.send(inputs.DigitPressed("7"))
        assert len(driver.of(out.StartLlm)) == 1
        driver.pass_ms(5001)
        assert last_result(driver) == {"digits": "7777", "status": "timeout"}

    def test_the_prompt_is_said_and_not_counted(self) -> None:
        driver, reply = self.collecting(count=4, prompt="Please enter your customer number.")
        assert driver.last(out.Say).text == "Please enter your customer number."
        driver.voice_speaks(reply, done=False)
        driver.pass_ms(5000)
        assert len(driver.of(out.StartLlm)) == 1

    def test_a_caller_who_speaks_instead_is_answered(self) -> None:
        driver, reply = self.collecting(count=4)
        self.press(driver, "1")
        driver.caller_says("I do not have one.")
        driver.pass_ms(1000)
        assert driver.last(out.StartLlm).reply > reply
        assert tool_messages(driver) == ['{"error": "interrupted"}']
        self.press(driver, "5#")
        assert driver.events("caller_turn")[-1]["text"] == "DTMF: 5"

    def test_keys_after_the_wait_are_the_callers_turn(self) -> None:
        driver, reply = self.collecting(count=1)
        self.press(driver, "1")
        driver.model_says(reply, "Thank you.")
        driver.reply_plays(reply)
        self.press(driver, "2#")
        assert driver.events("caller_turn")[-1]["text"] == "DTMF: 2"

    def test_a_slower_tool_beside_it_is_still_awaited(self) -> None:
        driver, reply = asked()
        for call in (
            ToolCall("slow", "lookup", "{}"),
            ToolCall("keys", "collect_digits", '{"timeout_s": 1, "count": 1}'),
        ):
            driver.send(inputs.Thought(reply, LlmToolCall(call)))
        driver.send(inputs.Thought(reply, LlmDone()))
        driver.send(inputs.DigitPressed("1"))
        driver.pass_ms(9000)
        answered(driver, "slow but good", "slow")
        assert tool_messages(driver)[0] == "slow but good"

    def test_two_waits_at_once_end_both(self) -> None:
        driver, reply = asked()
        for id_ in ("a", "b"):
            call = ToolCall(id_, "collect_digits", '{"timeout_s": 2, "count": 1}')
            driver.send(inputs.Thought(reply, LlmToolCall(call)))
        driver.send(inputs.Thought(reply, LlmDone()))
        driver.pass_ms(10_000)
        assert len(driver.of(out.StartLlm)) == 2
        assert_legal(driver.last(out.StartLlm).request.messages)


class TestInterrupted:
    def test_the_result_is_told_at_the_next_turn(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.voice_speaks(reply, done=False)
        driver.heard_ms[reply] = 300
        driver.caller_says("And quickly, please.")
        driver.pass_ms(1000)
        assert tool_messages(driver) == ['{"status": "still running"}']
        current = driver.machine.live_reply
        answered(driver)
        assert driver.machine.live_reply == current, "nothing is said of it unasked"
        driver.full_reply(driver.last(out.StartLlm).reply, "Yes.")
        driver.caller_turn("Well?")
        assert tool_messages(driver) == ['{"open": true}']

    def test_a_reply_that_was_played_while_its_tool_ran_is_over(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.reply_plays(reply)
        answered(driver)
        driver.pass_ms(100)
        assert len(driver.of(out.StartLlm)) == 1
        assert len(driver.events("agent_turn")) == 1

    def test_the_call_ends_while_a_tool_runs(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.send(inputs.StreamClosed("caller_hangup"))
        assert driver.ended
        answered(driver)
        assert len(driver.of(out.StartLlm)) == 1

    def test_the_caller_speaks_while_it_runs_and_only_makes_noise(self) -> None:
        driver, reply = asked()
        driver.model_calls(reply, "lookup")
        driver.caller_speaks(400)
        driver.send(inputs.Heard(SttInterim("")))
        driver.caller_stops()
        driver.final("")
        driver.pass_ms(2000)
        answered(driver)
        assert driver.last(out.StartLlm).reply > reply, "it is thought about again"
        assert_legal(driver.last(out.StartLlm).request.messages)
