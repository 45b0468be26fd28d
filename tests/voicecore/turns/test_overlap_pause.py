"""The agent speaks on for the first moments of a sound over it, and is silent for it shortly."""

from typing import Any

import pytest

from tests.support.machine_driver import TEXT, Driver, speaking
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.backchannels import plain
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.overlap_pause import (
    AGAIN_MS,
    FAINT_GAP_MS,
    GAP_MS,
    HOLD_MS,
    LATE_GAP_MS,
    LISTENS_AGAIN_MS,
    LONGEST_GAP_MS,
    MID_SOUND_GAP_MS,
)
from voicecore.turns.settings import TurnSettings

OVERLAP_MS = 360
COUNTS_MS = 160
"""The driver tells that a sound has lasted so long; from there on it is judged."""
HANGOVER_MS = 200


def overlapping(text: str = TEXT, *, done: bool = True, **policy: Any) -> tuple[Driver, int]:
    """The agent in mid-reply; it pauses ``OVERLAP_MS`` after the onset of a sound."""
    return speaking(text, done=done, overlap_ms=OVERLAP_MS, **policy)


def verdict(driver: Driver) -> tuple[str, int]:
    """The only one, and how long the agent was silent for it."""
    (judged,) = driver.events("overlap_judged")
    return judged["verdict"], judged["paused_ms"]


class TestTheAgentSpeaksOn:
    def test_for_the_first_moments_of_the_sound(self) -> None:
        driver, reply = overlapping()
        driver.caller_speaks(OVERLAP_MS - 1)
        assert not driver.of(out.PauseReply)
        driver.pass_ms(1)
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]

    def test_and_is_silent_for_it_for_less_long(self) -> None:
        driver, reply = overlapping()
        driver.caller_says("Mm-hmm.", for_ms=300)
        driver.pass_ms(GAP_MS)
        spoke_on_ms = OVERLAP_MS - COUNTS_MS
        assert verdict(driver) == ("backchannel", GAP_MS - spoke_on_ms)
        assert driver.last(out.ResumeReply).reply == reply

    def test_though_the_sound_is_over_meanwhile(self) -> None:
        """It may have been the first word of more."""
        driver, _ = overlapping()
        driver.caller_speaks(COUNTS_MS)
        driver.caller_stops(HANGOVER_MS - 1)
        assert not driver.of(out.PauseReply)
        driver.pass_ms(1)
        assert driver.of(out.PauseReply)

    def test_not_for_words_that_interrupt(self) -> None:
        driver, reply = overlapping()
        driver.caller_speaks(COUNTS_MS)
        driver.send(inputs.Heard(SttInterim("No wait")))
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]
        driver.pass_ms(OVERLAP_MS)
        assert len(driver.of(out.PauseReply)) == 1

    def test_nor_for_final_ones(self) -> None:
        driver, reply = overlapping()
        driver.caller_speaks(COUNTS_MS)
        driver.send(inputs.Heard(SttFinal("Stop.")))
        assert verdict(driver) == ("interruption", 0)
        assert driver.of(out.CancelReply) == [out.CancelReply(reply)]
        assert not driver.of(out.PauseReply)

    @pytest.mark.parametrize("sound_ms", [100, 200])
    def test_not_into_a_sound_that_was_first(self, sound_ms: int) -> None:
        driver = Driver(TurnSettings(overlap=OverlapPolicy(overlap_ms=OVERLAP_MS)))
        reply = driver.caller_turn("When?")
        driver.model_says(reply, "At nine, every day of the week.")
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(sound_ms)
        driver.voice_speaks(reply)
        driver.pass_ms(COUNTS_MS - min(sound_ms, COUNTS_MS))
        driver.send(inputs.SpeechSustained(COUNTS_MS))
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]

    def test_nor_where_it_has_nothing_to_say_as_yet(self) -> None:
        driver, reply = overlapping(done=False)
        driver.heard_ms[reply] = 1600
        driver.caller_speaks(COUNTS_MS)
        assert driver.of(out.PauseReply) == [out.PauseReply(reply)]


