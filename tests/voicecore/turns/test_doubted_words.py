"""Sounds over the agent whose words the speech-to-text is not sure of, and when such a sound, or a
word that only says that somebody listens, is over."""

import pytest

from tests.support.machine_driver import Driver, speaking
from voicecore.providers.stt import SttEager, SttInterim
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.barge_in import NO_MORE_MS, SPEECH_MS
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.listening import NOISE_MS, SAME_MS
from voicecore.turns.overlap import LONG_MS, WILD_CONFIDENCE, OverlapPolicy
from voicecore.turns.overlap_pause import GAP_MS, LONGEST_GAP_MS, MOST_QUIET_MS
from voicecore.turns.settings import TurnSettings

PAUSE_MS = 160
"""How soon the driver's caller makes the agent pause."""


def guess(driver: Driver, text: str, confidence: float) -> None:
    driver.send(inputs.Heard(SttInterim(text, confidence)))


def verdicts(driver: Driver) -> list[tuple[str, int]]:
    judged = driver.events("overlap_judged")
    return [(data["verdict"], data["paused_ms"]) for data in judged]


@pytest.mark.parametrize(("confidence", "verdict"), [(0.59, "noise"), (0.6, "interruption")])
def test_words_that_are_not_certain_do_not_interrupt(confidence, verdict) -> None:
    driver, _ = speaking()
    driver.caller_speaks(900)
    driver.caller_stops()
    driver.final("So that we are going to go.", confidence=confidence)
    driver.pass_ms(1)
    assert [what for what, _ in verdicts(driver)] == [verdict]


def test_how_certain_they_have_to_be_is_the_agents_choice() -> None:
    driver, _ = speaking(min_confidence=0.2)
    driver.caller_speaks(900)
    driver.caller_stops()
    driver.final("So that we are going to go.", confidence=0.3)
    assert [what for what, _ in verdicts(driver)] == ["interruption"]


@pytest.mark.parametrize(
    ("confidence", "verdict"), [(WILD_CONFIDENCE, "interruption"), (0.39, "noise")]
)
def test_a_long_sound_is_believed_sooner(confidence: float, verdict: str) -> None:
    driver, _ = speaking()
    driver.caller_speaks(LONG_MS)
    driver.caller_stops()
    driver.final("And then the bad line began to speak.", confidence=confidence)
    driver.pass_ms(1)
    assert [what for what, _ in verdicts(driver)] == [verdict]


def test_certain_words_count_beside_others() -> None:
    driver, _ = speaking()
    driver.caller_speaks(700)
    driver.caller_stops()
    driver.final("Thank you very much for this.", confidence=0.3)
    driver.caller_speaks(700)
    driver.caller_stops()
    driver.final("But tell me the price.", confidence=0.9)
    assert verdicts(driver)[-1][0] == "interruption"


def test_nobody_waits_for_the_end_of_a_sound_that_brings_wild_guesses_only() -> None:
    driver, reply = speaking()
    driver.caller_speaks(500)
    guess(driver, "So that", 0.26)
    driver.pass_ms(100)
    guess(driver, "So that's what I", 0.39)
    driver.pass_ms(1000)
    assert verdicts(driver) == [("noise", GAP_MS)]
    assert driver.of(out.ResumeReply)
    assert driver.machine.live_reply == reply


def test_a_wild_guess_at_the_beginning_says_nothing_of_what_came_after() -> None:
    """A slow speech-to-text: nothing newer is known when it has to be decided."""
    driver, _ = speaking()
    driver.caller_speaks(320)
    guess(driver, "So, you know, I'm going to go", 0.24)
    driver.pass_ms(400)
    driver.send(inputs.SpeechSustained(750))
    driver.pass_ms(300)
    assert not verdicts(driver)
    driver.caller_stops()
    driver.final("Got it. Can we book that now?", confidence=0.9)
    assert [what for what, _ in verdicts(driver)] == ["interruption"]
    assert not driver.of(out.ResumeReply)


@pytest.mark.parametrize(
    "guesses",
    [
        [("Pardon", 0.51), ("Bardan, Piggy", 0.32)],
        [("The four,", 0.13), ("The four.", 0.37), ("The four E. V", 0.38)],
        [("So, so", 0.11), ("Hold on,", 0.17), ("Hold on,", 0.35)],
        [("Yeah,", 0.7), ("Yeah, but it", 0.3)],
    ],
)
def test_guesses_that_are_sure_or_stay_the_same_keep_the_agent_silent(guesses) -> None:
    driver, _ = speaking()
    driver.caller_speaks(500)
    for text, confidence in guesses:
        guess(driver, text, confidence)
    driver.pass_ms(1000)
    assert not verdicts(driver)


