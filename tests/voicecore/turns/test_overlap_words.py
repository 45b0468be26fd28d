"""Words over the agent that are not judged yet, or not to the end, say whether more is to be waited
for."""

import pytest

from tests.support.machine_driver import TEXT, Driver, speaking
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.barge_in import LAST_WORDS_MS
from voicecore.turns.listening import NO_WORDS_MS
from voicecore.turns.overlap_pause import (
    BREATH_GAP_MS,
    BREATH_MS,
    FAINT_GAP_MS,
    GAP_MS,
    LONGEST_GAP_MS,
    MOST_QUIET_FOR_WORDS_MS,
)

OVERLAP_MS, COUNTS_MS = 360, 160
SPOKE_ON_MS = OVERLAP_MS - COUNTS_MS
HANGOVER_MS = 160


def overlapping(overlap_ms: int = OVERLAP_MS) -> Driver:
    return speaking(overlap_ms=overlap_ms)[0]


def verdict(driver: Driver) -> tuple[str, int]:
    """The only one, and how long the agent was silent for it."""
    (judged,) = driver.events("overlap_judged")
    return judged["verdict"], judged["paused_ms"]


def guess(driver: Driver, text: str, confidence: float) -> None:
    driver.send(inputs.Heard(SttInterim(text, confidence)))


class TestASoundThatIsOver:
    SAYS = pytest.mark.parametrize("text", ["Okay.", "Right.", "Got it.", "Perfect, thank you."])

    @SAYS
    def test_may_be_the_beginning_of_more_behind_a_breath(self, text: str) -> None:
        driver = overlapping()
        driver.caller_says(text, for_ms=400)
        driver.pass_ms(BREATH_MS - 1)
        assert not driver.events("overlap_judged")
        driver.pass_ms(1)
        assert verdict(driver)[0] == "backchannel"

    @SAYS
    def test_but_the_agent_is_not_silent_for_long(self, text: str) -> None:
        driver = overlapping()
        driver.caller_says(text, for_ms=600)
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("backchannel", BREATH_GAP_MS)

    @pytest.mark.parametrize("quiet_ms", [60, 160])
    def test_nor_if_it_was_silent_by_itself_before(self, quiet_ms: int) -> None:
        driver = overlapping()
        driver.caller_speaks(OVERLAP_MS)
        driver.send(inputs.ReplyPaused(driver.last(out.PauseReply).reply, quiet_ms))
        driver.pass_ms(600 - OVERLAP_MS)
        driver.caller_stops()
        driver.final("Okay.")
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("backchannel", BREATH_GAP_MS - quiet_ms)

    def test_nor_for_a_breath_where_that_was_long(self) -> None:
        driver = overlapping()
        driver.caller_speaks(OVERLAP_MS)
        driver.send(inputs.ReplyPaused(driver.last(out.PauseReply).reply, 300))
        driver.caller_stops(HANGOVER_MS)
        driver.final("Okay.")
        assert not driver.events("overlap_judged")
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("backchannel", BREATH_GAP_MS - 300)

    def test_nor_where_it_fell_silent_at_once(self) -> None:
        driver = overlapping(overlap_ms=0)
        driver.caller_says("Okay.", for_ms=500)
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("backchannel", BREATH_GAP_MS)

    @pytest.mark.parametrize("text", ["Mm-hmm.", "Yeah."])
    def test_that_only_listens_is_none(self, text: str) -> None:
        driver = overlapping()
        driver.caller_says(text, for_ms=400)
        driver.pass_ms(BREATH_MS)
        assert verdict(driver)[1] == GAP_MS - SPOKE_ON_MS

    def test_nor_is_one_whose_words_are_none_of_a_listeners(self) -> None:
        driver = speaking("We are open.", overlap_ms=OVERLAP_MS)[0]
        driver.caller_says("we are open", for_ms=400)
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("echo", GAP_MS - SPOKE_ON_MS)

    def test_nor_is_one_whose_words_are_late(self) -> None:
        driver = overlapping()
        driver.caller_speaks(400)
        driver.caller_stops()
        driver.pass_ms(BREATH_MS)
        assert verdict(driver) == ("noise", LONGEST_GAP_MS - SPOKE_ON_MS)

    def test_which_a_silence_of_the_agents_own_hardly_shortens(self) -> None:
        driver = overlapping()
        driver.caller_speaks(400)
        driver.send(inputs.ReplyPaused(driver.last(out.PauseReply).reply, 300))
        driver.caller_stops()
        driver.pass_ms(BREATH_MS)
        silent_ms = LONGEST_GAP_MS - SPOKE_ON_MS - MOST_QUIET_FOR_WORDS_MS
        assert verdict(driver) == ("noise", silent_ms)

    def test_the_agent_may_not_have_been_silent_at_all(self) -> None:
        driver = overlapping(overlap_ms=2000)
        driver.caller_says("Okay.", for_ms=400)
        driver.pass_ms(GAP_MS + COUNTS_MS - 600)
        assert verdict(driver) == ("backchannel", 0)