class TestNoPauseAtAll:
    def test_for_a_cough_that_is_judged_before(self) -> None:
        driver, reply = overlapping()
        driver.caller_speaks(COUNTS_MS)
        driver.caller_stops(100)
        driver.final("")
        assert verdict(driver) == ("noise", 0)
        driver.pass_ms(HOLD_MS)
        assert not driver.of(out.PauseReply)
        assert not driver.of(out.ResumeReply)
        assert driver.machine.live_reply == reply

    def test_where_the_reply_ends_by_itself(self) -> None:
        driver, reply = overlapping()
        driver.caller_speaks(COUNTS_MS)
        driver.send(inputs.ReplyPlayed(reply, 1600))
        driver.pass_ms(1000)
        assert not driver.of(out.PauseReply)
        assert not driver.events("overlap_judged")
        driver.caller_stops()
        driver.final("And on Sundays?")
        driver.pass_ms(2000)
        assert driver.events("caller_turn")[-1]["text"] == "And on Sundays?"

    @pytest.mark.parametrize("overlap_ms", [OVERLAP_MS, 1000])
    def test_where_what_is_said_to_its_end_has_begun(self, overlap_ms: int) -> None:
        notice = "This call is recorded for quality."
        policy = {"overlap_ms": overlap_ms, "protected": (plain(notice),)}
        driver, reply = speaking(f"Welcome. {notice}", **policy)
        driver.heard_ms[reply] = 50
        driver.caller_speaks(COUNTS_MS)
        driver.heard_ms[reply] = 250
        driver.caller_stops()
        driver.final("Stop that.")
        driver.pass_ms(HOLD_MS)
        assert not driver.of(out.PauseReply)
        assert not driver.events("overlap_judged")
        assert driver.machine.live_reply == reply

    @pytest.mark.parametrize(
        ("text", "said", "after_ms"),
        [("Okay.", "backchannel", GAP_MS), (None, "noise", LONGEST_GAP_MS)],
    )
    def test_where_the_agent_may_speak_on_for_long(
        self, text: str | None, said: str, after_ms: int
    ) -> None:
        driver, reply = speaking(overlap_ms=1000)
        driver.caller_speaks(COUNTS_MS)
        driver.caller_stops()
        if text is not None:
            driver.final(text)
        driver.pass_ms(after_ms - HANGOVER_MS - 1)
        assert not driver.events("overlap_judged")
        driver.pass_ms(1)
        assert verdict(driver) == (said, 0)
        driver.pass_ms(HOLD_MS)
        assert not driver.of(out.PauseReply)
        assert driver.machine.live_reply == reply

    def test_where_the_turn_is_over_before(self) -> None:
        driver, reply = speaking(overlap_ms=1000)
        driver.caller_speaks(300)
        driver.caller_stops()
        driver.final("Mm-hm.", end_of_turn=True)
        driver.pass_ms(HOLD_MS)
        assert verdict(driver) == ("backchannel", 0)
        assert not driver.of(out.PauseReply)
        assert driver.machine.live_reply == reply

    def test_for_a_voice_that_turns_out_to_be_somebody_elses(self) -> None:
        driver, reply = speaking(overlap_ms=1000)
        driver.machine._barge_in.sound._usual.spoke(-20.0)  # so loud is the caller
        driver.send(inputs.SpeechStarted(driver.now_ms))
        driver.pass_ms(COUNTS_MS)
        driver.send(inputs.SpeechSustained(COUNTS_MS, 20.0, -34.0))
        assert not driver.events("overlap_judged"), "speech may begin softly"
        driver.pass_ms(500 - COUNTS_MS)
        driver.send(inputs.SpeechSustained(500, 20.0, -34.0))
        assert verdict(driver) == ("noise", 0)
        driver.pass_ms(HOLD_MS)
        assert not driver.of(out.PauseReply)
        assert driver.machine.live_reply == reply