@pytest.mark.parametrize(
    "guesses",
    [
        [("Mm-", 0.38), ("Yeah, but it", 0.27), ("So that we've", 0.2), ("So,", 0.22)],
        [("So,", 0.24), ("You're", 0.22), ("Yeah.", 0.32), ("Yeah, yeah, yeah", 0.35)],
        [("Yeah.", 0.46), ("S.", 0.24), ("S.", 0.23)],
        [("If.", 0.29), ("You're", 0.21), ("If it is.", 0.35), ("If it's a", 0.34)],
    ],
)
def test_words_that_say_nothing_may_come_again(guesses) -> None:
    driver, _ = speaking()
    driver.caller_speaks(500)
    for text, confidence in guesses:
        guess(driver, text, confidence)
    driver.pass_ms(1000)
    assert [what for what, _ in verdicts(driver)] == ["noise"]


def test_a_guess_at_the_very_beginning_tells_nothing() -> None:
    driver, _ = speaking()
    driver.caller_speaks(200)
    guess(driver, "Good, good", 0.9)
    driver.pass_ms(300)
    guess(driver, "So that's what I", 0.2)
    driver.pass_ms(1000)
    assert verdicts(driver) == [("noise", GAP_MS)]


def test_words_that_come_after_all_interrupt_the_agent_that_went_on() -> None:
    driver, _ = speaking()
    driver.caller_speaks(500)
    guess(driver, "So", 0.2)
    driver.pass_ms(400)
    assert driver.of(out.ResumeReply)
    guess(driver, "Sorry, what about the price", 0.9)
    assert [what for what, _ in verdicts(driver)] == ["noise", "interruption"]


def test_a_sound_without_any_word_keeps_the_floor() -> None:
    driver, _ = speaking()
    driver.caller_speaks(1500)
    assert not verdicts(driver)


def test_a_question_is_not_answered_by_a_cough_before_its_end() -> None:
    driver, reply = speaking("Would you like to come on Friday?")
    driver.caller_speaks(300)
    driver.caller_stops()
    driver.final("Yes.", confidence=0.3)
    driver.pass_ms(1000)
    driver.send(inputs.ReplyPlayed(reply, 700))
    driver.pass_ms(100)
    assert len(driver.events("caller_turn")) == 1


def test_a_guess_is_one_though_the_text_of_the_sound_before_came_meanwhile() -> None:
    driver, _ = speaking()
    driver.caller_speaks(200)
    driver.caller_stops(160)
    driver.caller_speaks(300)
    driver.final("Okay.")
    guess(driver, "No, no", 0.63)
    assert not verdicts(driver)
    driver.pass_ms(100)
    driver.caller_stops(160)
    driver.final("Okay.")
    driver.pass_ms(500)
    assert [what for what, _ in verdicts(driver)] == ["backchannel"]


@pytest.mark.parametrize(("for_ms", "wanted"), [(750, 1), (2000, 1), (2250, 0)])
def test_guesses_are_wanted_while_a_sound_is_not_long(for_ms: int, wanted: int) -> None:
    driver, _ = speaking()
    driver.caller_speaks(600)
    before = len(driver.of(out.WantInterim))
    driver.send(inputs.SpeechSustained(for_ms))
    assert len(driver.of(out.WantInterim)) == before + wanted


