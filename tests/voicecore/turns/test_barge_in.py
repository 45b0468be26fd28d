"""The caller speaks over the agent: pause, verdict, giving way or going on."""

import pytest

from tests.support.machine_driver import TEXT, Driver, speaking
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.providers.words import spread_words
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.backchannels import plain
from voicecore.turns.barge_in import LAST_WORDS_MS
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.overlap_pause import GAP_MS, HOLD_MS, LONGEST_GAP_MS
from voicecore.turns.settings import TurnSettings


def interim(driver: Driver, text: str) -> None:
    driver.send(inputs.Heard(SttInterim(text)))


def verdicts(driver: Driver) -> list[str]:
    return [data["verdict"] for data in driver.events("overlap_judged")]


class TestPause:
    def test_comes_after_a_moment_of_sound(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(159)
        assert not driver.of(out.PauseReply)
        driver.send(inputs.SpeechSustained(160))
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]
        assert driver.of(out.WantInterim)
        assert driver.machine.live_reply == reply
        assert not driver.of(out.CancelReply)

    def test_ends_within_its_time_whatever_happens(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(200)
        driver.caller_stops()
        driver.pass_ms(399)
        assert not driver.of(out.ResumeReply)
        driver.pass_ms(1)
        assert driver.of(out.ResumeReply) == [out.ResumeReply(reply, 530)]

    def test_goes_on_at_the_word_or_shortly_before_the_cut(self) -> None:
        driver, reply = speaking()
        word = spread_words(TEXT, 0, 1600)[5]
        driver.heard_ms[reply] = word.start_ms + 10
        driver.caller_speaks(200)
        driver.caller_stops()
        driver.pass_ms(1000)
        assert driver.of(out.ResumeReply) == [out.ResumeReply(reply, word.start_ms)]

    def test_an_agent_that_starts_while_the_caller_speaks_waits(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("When?")
        driver.model_says(reply, TEXT)
        driver.caller_speaks(200)
        driver.voice_speaks(reply)
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]

    def test_a_sound_pauses_once(self) -> None:
        driver, _ = speaking(min_words=2)
        driver.caller_speaks(3000)
        assert len(driver.of(out.PauseReply)) == len(driver.of(out.ResumeReply)) == 1
        driver.caller_stops()
        driver.caller_speaks(200)
        assert len(driver.of(out.PauseReply)) == 2


class TestInterruption:
    @pytest.mark.parametrize("text", ["no", "Wait.", "what about Sunday", "okay but when"])
    def test_words_interrupt_when_the_time_is_up(self, text: str) -> None:
        driver, reply = speaking()
        driver.caller_speaks(200)
        interim(driver, text)
        driver.pass_ms(999)
        assert not verdicts(driver), "the agent is silent: there is time to be sure"
        driver.pass_ms(1)
        assert verdicts(driver) == ["interruption"]
        assert driver.of(out.CancelReply) == [out.CancelReply(reply)]
        assert driver.events("agent_turn")[-1]["ended"] == "interrupted"

    @pytest.mark.parametrize("text", ["no", "Wait.", "what about Sunday", "okay but when"])
    def test_or_at_once_when_they_are_final(self, text: str) -> None:
        driver, reply = speaking()
        driver.caller_speaks(600)
        driver.send(inputs.Heard(SttFinal(text)))
        assert verdicts(driver) == ["interruption"]
        assert driver.of(out.CancelReply) == [out.CancelReply(reply)]

    def test_words_that_come_after_the_resumption_interrupt_too(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(200)
        driver.caller_stops()
        driver.pass_ms(440)
        assert verdicts(driver) == ["noise"]
        driver.final("No, on Sunday.")
        assert verdicts(driver) == ["noise", "interruption"]
        driver.pass_ms(1000)
        assert driver.last(out.StartLlm).request.messages[-1].text == "No, on Sunday."

    def test_a_backchannel_that_goes_on_is_one(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(200)
        interim(driver, "yeah")
        driver.pass_ms(460)
        assert not verdicts(driver), "it is waited for what follows"
        interim(driver, "yeah but on Sunday")
        driver.pass_ms(540)
        assert verdicts(driver) == ["interruption"]

    def test_or_just_a_longer_one(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(200)
        interim(driver, "yeah yeah")
        driver.pass_ms(1000)
        assert not verdicts(driver)
        driver.caller_stops()
        driver.final("Yeah, yeah.")
        driver.pass_ms(LAST_WORDS_MS)
        assert verdicts(driver) == ["backchannel"]
        assert driver.last(out.ResumeReply).reply == reply
        driver.final("But on Sunday?")
        assert verdicts(driver) == ["backchannel", "interruption"]

    def test_long_speech_has_the_floor_until_its_words_come(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(2500)
        assert not driver.of(out.ResumeReply)
        interim(driver, "okay")
        assert not verdicts(driver)
        interim(driver, "okay but on Sunday")
        assert verdicts(driver) == ["interruption"]

    def test_long_noise_gives_it_back(self) -> None:
        driver, reply = speaking()
        driver.caller_says("", for_ms=2500)
        assert verdicts(driver) == ["noise"]
        assert driver.last(out.ResumeReply).reply == reply

    def test_so_does_long_noise_of_which_the_vendor_says_nothing(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(2500)
        driver.caller_stops()
        driver.pass_ms(700)
        assert driver.last(out.ResumeReply).reply == reply

    def test_noise_without_an_end_has_it_for_a_while(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(160 + HOLD_MS - 1)
        assert not driver.of(out.ResumeReply)
        driver.pass_ms(1)
        assert driver.last(out.ResumeReply).reply == reply

    def test_quiet_speech_without_words_does_not(self) -> None:
        driver, _ = speaking(min_above_noise_db=6)
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms in (160, 300, 600):
            driver.pass_ms(200)
            driver.send(inputs.SpeechSustained(for_ms, above_noise_db=5.0))
        driver.pass_ms(500)
        assert verdicts(driver) == ["noise"]

    def test_words_wanted_for_it_are_counted_without_backchannels(self) -> None:
        driver, _ = speaking(min_words=2)
        driver.caller_speaks(600)
        driver.send(inputs.Heard(SttFinal("okay Sunday")))
        assert not verdicts(driver)
        driver.send(inputs.Heard(SttFinal("morning")))
        assert verdicts(driver) == ["interruption"]


class TestBackchannel:
    @pytest.mark.parametrize(
        "text", ["Mm-hm.", "Okay.", "Right, yeah.", "Uh-huh", "I see. Okay.", "No problem."]
    )
    def test_is_ignored_and_the_agent_goes_on(self, text: str) -> None:
        driver, reply = speaking()
        driver.caller_says(text, for_ms=400)
        driver.pass_ms(600)
        assert verdicts(driver) == ["backchannel"]
        assert driver.last(out.ResumeReply).reply == reply
        assert driver.machine.live_reply == reply
        assert driver.events("speech_ignored") == [{"text": text}]

    def test_is_the_answer_to_a_question_that_is_about_to_end(self) -> None:
        driver, reply = speaking("So you would like to come on Sunday at ten?")
        driver.caller_says("Yes.", for_ms=300)
        driver.pass_ms(1000)
        assert driver.events("speech_ignored")
        driver.send(inputs.ReplyPlayed(reply, 1000))
        assert driver.events("caller_turn")[-1]["text"] == "Yes."
        assert driver.last(out.StartLlm).request.messages[-1].text == "Yes."

    def test_is_the_answer_too_where_the_carrier_never_tells_the_end(self) -> None:
        driver, _ = speaking("So you would like to come on Sunday at ten?")
        driver.pass_ms(9300)
        driver.caller_says("Yes.", for_ms=100)
        driver.pass_ms(3000)
        assert driver.events("speech_ignored")
        assert driver.events("caller_turn")[-1]["text"] == "Yes."

    def test_is_no_answer_to_the_question_of_a_later_reply(self) -> None:
        driver, _ = speaking("So you would like to come on Sunday at ten?")
        driver.caller_says("Yes.", for_ms=300)
        driver.pass_ms(700)
        assert driver.events("speech_ignored")
        driver.send(inputs.DigitPressed("1"))
        driver.send(inputs.DigitPressed("#"))
        driver.pass_ms(0)
        driver.model_says(driver.last(out.StartLlm).reply, "Room one?")
        driver.reply_plays(driver.last(out.StartLlm).reply)
        assert [turn["text"] for turn in driver.events("caller_turn")] == ["When?", "DTMF: 1"]

    def test_is_none_long_before_the_end_of_the_question(self) -> None:
        driver, reply = speaking("So you would like to come on Sunday at ten?")
        driver.caller_says("Yes.", for_ms=300)
        driver.pass_ms(4000)
        driver.send(inputs.ReplyPlayed(reply, 1000))
        assert len(driver.events("caller_turn")) == 1

    def test_words_of_the_agents_own_list(self) -> None:
        driver, _ = speaking(never=frozenset({plain("Roger that")}))
        driver.caller_says("Roger that.", for_ms=300)
        driver.pass_ms(GAP_MS)
        assert verdicts(driver) == ["backchannel"]


class TestNoise:
    def test_a_cough_is_over_with_its_empty_text(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(250)
        driver.caller_stops()
        driver.final("")
        assert verdicts(driver) == ["noise"]
        assert driver.last(out.ResumeReply).reply == reply
        assert driver.events("overlap_judged")[0]["paused_ms"] == 290

    def test_an_echo_of_the_agent_does_not_interrupt(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(300)
        interim(driver, "open from nine to")
        driver.pass_ms(400)
        assert verdicts(driver) == ["echo"]

    def test_the_agents_words_much_later_are_the_callers(self) -> None:
        driver, reply = speaking()
        driver.heard_ms[reply] = 1600
        driver.caller_speaks(300)
        interim(driver, "open from nine to")
        driver.pass_ms(900)
        assert verdicts(driver) == ["interruption"]


class TestHollowWords:
    """What a speech-to-text makes of a cough or a murmur."""

    @pytest.mark.parametrize("text", ["You", "So?", "But,", "And then", "I,", "Uh.", "Oh, and"])
    def test_alone_they_are_no_speech(self, text: str) -> None:
        driver, reply = speaking()
        driver.caller_says(text, for_ms=600)
        driver.pass_ms(GAP_MS)
        assert verdicts(driver) in (["noise"], ["backchannel"])
        assert driver.last(out.ResumeReply).reply == reply
        driver.pass_ms(2000)
        assert driver.machine.live_reply == reply

    @pytest.mark.parametrize("text", ["Amen.", "In the month,", "What?"])
    def test_whatever_is_made_of_a_short_sound(self, text: str) -> None:
        driver, reply = speaking()
        driver.caller_says(text, for_ms=400)
        assert not verdicts(driver), "more may be said after a breath"
        driver.pass_ms(2000)
        assert verdicts(driver) == ["noise"]
        assert driver.machine.live_reply == reply
        assert driver.events("speech_ignored") == [{"text": text}]

    def test_a_word_that_always_interrupts_may_be_short(self) -> None:
        driver, _ = speaking()
        driver.caller_says("Stop.", for_ms=300)
        assert verdicts(driver) == ["interruption"]

    @pytest.mark.parametrize("text", ["That makes", "I get", "Okay, sounds good, of"])
    def test_the_beginning_of_a_backchannel_is_one_as_yet(self, text: str) -> None:
        driver, _ = speaking()
        driver.caller_speaks(700)
        interim(driver, text)
        driver.pass_ms(90)
        assert not verdicts(driver)
        driver.caller_stops()
        driver.final("That makes sense. that makes")
        driver.pass_ms(LAST_WORDS_MS)
        assert verdicts(driver) == ["backchannel"]

    def test_a_breath_after_the_first_word_is_no_end(self) -> None:
        driver, _ = speaking()
        driver.caller_says("Okay,", for_ms=300)
        driver.pass_ms(100)
        driver.caller_says("but what about Sunday?", for_ms=1000)
        assert verdicts(driver) == ["interruption"]
        assert not driver.of(out.ResumeReply)

    def test_as_a_beginning_they_give_time(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(700)
        interim(driver, "But I")
        driver.pass_ms(300)
        assert not verdicts(driver)
        interim(driver, "But I meant Sunday")
        driver.pass_ms(200)
        assert verdicts(driver) == ["interruption"]

    def test_a_sentence_of_them_is_one(self) -> None:
        driver, _ = speaking()
        driver.caller_says("But is that for you?", for_ms=700)
        assert verdicts(driver) == ["interruption"]


class TestElsewhere:
    """The caller is known to speak at -20 dB."""

    def sound(self, driver: Driver, loudest_dbfs: float, text: str) -> None:
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms, wait_ms in ((160, 160), (300, 140), (600, 300)):
            driver.pass_ms(wait_ms)
            driver.send(
                inputs.SpeechSustained(for_ms, above_noise_db=20, loudest_dbfs=loudest_dbfs)
            )
        interim(driver, text)
        driver.caller_stops()
        driver.final(text)

    def test_somebody_behind_does_not_even_pause_the_agent(self) -> None:
        driver, reply = speaking()
        self.sound(driver, -38.0, "stop it and come to dinner")
        driver.pass_ms(2000)
        assert not driver.of(out.PauseReply)
        assert driver.machine.live_reply == reply
        assert driver.events("speech_ignored")

    def test_the_caller_turned_away_only_pauses_it(self) -> None:
        driver, reply = speaking()
        self.sound(driver, -33.0, "one second honey")
        assert verdicts(driver) == ["noise"]
        assert driver.last(out.ResumeReply).reply == reply

    def test_somebody_behind_is_known_by_several_short_sounds_too(self) -> None:
        driver, reply = speaking()
        for text in ("Good evening to", "Good evening to today", "Good evening to today's news"):
            driver.send(inputs.SpeechStarted(driver.now_ms))
            driver.pass_ms(200)
            driver.send(inputs.SpeechSustained(200, above_noise_db=20, loudest_dbfs=-33.0))
            driver.caller_stops()
            driver.final(text, revises=True)
        driver.pass_ms(2000)
        assert driver.machine.live_reply == reply
        assert "interruption" not in verdicts(driver)

    def test_the_caller_is_heard_over_a_sound_that_was_judged(self) -> None:
        driver, _ = speaking()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(160)
        driver.send(inputs.SpeechSustained(160, above_noise_db=3, loudest_dbfs=-29.0))
        driver.pass_ms(1000)
        assert verdicts(driver) == ["noise"]
        driver.send(inputs.SpeechSustained(1250, above_noise_db=3, loudest_dbfs=-28.0))
        assert len(driver.events("agent_paused")) == 1
        driver.send(inputs.SpeechSustained(1500, above_noise_db=20, loudest_dbfs=-20.0))
        assert len(driver.events("agent_paused")) == 2
        interim(driver, "Do you also treat children")
        driver.caller_stops()
        driver.final("Do you also treat children?")
        assert verdicts(driver) == ["noise", "interruption"]

    def test_a_caller_who_begins_too_softly_is_heard_as_soon_as_it_shows(self) -> None:
        driver, _ = speaking()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms in (160, 300, 500):
            driver.send(inputs.SpeechSustained(for_ms, loudest_dbfs=-34.0))
        assert verdicts(driver) == ["noise"]
        driver.send(inputs.SpeechSustained(600, loudest_dbfs=-28.0))
        assert len(driver.events("agent_paused")) == 2

    def test_a_caller_who_begins_softly_is_not_talked_over(self) -> None:
        driver, _ = speaking()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms, loudest_dbfs in ((160, -32.0), (300, -32.0), (500, -32.0), (600, -28.0)):
            driver.send(inputs.SpeechSustained(for_ms, loudest_dbfs=loudest_dbfs))
        assert not verdicts(driver)

    def test_somebody_a_little_too_quiet_is_known_by_the_rest_of_the_sound(self) -> None:
        driver, _ = speaking()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms in (160, 300, 500, 600):
            driver.send(inputs.SpeechSustained(for_ms, loudest_dbfs=-32.0))
        assert not verdicts(driver)
        driver.send(inputs.SpeechSustained(750, loudest_dbfs=-32.0))
        assert verdicts(driver) == ["noise"]

    def test_the_caller_is_heard_over_a_murmur_that_was_too_quiet_to_judge(self) -> None:
        driver, _ = speaking()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms in (160, 300, 500, 600, 1000, 1250):
            driver.send(inputs.SpeechSustained(for_ms, above_noise_db=9, loudest_dbfs=-38.0))
        assert not driver.events("agent_paused")
        driver.send(inputs.SpeechSustained(1500, above_noise_db=20, loudest_dbfs=-20.0))
        assert len(driver.events("agent_paused")) == 1

    def test_a_sound_that_goes_on_drops_no_answer(self) -> None:
        driver = Driver(TurnSettings(overlap=OverlapPolicy(), vendor_ends_turns=True))
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms in (160, 300, 500, 600):
            driver.send(inputs.SpeechSustained(for_ms, above_noise_db=20, loudest_dbfs=-20.0))
        driver.pass_ms(2000)
        driver.final("When are you open?", end_of_turn=True)
        reply = driver.last(out.StartLlm).reply
        interim(driver, "the news at nine")
        for for_ms in range(2250, 4001, 250):
            driver.pass_ms(250)
            driver.send(inputs.SpeechSustained(for_ms, above_noise_db=20, loudest_dbfs=-12.0))
        assert driver.machine.live_reply == reply
        assert not driver.of(out.WantInterim)

    def test_a_loud_noise_does_not_make_the_next_sound_the_callers(self) -> None:
        driver, reply = speaking()
        self.sound(driver, -15.0, "")
        driver.pass_ms(1000)
        self.sound(driver, -38.0, "stop it and come to dinner")
        driver.pass_ms(2000)
        assert driver.machine.live_reply == reply

    def test_a_soft_interruption_is_one(self) -> None:
        driver, _ = speaking()
        self.sound(driver, -27.0, "what about Sunday")
        assert verdicts(driver) == ["interruption"]

    def test_a_far_voice_is_no_turn_but_not_for_ever(self) -> None:
        driver, reply = speaking()
        driver.send(inputs.ReplyPlayed(reply, 1600))
        for _ in range(6):
            self.sound(driver, -39.0, "And now the weather.")
            driver.pass_ms(1000)
        assert len(driver.events("speech_ignored")) == 1
        assert driver.events("caller_turn")[1]["text"] == "And now the weather."

    def test_one_quiet_sound_does_not_take_a_turn_away(self) -> None:
        driver, reply = speaking()
        driver.send(inputs.ReplyPlayed(reply, 1600))
        self.sound(driver, -20.0, "I need it for six people tomorrow")
        self.sound(driver, -39.0, "")
        driver.pass_ms(2000)
        assert driver.events("caller_turn")[-1]["text"] == "I need it for six people tomorrow"

    def test_who_became_softer_interrupts_before_long(self) -> None:
        driver, reply = speaking()
        for _ in range(3):
            self.sound(driver, -33.0, "I want to say something")
            driver.pass_ms(1500)
        assert driver.machine.live_reply != reply

    def test_loudness_may_not_matter(self) -> None:
        driver, _ = speaking(quieter_db=60.0)
        self.sound(driver, -40.0, "what about Sunday")
        assert verdicts(driver) == ["interruption"]


class TestSounds:
    def test_bursts_of_one_turn_are_one_speech(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(420)
        driver.caller_stops()
        driver.pass_ms(30)
        driver.final("I would like")
        driver.caller_speaks(450)
        driver.caller_stops()
        driver.final("a refund now")
        assert verdicts(driver) == ["interruption"]

    def test_words_that_the_vad_did_not_hear(self) -> None:
        driver, _ = speaking()
        driver.pass_ms(5000)
        driver.send(inputs.Heard(SttFinal("I would like to speak to a human being please")))
        assert verdicts(driver) == ["interruption"]

    def test_late_text_of_a_murmur_is_the_murmurs(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(450)
        driver.caller_stops()
        driver.pass_ms(1500)
        assert verdicts(driver) == ["noise"]
        driver.send(inputs.Heard(SttFinal("Immuchem and more,")))
        driver.pass_ms(1000)
        assert driver.machine.live_reply == reply

    def test_a_short_word_counts_while_the_agent_waits_for_a_tool(self) -> None:
        driver = Driver()
        reply = driver.caller_turn("Look it up.")
        driver.model_says(reply, "One moment please.", done=False)
        driver.model_calls(reply, "lookup", '{"q": "x"}')
        length_ms = driver.voice_speaks(reply, done=False)
        driver.heard_ms[reply] = length_ms
        driver.pass_ms(2000)
        driver.caller_says("Okay.", for_ms=300)
        driver.pass_ms(1000)
        assert driver.machine.live_reply == reply
        driver.caller_says("Friday.", for_ms=300)
        driver.pass_ms(1000)
        assert driver.events("caller_turn")[-1]["text"] == "Friday."

    def test_noise_before_the_answer_keeps_it_back_for_a_while_only(self) -> None:
        driver = Driver()
        driver.caller_turn("When?")
        driver.caller_speaks(300)
        asked = len(driver.of(out.StartLlm))
        driver.pass_ms(HOLD_MS)
        assert len(driver.of(out.StartLlm)) == asked + 1


class TestProtected:
    NOTICE = "This call is recorded for quality."

    def test_nothing_stops_it(self) -> None:
        driver, reply = speaking(self.NOTICE + " How can I help?", protected=(plain(self.NOTICE),))
        driver.caller_speaks(1500)
        interim(driver, "stop that please")
        driver.send(inputs.DigitPressed("1"))
        assert not driver.of(out.PauseReply)
        assert driver.machine.live_reply == reply

    def test_keys_wait_for_its_end(self) -> None:
        driver, reply = speaking(self.NOTICE + " How can I help?", protected=(plain(self.NOTICE),))
        driver.send(inputs.DigitPressed("1"))
        driver.send(inputs.DigitPressed("#"))
        driver.pass_ms(500)
        assert driver.machine.live_reply == reply
        driver.heard_ms[reply] = 900
        driver.pass_ms(200)
        assert driver.events("caller_turn")[-1]["text"] == "DTMF: 1"

    def test_what_follows_can_be_interrupted(self) -> None:
        driver, reply = speaking(self.NOTICE + " How can I help?", protected=(plain(self.NOTICE),))
        driver.heard_ms[reply] = 700
        driver.caller_speaks(300)
        interim(driver, "stop that please")
        driver.pass_ms(900)
        assert verdicts(driver) == ["interruption"]


class TestKeys:
    def test_a_key_interrupts(self) -> None:
        driver, reply = speaking()
        driver.send(inputs.DigitPressed("1"))
        assert driver.of(out.ClearPlayout) == [out.ClearPlayout(reply)]

    def test_unless_that_is_switched_off(self) -> None:
        driver, reply = speaking(keys_interrupt=False)
        driver.send(inputs.DigitPressed("1"))
        assert driver.machine.live_reply == reply


def test_the_history_has_what_was_heard_before_the_pause() -> None:
    driver, reply = speaking()
    driver.caller_speaks(200)
    driver.send(inputs.Heard(SttFinal("No, stop.")))
    assert [m.text for m in driver.history.messages()][-1] == "We are open from nine to"
    assert driver.events("agent_turn")[-1]["reply"] == reply


class TestGuessedWords:
    """The sound is over, and its final text is late."""

    def test_that_may_interrupt_are_waited_for(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(400)
        interim(driver, "Which, which day")
        driver.caller_stops()
        driver.pass_ms(LAST_WORDS_MS - 1)
        assert verdicts(driver) == []
        driver.final("Which day?")
        assert verdicts(driver) == ["interruption"]
        assert driver.machine.live_reply != reply

    def test_that_would_interrupt_give_way_to_a_final_that_does_not(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(400)
        interim(driver, "No")
        driver.caller_stops()
        driver.pass_ms(LAST_WORDS_MS - 1)
        assert verdicts(driver) == []
        driver.final("Nice.")
        driver.pass_ms(1)
        assert verdicts(driver) == ["backchannel"]
        assert driver.last(out.ResumeReply).reply == reply

    def test_that_would_interrupt_do_where_no_final_comes(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(400)
        interim(driver, "No")
        driver.caller_stops()
        driver.pass_ms(LAST_WORDS_MS)
        assert verdicts(driver) == ["interruption"]

    def test_that_tell_little_are_not(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(400)
        interim(driver, "Amendment")
        driver.caller_stops()
        driver.pass_ms(LONGEST_GAP_MS - (400 - 160) - 200)
        assert verdicts(driver) == ["noise"]

    def test_of_a_long_backchannel_are_enough(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(740)
        interim(driver, "I understand")
        driver.caller_stops(160)
        driver.pass_ms(1)
        assert verdicts(driver) == ["backchannel"]
        assert driver.last(out.ResumeReply).reply == reply


class TestWithinOnePause:
    """Several sounds, one silence of the agent's."""

    def test_sounds_that_never_end_do_not_silence_the_agent_for_ever(self) -> None:
        driver, _ = speaking()
        for _ in range(20):
            driver.caller_speaks(300)
            driver.caller_stops()
            driver.final("")
            driver.pass_ms(40)
            if verdicts(driver):
                break
        assert verdicts(driver) == ["noise"]
        paused_ms = driver.events("overlap_judged")[0]["paused_ms"]
        assert paused_ms <= 5000

    def test_a_second_sound_that_ends_late_gets_a_moment_more(self) -> None:
        driver, _ = speaking()
        driver.caller_says("Perfect.", for_ms=300)
        driver.caller_says("Thank you.", for_ms=500)
        assert not verdicts(driver)
        driver.pass_ms(100)
        driver.caller_says("Can I bring my daughter?", for_ms=900)
        driver.pass_ms(500)
        assert verdicts(driver) == ["interruption"]
        assert not driver.of(out.ResumeReply)

    def test_words_that_are_there_end_the_pause_sooner(self) -> None:
        def paused_ms(text: str | None) -> int:
            driver, _ = speaking()
            driver.caller_speaks(300)
            driver.caller_stops()
            if text is not None:
                driver.final(text)
            driver.pass_ms(1000)
            found: int = driver.events("overlap_judged")[0]["paused_ms"]
            return found

        assert paused_ms("Okay.") == 580
        assert paused_ms(None) == 640

    def test_a_guess_at_its_beginning_does_not_end_a_long_sound(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(700)
        interim(driver, "Yeah")
        driver.pass_ms(1000)
        driver.caller_stops()
        driver.pass_ms(80)
        driver.final("Yeah but I was asking for Sunday")
        assert verdicts(driver) == ["interruption"]

    def test_the_loudest_sound_of_a_pause_counts_for_all(self) -> None:
        driver, _ = speaking()
        for loudest_dbfs in (-20.0, -34.0):
            driver.send(inputs.SpeechStarted(driver.now_ms))
            for for_ms, wait_ms in ((200, 200), (300, 100), (600, 300)):
                driver.pass_ms(wait_ms)
                driver.send(
                    inputs.SpeechSustained(for_ms, above_noise_db=20, loudest_dbfs=loudest_dbfs)
                )
            driver.caller_stops()
        assert not verdicts(driver)