def test_a_voice_in_the_middle_of_noise_is_guessed_at_for_as_long() -> None:
    driver, _ = overlapping()
    driver.send(inputs.SpeechStarted(driver.now_ms))
    driver.pass_ms(COUNTS_MS)
    driver.send(inputs.SpeechSustained(COUNTS_MS, above_noise_db=3, loudest_dbfs=-29.0))
    driver.pass_ms(3000 - COUNTS_MS)
    assert driver.events("overlap_judged")
    driver.send(inputs.SpeechSustained(3000, above_noise_db=20, loudest_dbfs=-20.0))
    assert len(driver.of(out.PauseReply)) == 2
    for for_ms, wanted in ((3250, True), (5000, True), (5250, False)):
        before = len(driver.of(out.WantInterim))
        driver.send(inputs.SpeechSustained(for_ms, above_noise_db=20, loudest_dbfs=-20.0))
        assert (len(driver.of(out.WantInterim)) > before) == wanted


def test_a_first_word_in_the_middle_of_noise_has_a_little_longer() -> None:
    driver, _ = overlapping()
    driver.send(inputs.SpeechStarted(driver.now_ms))
    driver.pass_ms(500)
    driver.send(inputs.SpeechSustained(500, above_noise_db=20, loudest_dbfs=-20.0))
    began_ms = driver.now_ms
    assert driver.of(out.PauseReply)
    driver.pass_ms(200)
    driver.caller_stops()
    driver.final("Okay.")
    driver.pass_ms(began_ms + GAP_MS + MID_SOUND_GAP_MS - 1 - driver.now_ms)
    assert not driver.events("overlap_judged")
    driver.pass_ms(1)
    assert verdict(driver) == ("backchannel", GAP_MS + MID_SOUND_GAP_MS)


def test_somebody_else_who_has_finished_is_not_waited_for() -> None:
    driver, reply = overlapping()
    driver.machine._barge_in.sound._usual.spoke(-20.0)
    driver.send(inputs.SpeechStarted(driver.now_ms))
    for for_ms, wait_ms in ((COUNTS_MS, COUNTS_MS), (300, 140), (600, 300)):
        driver.pass_ms(wait_ms)
        driver.send(inputs.SpeechSustained(for_ms, 20.0, -32.0))  # within a soft onset's margin
    assert not driver.events("overlap_judged")
    driver.caller_stops()
    driver.final("The second half is about to begin.")
    assert verdict(driver)[0] == "noise"
    assert driver.last(out.ResumeReply).reply == reply


def test_there_is_one_verdict_though_the_sound_goes_on() -> None:
    driver, _ = overlapping()
    driver.caller_speaks(1000)
    for _ in range(8):
        driver.send(inputs.Heard(SttInterim("Yeah")))
        driver.pass_ms(300)
    assert verdict(driver)[0] == "backchannel"


class TestTheAgentsEcho:
    """It goes on until the agent is silent, and the way of the echo longer."""

    def heard(self, words: str, after_ms: int) -> Driver:
        driver, _ = overlapping()
        driver.caller_says(words, for_ms=OVERLAP_MS + after_ms)
        driver.pass_ms(HOLD_MS)
        return driver

    @pytest.mark.parametrize("after_ms", [200, 260, 340])
    @pytest.mark.parametrize("words", ["from nine to", "nine to"])
    def test_two_words_of_its_own_are_enough(self, words: str, after_ms: int) -> None:
        driver = self.heard(words, after_ms)
        assert verdict(driver)[0] in ("echo", "noise")
        assert not driver.of(out.CancelReply)

    @pytest.mark.parametrize("words", ["Sunday morning", "nine to?", "wait nine"])
    def test_others_are_the_callers(self, words: str) -> None:
        driver = self.heard(words, 340)
        assert verdict(driver)[0] == "interruption"

    def test_of_what_was_over_much_later_too(self) -> None:
        driver = self.heard("nine to", 900)
        assert verdict(driver)[0] == "interruption"