class TestPerhapsOver:
    def test_a_backchannel_that_sounds_over_ends_the_pause(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "I understand.", 0.9)
        driver.ear.stops = True
        driver.pass_ms(1000)
        assert verdicts(driver) == [("backchannel", GAP_MS)]

    def test_but_not_where_the_vendor_has_put_a_comma(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "Okay,", 0.9)
        driver.ear.stops = True
        driver.pass_ms(1000)
        assert not verdicts(driver)

    def test_one_that_goes_on_may_become_more(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "Yeah,", 0.9)
        driver.pass_ms(500)
        assert not verdicts(driver)
        guess(driver, "Yeah, but the price", 0.9)
        driver.pass_ms(1000)
        assert [what for what, _ in verdicts(driver)] == ["interruption"]

    def test_it_is_looked_at_again_until_it_is_over(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "I understand.", 0.9)
        driver.pass_ms(PAUSE_MS + GAP_MS + 20 - 600)
        assert not verdicts(driver)
        driver.ear.stops = True
        driver.pass_ms(40)
        assert [what for what, _ in verdicts(driver)] == ["backchannel"]

    def test_nothing_is_gained_by_haste_once_the_silence_is_long(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "Okay.", 0.9)
        driver.pass_ms(PAUSE_MS + LONGEST_GAP_MS + 40 - 600)
        driver.ear.stops = True
        driver.pass_ms(100)
        assert not verdicts(driver)
        guess(driver, "Okay, but the price", 0.9)
        driver.pass_ms(1000)
        assert [what for what, _ in verdicts(driver)] == ["interruption"]

    def test_new_guesses_that_say_no_more_end_the_wait(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(600)
        guess(driver, "Okay.", 0.9)
        driver.pass_ms(PAUSE_MS + SPEECH_MS - 601)
        guess(driver, "Okay, okay.", 0.9)
        assert not verdicts(driver)
        driver.pass_ms(1)
        guess(driver, "Okay.", 0.9)
        driver.pass_ms(NO_MORE_MS)
        assert not verdicts(driver)
        guess(driver, "Okay.", 0.9)
        assert verdicts(driver) == [("backchannel", SPEECH_MS + NO_MORE_MS)]

    @pytest.mark.parametrize(("text", "confidence"), [("Okay,", 0.9), ("See that.", 0.2)])
    def test_of_a_second_sound_too_little_is_known(self, text: str, confidence: float) -> None:
        driver, _ = speaking()
        driver.caller_speaks(200)
        driver.caller_stops(160)
        driver.caller_speaks(300)
        guess(driver, text, confidence)
        driver.ear.stops = True
        driver.pass_ms(500)
        assert not verdicts(driver)


class TestOwnSilence:
    @pytest.mark.parametrize("quiet_ms", [40, 100, 300])
    def test_of_the_agent_counts_as_the_pauses(self, quiet_ms: int) -> None:
        driver, reply = speaking()
        driver.caller_speaks(PAUSE_MS)
        driver.send(inputs.ReplyPaused(reply, quiet_ms))
        driver.caller_stops()
        driver.final("Mm-hmm.")
        driver.pass_ms(1000)
        assert verdicts(driver) == [("backchannel", GAP_MS - min(quiet_ms, MOST_QUIET_MS))]

    def test_of_another_reply_does_not(self) -> None:
        driver, reply = speaking()
        driver.caller_speaks(PAUSE_MS)
        driver.send(inputs.ReplyPaused(reply + 1, 100))
        driver.caller_stops()
        driver.final("Mm-hmm.")
        driver.pass_ms(1000)
        assert verdicts(driver) == [("backchannel", GAP_MS)]


class TestPerhapsAgain:
    @staticmethod
    def after_a_word() -> Driver:
        driver, _ = speaking()
        driver.caller_speaks(300)
        driver.caller_stops()
        driver.final("Okay.")
        driver.ear.begins = True
        driver.pass_ms(PAUSE_MS + GAP_MS + 40 - 500)
        assert not verdicts(driver)
        return driver

    def test_the_agent_does_not_go_on_while_the_caller_perhaps_begins(self) -> None:
        driver = self.after_a_word()
        driver.ear.begins = False
        driver.caller_says("But how long will that take?", for_ms=900)
        driver.pass_ms(1)
        assert [what for what, _ in verdicts(driver)] == ["interruption"]
        assert not driver.of(out.ResumeReply)

    def test_it_goes_on_when_it_was_a_click(self) -> None:
        driver = self.after_a_word()
        driver.ear.begins = False
        driver.pass_ms(20)
        assert [what for what, _ in verdicts(driver)] == ["backchannel"]

    def test_or_when_that_lasts(self) -> None:
        driver = self.after_a_word()
        driver.pass_ms(60)
        assert [what for what, _ in verdicts(driver)] == ["backchannel"]


def test_a_pause_asks_for_one_guess() -> None:
    driver, _ = speaking()
    driver.caller_speaks(PAUSE_MS)
    assert len(driver.of(out.WantInterim)) == 1


def test_a_sound_that_is_not_the_callers_is_not_guessed_at() -> None:
    driver, _ = speaking()
    driver.send(inputs.SpeechStarted(driver.now_ms))
    driver.send(inputs.SpeechSustained(600, 20.0, -20.0))
    driver.caller_stops()
    driver.final("What about the price for that?")
    driver.pass_ms(1500)
    reply = driver.last(out.StartLlm).reply
    driver.model_says(reply, "It is twenty.")
    driver.voice_speaks(reply)
    driver.heard_ms[reply] = 300
    before = len(driver.of(out.WantInterim))
    driver.send(inputs.SpeechStarted(driver.now_ms))
    for for_ms in (160, 300, 600, 1000):
        driver.send(inputs.SpeechSustained(for_ms, 20.0, -50.0))
    assert len(driver.of(out.WantInterim)) == before


def test_an_early_end_of_the_turn_is_no_surer_than_its_words() -> None:
    driver, _ = speaking()
    driver.caller_speaks(900)
    driver.send(inputs.Heard(SttEager("So that we are going to go.", 0.1)))
    driver.pass_ms(500)
    assert not verdicts(driver)


def test_wild_words_do_not_end_a_tools_silence() -> None:
    driver = Driver()
    reply = driver.caller_turn("Look it up.")
    driver.model_calls(reply, "lookup")
    driver.caller_says("It's a great way to make a man.", for_ms=900)
    turns = len(driver.events("caller_turn"))
    driver.caller_speaks(900)
    driver.caller_stops()
    driver.final("So that we are going to go.", confidence=0.1)
    driver.pass_ms(3000)
    assert len(driver.events("caller_turn")) == turns + 1  # the one that was sure


class TestInSilence:
    """The agent says nothing."""

    @pytest.mark.parametrize(("confidence", "turns"), [(0.39, 0), (0.4, 1)])
    def test_wild_words_are_no_turn(self, confidence: float, turns: int) -> None:
        driver = Driver()
        driver.caller_speaks(600)
        driver.caller_stops()
        driver.final("It's a great way to make a man.", confidence=confidence)
        driver.pass_ms(3000)
        assert len(driver.events("caller_turn")) == turns
        assert len(driver.events("speech_ignored")) == 1 - turns

    def test_the_second_in_a_row_is_one(self) -> None:
        driver = Driver()
        for _ in range(2):
            driver.caller_speaks(600)
            driver.caller_stops()
            driver.final("It's a great way to make a man.", confidence=0.1)
            driver.pass_ms(3000)
        assert len(driver.events("caller_turn")) == 1
        assert len(driver.events("speech_ignored")) == 1

    def test_nothing_is_wild_to_an_agent_that_believes_everything(self) -> None:
        driver = Driver(TurnSettings(overlap=OverlapPolicy(min_confidence=0.0)))
        driver.caller_speaks(600)
        driver.caller_stops()
        driver.final("It's a great way to make a man.", confidence=0.0)
        driver.pass_ms(3000)
        assert len(driver.events("caller_turn")) == 1

    @staticmethod
    def asked(text: str = "Can you tell me when you are open?") -> Driver:
        """After a question, with a sound behind it that goes on."""
        driver = Driver()
        driver.caller_says(text)
        driver.caller_speaks(600)
        return driver

    def test_noise_with_wild_words_does_not_keep_a_turn_waiting(self) -> None:
        driver = self.asked()
        guess(driver, "You're going", 0.2)
        guess(driver, "It is a", 0.3)
        driver.pass_ms(NOISE_MS - 601)
        assert not driver.events("caller_turn")
        driver.pass_ms(1)
        (turn,) = driver.events("caller_turn")
        assert turn["text"] == "Can you tell me when you are open?"

    def test_letters_are_heard_out_however_they_are_guessed_at(self) -> None:
        driver = self.asked("My name is Smythe, S, M,")
        guess(driver, "Why tea", 0.2)
        guess(driver, "White, a chi", 0.3)
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_that_noise_does_not_silence_the_answer(self) -> None:
        driver = self.asked()
        guess(driver, "You're going", 0.2)
        guess(driver, "It is a", 0.3)
        driver.pass_ms(NOISE_MS - 600)
        reply = driver.last(out.StartLlm).reply
        driver.model_says(reply, "At nine.")
        driver.voice_speaks(reply)
        driver.send(inputs.SpeechSustained(2000))
        assert not driver.of(out.PauseReply)

    def test_one_wild_guess_is_too_little_and_another_is_asked_for(self) -> None:
        driver = self.asked()
        guess(driver, "For Friday", 0.35)
        before = len(driver.of(out.WantInterim))
        driver.send(inputs.SpeechSustained(750))
        assert len(driver.of(out.WantInterim)) == before + 1
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_the_same_words_said_surely_are_waited_for(self) -> None:
        driver = self.asked()
        guess(driver, "Hmm", 0.3)
        guess(driver, "For Friday", 0.35)
        driver.pass_ms(300)
        guess(driver, "For Friday", 0.9)
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_the_text_of_the_sound_before_is_no_guess_at_this_one(self) -> None:
        driver = self.asked()
        guess(driver, "Hmm", 0.3)
        driver.final("for friday", confidence=0.35)
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_words_among_the_noise_do(self) -> None:
        driver = self.asked()
        guess(driver, "You're going", 0.2)
        guess(driver, "It is a", 0.3)
        driver.pass_ms(500)
        guess(driver, "I mean on Friday", 0.8)
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_noise_alone_is_not_over_sooner(self) -> None:
        driver = Driver()
        driver.caller_speaks(600)
        guess(driver, "You're going", 0.2)
        guess(driver, "It is a", 0.3)
        driver.pass_ms(9000)
        assert not driver.of(out.TurnOver)


class TestACrowdBehindTheCaller:
    """The VAD hears speech all along."""

    @staticmethod
    def asked(text: str = "Can you tell me when you are open?") -> Driver:
        driver = Driver()
        driver.caller_speaks(2000)
        guess(driver, text, 0.9)
        driver.pass_ms(1000)
        guess(driver, text, 0.9)
        return driver

    def test_a_turn_is_over_when_guess_after_guess_brings_no_word(self) -> None:
        driver = self.asked()
        driver.pass_ms(SAME_MS + EndpointingPolicy().min_silence_ms - 1001)
        guess(driver, "can you tell me when you are open", 0.9)
        assert not driver.events("caller_turn")
        driver.pass_ms(1)
        guess(driver, "Can you tell me when you are open?", 0.9)
        driver.pass_ms(1)
        assert len(driver.events("caller_turn")) == 1

    def test_nobody_is_interrupted_by_that_crowd(self) -> None:
        driver = self.asked()
        driver.pass_ms(SAME_MS + EndpointingPolicy().min_silence_ms - 1000)
        guess(driver, "Can you tell me when you are open?", 0.9)
        driver.pass_ms(1)
        reply = driver.last(out.StartLlm).reply
        driver.model_says(reply, "At nine.")
        driver.voice_speaks(reply)
        driver.send(inputs.SpeechSustained(4250))
        assert not driver.of(out.PauseReply)

    def test_without_guesses_nothing_is_known(self) -> None:
        driver = self.asked()
        driver.pass_ms(5000)
        assert not driver.events("caller_turn")

    def test_another_word_counts_anew(self) -> None:
        driver = self.asked()
        driver.pass_ms(800)
        guess(driver, "Can you tell me when you are open on", 0.9)
        driver.pass_ms(1000)
        guess(driver, "Can you tell me when you are open on", 0.9)
        driver.pass_ms(1000)
        assert not driver.events("caller_turn")

    def test_who_is_not_done_gets_the_pause_of_the_text(self) -> None:
        driver = self.asked("My number is four one five, and")
        driver.pass_ms(SAME_MS + EndpointingPolicy().min_silence_ms - 1000)
        guess(driver, "My number is four one five, and", 0.9)
        driver.pass_ms(1)
        assert not driver.events("caller_turn")
        driver.pass_ms(5000)
        guess(driver, "My number is four one five, and", 0.9)
        driver.pass_ms(1)
        assert len(driver.events("caller_turn")) == 1

    def test_wild_guesses_that_stay_the_same_are_no_turn(self) -> None:
        driver = Driver()
        driver.caller_speaks(600)
        for _ in range(5):
            guess(driver, "It was a great way", 0.2)
            driver.pass_ms(1000)
        assert not driver.events("caller_turn")


class TestWhatWasSureBefore:
    @pytest.mark.parametrize(
        ("guesses", "said"),
        [
            ((("Wait, wait", 0.68), ("Wait.", 0.81)), "interruption"),
            ((("Wait.", 0.81),), "noise"),
            ((("Wait.", 0.55), ("Wait.", 0.55)), "noise"),
            ((("Wait", 0.8), ("Weight", 0.8), ("Wade", 0.7)), "noise"),
        ],
    )
    def test_remains_so_though_the_last_word_is_less_sure(
        self, guesses: tuple[tuple[str, float], ...], said: str
    ) -> None:
        driver, _ = speaking()
        driver.caller_speaks(200)
        for text, confidence in guesses:
            guess(driver, text, confidence)
        driver.pass_ms(100)
        driver.caller_stops()
        driver.final("Wait,", confidence=0.58)
        driver.pass_ms(1000)
        assert [verdict for verdict, _ in verdicts(driver)] == [said]

    def test_is_forgotten_with_its_sound(self) -> None:
        driver, _ = speaking()
        driver.caller_speaks(200)
        guess(driver, "Wait.", 0.8)
        guess(driver, "Wait.", 0.8)
        driver.caller_stops()
        driver.caller_speaks(200)
        driver.caller_stops()
        driver.final("Wait.", confidence=0.5)
        driver.pass_ms(1000)
        assert [verdict for verdict, _ in verdicts(driver)] == ["noise"]
