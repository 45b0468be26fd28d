"""The turn machine on a clock that is only a number: no loop, no waiting."""

import pytest

from tests.support.machine_driver import Driver, after
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmText
from voicecore.providers.stt import SttEager, SttFailed, SttFinal, SttInterim, SttResumed
from voicecore.providers.words import Word
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.settings import TurnSettings

RETRYABLE = VendorError("x", "disconnected", "", retryable=True)
COUNTING = "One two three four five six seven eight."
FATAL = VendorError("x", "auth_failed", "", retryable=False)


def texts(driver: Driver) -> list[tuple[str, str]]:
    return [(m.role, m.text) for m in driver.history.messages() if m.role != "system"]


class TestTurn:
    def test_greeting_is_spoken_first(self) -> None:
        driver = Driver(TurnSettings(greeting="Hello there."))
        assert driver.last(out.SayPhrase) == out.SayPhrase(1, "Hello there.")
        driver.reply_plays(1)
        assert texts(driver) == [("assistant", "Hello there.")]

    def test_a_turn_is_decided_after_final_text_and_silence(self) -> None:
        driver = Driver(TurnSettings(endpointing=after(400)))
        driver.caller_says("What are your hours?")
        assert not driver.of(out.StartLlm)
        driver.pass_ms(199)
        assert not driver.of(out.StartLlm)
        driver.pass_ms(1)
        request = driver.last(out.StartLlm).request
        assert request.messages[-1].text == "What are your hours?"

    def test_speech_to_text_is_told_to_finish_when_speech_stops(self) -> None:
        driver = Driver()
        driver.send(inputs.SpeechStarted(0))
        driver.pass_ms(500)
        assert not driver.of(out.FinalizeStt)
        driver.caller_stops()
        assert len(driver.of(out.FinalizeStt)) == 1

    def test_a_pause_inside_the_turn_does_not_end_it(self) -> None:
        driver = Driver(TurnSettings(endpointing=after(600)))
        driver.caller_says("My number is")
        driver.pass_ms(200)
        driver.caller_says("five five five.")
        driver.pass_ms(600)
        assert driver.last(out.StartLlm).request.messages[-1].text == "My number is five five five."
        assert len(driver.of(out.StartLlm)) == 1

    def test_late_final_text_is_replaced_by_the_interim(self) -> None:
        driver = Driver(TurnSettings(flush_timeout_ms=700))
        driver.send(inputs.SpeechStarted(0))
        driver.send(inputs.Heard(SttInterim("are you open")))
        driver.pass_ms(1000)
        driver.caller_stops()
        driver.pass_ms(699)
        assert not driver.of(out.StartLlm)
        driver.pass_ms(1)
        assert driver.last(out.StartLlm).request.messages[-1].text == "are you open"
        driver.final("Are you open?")
        driver.pass_ms(2000)
        assert len(driver.of(out.StartLlm)) == 1, "the words are not answered twice"

    def test_noise_without_words_is_no_turn(self) -> None:
        driver = Driver()
        driver.send(inputs.SpeechStarted(0))
        driver.pass_ms(300)
        driver.caller_stops()
        driver.pass_ms(3000)
        assert not driver.of(out.StartLlm)

    def test_words_that_the_vad_missed_are_answered(self) -> None:
        driver = Driver()
        driver.send(inputs.Heard(SttFinal("yes")))
        driver.pass_ms(1000)
        assert driver.last(out.StartLlm).request.messages[-1].text == "yes"

    def test_vendor_that_ends_turns_is_believed(self) -> None:
        driver = Driver(
            TurnSettings(
                endpointing=after(2000),
                vendor_ends_turns=True,
            )
        )
        driver.send(inputs.SpeechStarted(0))
        driver.pass_ms(1000)
        driver.send(inputs.Heard(SttFinal("Hi.", end_of_turn=True, flushed=True)))
        assert driver.of(out.StartLlm)

    def test_vendor_that_ends_turns_may_take_its_time(self) -> None:
        driver = Driver(
            TurnSettings(
                endpointing=after(400),
                vendor_ends_turns=True,
            )
        )
        driver.caller_speaks(1000)
        driver.send(inputs.Heard(SttInterim("my number is")))
        driver.caller_stops()
        driver.pass_ms(3999)
        assert not driver.of(out.StartLlm)
        driver.pass_ms(1)
        assert driver.last(out.StartLlm).request.messages[-1].text == "my number is"

    def test_noise_behind_the_words_does_not_hold_the_answer_back_for_ever(self) -> None:
        driver = Driver()
        driver.send(inputs.SpeechStarted(0))
        driver.send(inputs.SpeechSustained(300))
        driver.pass_ms(1000)
        driver.send(inputs.Heard(SttFinal("What are your hours?")))
        driver.pass_ms(9_999)
        assert not driver.of(out.StartLlm)
        driver.pass_ms(1)
        assert driver.last(out.StartLlm).request.messages[-1].text == "What are your hours?"

    def test_a_long_winded_caller_is_not_stuck(self) -> None:
        driver = Driver()
        driver.send(inputs.SpeechStarted(0))
        for number in range(12):
            driver.pass_ms(5000)
            driver.send(inputs.Heard(SttFinal(f"part {number}")))
        assert not driver.of(out.StartLlm)

    def test_noise_without_words_counts_as_silence(self) -> None:
        driver = Driver(TurnSettings(ask_after_ms=8000))
        driver.send(inputs.SpeechStarted(0))
        driver.pass_ms(20_000 + 8000)
        assert driver.last(out.SayPhrase).text == "Are you still there?"

    def test_sentences_are_spoken_as_they_come(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We open at ni", "ne. And we ", done=False)
        assert [s.text for s in driver.of(out.Say)] == ["We open at nine."]
        driver.model_says(reply, "close at five.")
        assert [s.text for s in driver.of(out.Say)][-1] == "And we close at five."
        assert driver.of(out.FinishSaying) == [out.FinishSaying(reply)]

    def test_latencies_count_from_the_end_of_speech(self) -> None:
        driver = Driver(TurnSettings(endpointing=after(400)))
        driver.caller_says("Hello?", for_ms=1000)
        driver.pass_ms(200)
        reply = driver.last(out.StartLlm).reply
        driver.pass_ms(150)
        driver.model_says(reply, "Hi.")
        driver.pass_ms(100)
        driver.reply_plays(reply)
        (latency,) = driver.events("turn_latency")
        assert latency == {
            "reply": reply,
            "speech_end": 0,
            "turn_decided": 400,
            "stt_final": 200,
            "llm_first_token": 550,
            "first_sentence": 550,
            "tts_first_audio": 650,
            "first_byte": 650,
        }


class TestInterruption:
    def speaking(
        self, text: str = "One two three four five six seven eight."
    ) -> tuple[Driver, int]:
        driver = Driver()
        reply = driver.caller_turn("Count.")
        driver.model_says(reply, text)
        driver.voice_speaks(reply)
        return driver, reply

    def test_speech_that_lasts_ends_the_reply(self) -> None:
        driver, reply = self.speaking()
        driver.pass_ms(450)
        driver.heard_ms[reply] = 450
        driver.caller_speaks(600)
        assert not driver.of(out.ClearPlayout)
        driver.send(inputs.Heard(SttInterim("what about")))
        driver.pass_ms(600)
        assert driver.of(out.ClearPlayout) == [out.ClearPlayout(reply)]
        assert driver.of(out.CancelReply) == [out.CancelReply(reply)]

    def test_history_keeps_only_what_was_heard(self) -> None:
        driver, reply = self.speaking()
        driver.heard_ms[reply] = 310
        driver.caller_says("Stop.", for_ms=500)
        driver.pass_ms(1000)
        assert texts(driver) == [
            ("user", "Count."),
            ("assistant", "One two three"),
            ("user", "Stop."),
        ]

    def test_transcript_marks_each_word(self) -> None:
        driver, reply = self.speaking("One two three four.")
        driver.heard_ms[reply] = 250
        driver.caller_says("Stop.", for_ms=500)
        words = driver.events("agent_turn")[-1]["words"]
        heard = [word.heard for word in words]
        assert heard[0] is True
        assert heard[-1] is False
        assert heard.count("cut") == 1

    def test_nothing_heard_leaves_no_trace(self) -> None:
        driver, _ = self.speaking()
        driver.caller_says("Wait.", for_ms=500)
        driver.pass_ms(1000)
        assert texts(driver) == [("user", "Count. Wait.")]

    def test_short_noise_does_not_stop_the_agent(self) -> None:
        driver, reply = self.speaking()
        driver.pass_ms(200)
        driver.caller_speaks(100)
        driver.caller_stops()
        driver.final("")
        driver.pass_ms(400)
        assert not driver.of(out.ClearPlayout)
        assert driver.machine.live_reply == reply

    def test_short_speech_with_words_takes_the_floor(self) -> None:
        driver, reply = self.speaking()
        driver.heard_ms[reply] = 200
        driver.caller_speaks(80)
        driver.caller_stops()
        driver.final("No, stop.")
        driver.pass_ms(400)
        assert driver.of(out.ClearPlayout)
        assert driver.last(out.StartLlm).request.messages[-1].text == "No, stop."

    def test_a_murmur_is_ignored(self) -> None:
        driver, _ = self.speaking()
        driver.caller_speaks(80)
        driver.caller_stops()
        driver.final("Mm-hm.")
        driver.pass_ms(400)
        assert not driver.of(out.ClearPlayout)
        assert driver.events("speech_ignored") == [{"text": "Mm-hm."}]

    def test_wanted_words_hold_the_interruption_back(self) -> None:
        driver = Driver(TurnSettings(overlap=OverlapPolicy(min_words=2)))
        reply = driver.caller_turn("Count.")
        driver.model_says(reply, "One two three four five six.")
        driver.voice_speaks(reply)
        driver.caller_speaks(600)
        assert not driver.of(out.ClearPlayout)
        driver.send(inputs.Heard(SttInterim("please stop")))
        driver.pass_ms(600)
        assert driver.of(out.ClearPlayout)

    def test_going_on_before_the_answer_joins_the_turns(self) -> None:
        driver = Driver(TurnSettings(endpointing=after(300)))
        driver.caller_says("What are your hours")
        driver.pass_ms(200)
        first = driver.last(out.StartLlm).reply
        driver.caller_says("on Sunday?")
        driver.pass_ms(300)
        assert out.CancelReply(first) in driver.outputs
        assert driver.last(out.StartLlm).request.messages[-1].text == (
            "What are your hours on Sunday?"
        )
        assert not driver.of(out.ClearPlayout), "nothing was playing"

    def test_output_of_a_cancelled_reply_is_dropped(self) -> None:
        driver, reply = self.speaking()
        driver.caller_says("Stop.", for_ms=500)
        before = len(driver.of(out.Say))
        driver.model_says(reply, "Nine. Ten.", done=False)
        driver.send(inputs.ThoughtFailed(reply, RETRYABLE))
        driver.send(inputs.SpeechFailed(reply, RETRYABLE))
        driver.send(inputs.ReplyPlayed(reply, 800))
        assert len(driver.of(out.Say)) == before

    def test_interruption_can_be_switched_off(self) -> None:
        driver = Driver(TurnSettings(overlap=OverlapPolicy(enabled=False)))
        reply = driver.caller_turn("Count.")
        driver.model_says(reply, "One two three four five.")
        driver.voice_speaks(reply)
        driver.caller_says("Please stop that now.", for_ms=1500)
        driver.pass_ms(1000)
        assert not driver.of(out.ClearPlayout)


class TestEnds:
    def test_silence_asks_then_says_goodbye(self) -> None:
        settings = TurnSettings(ask_after_ms=8000, max_asks=2)
        driver = Driver(settings)
        for number in (1, 2):
            driver.pass_ms(8000)
            assert driver.last(out.SayPhrase).reply == number
            driver.reply_plays(number)
        driver.pass_ms(8000)
        assert driver.last(out.SayPhrase).text == settings.phrases.goodbye
        driver.reply_plays(3)
        assert driver.last(out.HangUp) == out.HangUp("silence")
        assert driver.ended

    def test_speech_resets_the_questions(self) -> None:
        driver = Driver(TurnSettings(ask_after_ms=8000, max_asks=1))
        driver.pass_ms(8000)
        driver.reply_plays(1)
        reply = driver.caller_turn("Yes, sorry.")
        driver.full_reply(reply, "Fine.")
        driver.pass_ms(8000)
        assert driver.last(out.SayPhrase).text == "Are you still there?"

    def test_maximum_duration_ends_the_call_with_a_sentence(self) -> None:
        settings = TurnSettings(max_duration_ms=60_000, ask_after_ms=600_000)
        driver = Driver(settings)
        driver.pass_ms(60_000)
        assert driver.last(out.SayPhrase).text == settings.phrases.wrap_up
        driver.reply_plays(1)
        assert driver.last(out.HangUp) == out.HangUp("max_duration")

    def test_a_farewell_cannot_be_interrupted(self) -> None:
        driver = Driver(TurnSettings(max_duration_ms=10_000))
        driver.pass_ms(10_000)
        farewell = driver.last(out.SayPhrase).reply
        driver.voice_speaks(farewell)
        driver.caller_says("But wait, I have another question!", for_ms=2000)
        driver.pass_ms(500)
        assert not driver.of(out.ClearPlayout)
        driver.send(inputs.ReplyPlayed(farewell, 800))
        assert driver.ended

    def test_caller_hangs_up_while_the_agent_speaks(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Count.")
        driver.model_says(reply, "One two three.")
        driver.voice_speaks(reply)
        driver.heard_ms[reply] = 110
        driver.send(inputs.StreamClosed("caller_hangup"))
        assert driver.ended
        assert driver.events("call_ended") == [{"reason": "caller_hangup"}]
        assert driver.events("agent_turn")[-1]["heard_text"] == "One"
        assert driver.machine.next_deadline() is None

    def test_nothing_happens_after_the_end(self) -> None:
        driver = Driver()
        driver.send(inputs.StreamClosed("caller_hangup"))
        before = list(driver.outputs)
        driver.caller_says("Hello?")
        driver.pass_ms(100_000)
        assert driver.outputs == before

    def test_polite_end_from_outside(self) -> None:
        driver = Driver()
        driver.send(inputs.EndRequested("drain"))
        driver.reply_plays(driver.last(out.SayPhrase).reply)
        assert driver.last(out.HangUp) == out.HangUp("drain")


class TestFailures:
    def test_model_that_fails_once_is_excused(self) -> None:
        settings = TurnSettings()
        driver = Driver(settings)
        reply = driver.caller_turn("Hello?")
        driver.send(inputs.ThoughtFailed(reply, RETRYABLE))
        apology = driver.last(out.SayPhrase)
        assert apology.text == settings.phrases.apology
        driver.reply_plays(apology.reply)
        assert not driver.ended

    def test_model_that_fails_twice_ends_the_call_with_the_fallback(self) -> None:
        settings = TurnSettings()
        driver = Driver(settings)
        for _ in range(2):
            reply = driver.caller_turn("Hello?")
            driver.send(inputs.ThoughtFailed(reply, RETRYABLE))
            driver.reply_plays(driver.last(out.SayPhrase).reply)
        assert driver.last(out.SayPhrase).text == settings.phrases.fallback
        assert driver.last(out.HangUp) == out.HangUp("llm_failed")

    def test_wrong_key_ends_the_call_at_once(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.send(inputs.ThoughtFailed(reply, FATAL))
        driver.reply_plays(driver.last(out.SayPhrase).reply)
        assert driver.last(out.HangUp) == out.HangUp("llm_failed")

    def test_model_that_never_answers(self) -> None:
        driver = Driver(TurnSettings(first_token_timeout_ms=5000))
        reply = driver.caller_turn("Hello?")
        driver.pass_ms(5000)
        assert out.StopLlm(reply) in driver.outputs
        assert driver.of(out.SayPhrase)

    def test_model_that_stalls_in_mid_answer_finishes_what_it_said(self) -> None:
        driver = Driver(TurnSettings(stall_timeout_ms=4000))
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We are open. And", done=False)
        driver.pass_ms(4000)
        assert out.FinishSaying(reply) in driver.outputs
        driver.reply_plays(reply)
        assert texts(driver)[-1] == ("assistant", "We are open.")

    def test_empty_answer_is_a_failure(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "  ")
        assert driver.events("vendor_failed")[-1]["code"] == "garbage"
        assert driver.of(out.SayPhrase)

    def test_voice_that_fails_before_audio_is_opened_again(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We are open.")
        driver.send(inputs.SpeechFailed(reply, RETRYABLE))
        index = driver.outputs.index(out.RestartVoice(reply))
        again = driver.outputs[index + 1 :]
        assert again == [out.Say(reply, "We are open."), out.FinishSaying(reply)]

    def test_voice_that_fails_again_ends_the_call(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We are open.")
        driver.send(inputs.SpeechFailed(reply, RETRYABLE))
        driver.send(inputs.SpeechFailed(reply, RETRYABLE))
        fallback = driver.last(out.SayPhrase)
        driver.send(inputs.SpeechFailed(fallback.reply, FATAL))
        assert driver.last(out.HangUp) == out.HangUp("tts_failed")

    def test_voice_that_never_speaks(self) -> None:
        driver = Driver(TurnSettings(first_audio_timeout_ms=3000))
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We are open.")
        driver.pass_ms(3000)
        assert out.RestartVoice(reply) in driver.outputs

    def test_mark_that_never_comes_does_not_wedge(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        driver.model_says(reply, "We are open.")
        driver.voice_speaks(reply)
        driver.pass_ms(11_000)
        assert driver.machine.live_reply != reply

    def test_speech_to_text_is_reopened_twice_at_most(self) -> None:
        driver = Driver()
        for _ in range(3):
            driver.send(inputs.Heard(SttFailed(RETRYABLE)))
        assert len(driver.of(out.ReopenStt)) == 2
        driver.reply_plays(driver.last(out.SayPhrase).reply)
        assert driver.last(out.HangUp) == out.HangUp("stt_failed")

    def test_the_last_sentence_outlives_the_speech_to_text(self) -> None:
        settings = TurnSettings()
        driver = Driver(settings)
        reply = driver.caller_turn("Hello?")
        driver.send(inputs.ThoughtFailed(reply, FATAL))
        fallback = driver.last(out.SayPhrase)
        assert fallback.text == settings.phrases.fallback
        for error in (FATAL, RETRYABLE):  # the network that took the model takes this too
            driver.send(inputs.Heard(SttFailed(error)))
        assert driver.machine.live_reply == fallback.reply
        driver.reply_plays(fallback.reply)
        assert driver.last(out.HangUp) == out.HangUp("llm_failed")

    @pytest.mark.parametrize("name", ["agent_turn", "call_ended"])
    def test_each_reply_and_the_call_end_once(self, name: str) -> None:
        driver = Driver(TurnSettings(greeting="Hello."))
        driver.reply_plays(1)
        reply = driver.caller_turn("Hello?")
        driver.full_reply(reply, "Hi.")
        driver.send(inputs.ReplyPlayed(reply, 100))
        driver.send(inputs.StreamClosed("caller_hangup"))
        driver.send(inputs.StreamClosed("caller_hangup"))
        assert len(driver.events(name)) == {"agent_turn": 2, "call_ended": 1}[name]

    def test_an_endless_answer_is_cut(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Hello?")
        for _ in range(1000):
            driver.send(inputs.Thought(reply, LlmText("word " * 100)))
        said = sum(len(s.text) for s in driver.of(out.Say))
        assert said < 50_000
        assert out.StopLlm(reply) in driver.outputs

    def test_endless_keys_are_bounded(self) -> None:
        driver = Driver()
        for _ in range(1000):
            driver.send(inputs.DigitPressed("1"))
        driver.pass_ms(3000)
        assert len(driver.events("caller_turn")[-1]["text"]) < 200


def test_whatever_the_speech_to_text_says_is_an_event() -> None:
    driver = Driver()
    word = Word("Hi.", 10, 200)
    driver.send(inputs.Heard(SttInterim("hi", 0.714)))
    driver.send(inputs.Heard(SttEager("hi.")))
    driver.send(inputs.Heard(SttResumed()))
    driver.send(inputs.Heard(SttFinal("Hi.", (word,), end_of_turn=True, flushed=True)))
    final = {
        "text": "Hi.",
        "words": (word,),
        "end_of_turn": True,
        "flushed": True,
        "revises": False,
    }
    assert driver.events("stt_result") == [
        {"kind": "interim", "text": "hi", "confidence": 0.714},
        {"kind": "eager", "text": "hi.", "confidence": 1.0},
        {"kind": "resumed"},
        {"kind": "final", **final, "confidence": 1.0},
    ]