class TestASecondSound:
    """The first is over 500 ms after its onset, and the second begins then."""

    @staticmethod
    def sounds(driver: Driver, for_ms: int, above_noise_db: float, loudest_dbfs: float) -> None:
        driver.send(inputs.SpeechStarted(driver.now_ms))
        for length_ms, wait_ms in ((COUNTS_MS, COUNTS_MS), (for_ms, for_ms - COUNTS_MS)):
            driver.pass_ms(wait_ms)
            driver.send(inputs.SpeechSustained(length_ms, above_noise_db, loudest_dbfs))

    def second(self, texts: tuple[str, str]) -> Driver:
        driver, _ = overlapping()
        began_ms = driver.now_ms + COUNTS_MS
        driver.caller_says(texts[0], for_ms=300)
        driver.caller_says(texts[1], for_ms=400)
        assert driver.now_ms > began_ms + LATE_GAP_MS
        assert not driver.events("overlap_judged")
        return driver

    @pytest.mark.parametrize("texts", [("Okay,", "right."), ("Mm-hmm,", "yes."), ("Yeah.", "Sure")])
    def test_that_only_listens_is_soon_over(self, texts: tuple[str, str]) -> None:
        driver = self.second(texts)
        driver.pass_ms(LISTENS_AGAIN_MS - 1)
        assert not driver.events("overlap_judged")
        driver.pass_ms(1)
        assert verdict(driver)[0] == "backchannel"

    @pytest.mark.parametrize(
        ("guess", "confidence", "again_ms"),
        [
            ("Yes,", 0.9, LISTENS_AGAIN_MS),
            ("Yes,", 0.5, AGAIN_MS),
            ("Yes, but", 0.9, AGAIN_MS),
            ("", 1.0, AGAIN_MS),
        ],
    )
    def test_a_sure_guess_that_only_listens_does_as_well(
        self, guess: str, confidence: float, again_ms: int
    ) -> None:
        driver, _ = overlapping()
        driver.caller_says("Mm-hmm,", for_ms=300)
        driver.caller_speaks(250)
        if guess:
            driver.send(inputs.Heard(SttInterim(guess, confidence)))
        driver.caller_stops()
        driver.pass_ms(again_ms - 1)
        assert not driver.events("overlap_judged")
        driver.pass_ms(1)
        assert driver.events("overlap_judged")

    @pytest.mark.parametrize("texts", [("Perfect,", "thank you."), ("Okay,", "that's great.")])
    def test_that_leads_to_more_gets_longer(self, texts: tuple[str, str]) -> None:
        driver = self.second(texts)
        driver.pass_ms(AGAIN_MS - 1)
        assert not driver.events("overlap_judged")
        driver.pass_ms(1)
        assert verdict(driver)[0] == "backchannel"

    @pytest.mark.parametrize(
        ("above_noise_db", "loudest_dbfs", "silent_ms"),
        [
            (5.0, -20.0, FAINT_GAP_MS),
            (7.0, -32.0, FAINT_GAP_MS),
            (7.0, -30.0, None),
        ],
    )
    def test_that_is_hardly_one_is_not_waited_for(
        self, above_noise_db: float, loudest_dbfs: float, silent_ms: int | None
    ) -> None:
        """On a street something is always heard, and in an office always somebody."""
        driver, _ = overlapping()
        driver.machine._barge_in.sound._usual.spoke(-20.0)  # so loud is the caller
        self.sounds(driver, 250, above_noise_db, loudest_dbfs)
        driver.caller_stops()
        driver.final("Um.")
        driver.pass_ms(150)
        self.sounds(driver, 300, above_noise_db, loudest_dbfs)
        driver.pass_ms(290)
        if silent_ms is None:
            assert not driver.events("overlap_judged"), "it may be speech"
        else:
            assert verdict(driver) == ("noise", silent_ms)