class TestWordsThatAreNotCertain:
    """ "Yeah." was a sound of its own, at which the agent went on, and more follows."""

    @pytest.fixture
    def driver(self) -> Driver:
        driver = overlapping()
        driver.caller_says("Yeah.", for_ms=300)
        driver.pass_ms(COUNTS_MS + GAP_MS - 500)
        assert verdict(driver)[0] == "backchannel"
        return driver

    def more(self, driver: Driver, *guesses: tuple[str, float]) -> None:
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for for_ms, wait_ms in ((COUNTS_MS, COUNTS_MS), (300, 140)):
            driver.pass_ms(wait_ms)
            driver.send(inputs.SpeechSustained(for_ms, above_noise_db=20.0))
        for text, confidence in guesses:
            driver.pass_ms(100)
            guess(driver, text, confidence)

    def verdicts(self, driver: Driver) -> list[str]:
        return [judged["verdict"] for judged in driver.events("overlap_judged")]

    def test_the_agent_does_not_go_on_between_two_of_them(self, driver: Driver) -> None:
        self.more(driver, ("But how long?", 0.85), ("But how about", 0.59))
        driver.ear.stops = True
        driver.pass_ms(300)
        assert self.verdicts(driver) == ["backchannel"]
        guess(driver, "But how long will it take?", 0.88)
        driver.pass_ms(1000)
        assert self.verdicts(driver) == ["backchannel", "interruption"]

    def test_what_a_crowd_said_before_is_none_of_them(self) -> None:
        driver = overlapping()
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(COUNTS_MS - 20)
        driver.caller_stops()
        driver.send(inputs.Heard(SttFinal("The fifth and the fifth of it", confidence=0.2)))
        self.more(driver, ("Okay.", 0.9))
        driver.ear.stops = True
        driver.pass_ms(GAP_MS)
        assert verdict(driver)[0] == "backchannel"

    def test_a_guess_at_the_sound_before_is_none_at_this(self, driver: Driver) -> None:
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(100)
        guess(driver, "The first of the month", 0.5)
        driver.caller_stops(0)
        self.more(driver)
        driver.ear.stops = True
        driver.pass_ms(GAP_MS)
        assert self.verdicts(driver) == ["backchannel", "backchannel"]

    def test_the_end_of_their_sound_brings_certain_ones(self, driver: Driver) -> None:
        self.more(driver, ("But how long will", 0.65))
        driver.pass_ms(300)
        guess(driver, "But how am I that?", 0.46)
        driver.pass_ms(100)
        driver.caller_stops()
        driver.pass_ms(LAST_WORDS_MS - 210)
        assert self.verdicts(driver) == ["backchannel"]
        driver.final("But how long will that take?")
        assert self.verdicts(driver) == ["backchannel", "interruption"]

    @pytest.mark.parametrize(
        "guesses",
        [
            (("Yeah", 0.9), ("Yeah, and the", 0.45)),  # all of it hollow
            (("Sand", 0.5), ("Sank", 0.55)),  # one word
            (("Yeah, that's", 0.5), ("Yeah, that's", 0.5)),  # the same, and an apostrophe
            (("Okay.", 0.9), ("the fifth of it and sand", 0.15)),  # wild
        ],
    )
    def test_guesses_that_say_nothing_do_not_hold_the_agent(
        self, driver: Driver, guesses: tuple[tuple[str, float], ...]
    ) -> None:
        self.more(driver, *guesses)
        driver.ear.stops = True
        driver.pass_ms(GAP_MS)
        assert self.verdicts(driver) == ["backchannel", "backchannel"]


def test_a_short_word_of_the_callers_behind_somebody_elses_is_waited_for() -> None:
    driver = overlapping()
    driver.machine._barge_in.sound._usual.spoke(-20.0)  # so loud is the caller
    for for_ms, loudest_dbfs in ((600, -40.0), (COUNTS_MS, -22.0)):
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(for_ms)
        driver.send(inputs.SpeechSustained(for_ms, 20.0, loudest_dbfs))
        assert not driver.of(out.PauseReply)
        driver.caller_stops()
    driver.final("Got it.")
    assert not driver.events("overlap_judged"), "it is the beginning of more"
    driver.pass_ms(GAP_MS)
    assert verdict(driver)[0] == "backchannel"


@pytest.mark.parametrize(
    ("text", "guessed", "loudest_dbfs", "goes_on"),
    [
        ("Okay.", "You", -34.0, True),
        ("Okay.", "You", -30.0, False),  # as loud as the caller may be
        ("Okay.", "You know", -34.0, False),  # words
        ("My teeth", "You", -34.0, False),  # no murmur
    ],
)
def test_noise_behind_a_murmur_does_not_hold_the_agent(
    text: str, guessed: str, loudest_dbfs: float, goes_on: bool
) -> None:
    driver = overlapping()
    driver.machine._barge_in.sound._usual.spoke(-20.0)
    driver.caller_says(text, for_ms=300)
    driver.send(inputs.SpeechStarted(driver.now_ms))
    driver.pass_ms(COUNTS_MS)
    driver.send(inputs.SpeechSustained(COUNTS_MS, 20.0, loudest_dbfs))
    guess(driver, guessed, 0.5)
    driver.pass_ms(OVERLAP_MS + FAINT_GAP_MS - 500 - COUNTS_MS - 1)
    assert not driver.events("overlap_judged")
    driver.pass_ms(1)
    assert bool(driver.events("overlap_judged")) == goes_on


def test_words_are_heard_in_a_noise_in_which_the_vad_hears_none() -> None:
    driver = overlapping()
    driver.send(inputs.SpeechStarted(driver.now_ms))
    driver.pass_ms(NO_WORDS_MS + 100)  # it goes on: it is taken for none
    driver.final("And on Saturdays?")
    driver.pass_ms(1000)
    reply = driver.last(out.StartLlm).reply
    driver.model_says(reply, TEXT)
    driver.voice_speaks(reply)
    guess(driver, "Before we begin I should tell you of my tooth", 0.5)
    assert driver.of(out.CancelReply) == [out.CancelReply(reply)]


@pytest.mark.parametrize("text", ["Mm-hmm.", ""])
def test_what_somebody_else_said_before_a_murmur_does_not_interrupt(text: str) -> None:
    driver = overlapping()
    driver.machine._barge_in.sound._usual.spoke(-20.0)
    for for_ms, loudest_dbfs, said in (
        (700, -36.0, "And now the weather for tomorrow."),
        (250, -21.0, text),
    ):
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for length_ms, wait_ms in ((COUNTS_MS, COUNTS_MS), (for_ms, for_ms - COUNTS_MS)):
            driver.pass_ms(wait_ms)
            driver.send(inputs.SpeechSustained(length_ms, 20.0, loudest_dbfs))
        driver.caller_stops(160)
        driver.final(said)
    driver.pass_ms(2000)
    assert "interruption" not in [v["verdict"] for v in driver.events("overlap_judged")]
    assert not driver.of(out.CancelReply)
    assert len(driver.of(out.ResumeReply)) == len(driver.of(out.PauseReply)) == 1
