"""How long a pause must be when a model has heard how it was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.machine_driver import Driver
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.completeness_levels import Completeness
from voicecore.turns.endpointing import TEXT_ODDS, Endpointing, EndpointingPolicy, Sounds
from voicecore.turns.settings import TurnSettings
from voicecore.turns.turn_audio import AGENT_MS, TurnAudio

WHOLE, OPEN, BROKEN = "I paid the bill.", "what are your hours", "my number is 5 5 5"
MIN_MS, OPEN_MS, MAX_MS = 400, 600, 1600
FINISHED, UNSURE, UNFINISHED, SURELY_NOT = 0.9, 0.75, 0.5, 0.1


def wait_ms(text: str, audio: float | None, **changed: object) -> int:
    policy = EndpointingPolicy(
        min_silence_ms=MIN_MS, open_silence_ms=OPEN_MS, max_silence_ms=MAX_MS
    )
    return Endpointing(policy).wait_ms(text, audio=audio, **changed)  # type: ignore[arg-type]


class TestThePolicy:
    @pytest.mark.parametrize(
        ("text", "finished", "none", "unfinished", "surely_not"),
        [
            (WHOLE, MIN_MS, MIN_MS, OPEN_MS, 1270),
            (OPEN, MIN_MS, OPEN_MS, 930, MAX_MS),
            ("", MIN_MS, OPEN_MS, 930, MAX_MS),
            (BROKEN, 1100, 1430, MAX_MS, MAX_MS),
            ("I would like to", 930, 1270, MAX_MS, MAX_MS),
            ("I would like the", 1270, MAX_MS, MAX_MS, MAX_MS),
        ],
    )
    def test_by_text_and_sound(
        self, text: str, finished: int, none: int, unfinished: int, surely_not: int
    ) -> None:
        waits_ms = (finished, none, none, unfinished, surely_not)
        heard = (FINISHED, None, UNSURE, UNFINISHED, SURELY_NOT)
        for audio, expected_ms in zip(heard, waits_ms, strict=True):
            assert abs(wait_ms(text, audio) - expected_ms) <= 10, audio

    def test_a_sound_that_is_surely_over_is_more_than_a_doubt(self) -> None:
        assert wait_ms("okay", FINISHED) == pytest.approx(OPEN_MS, abs=10)
        assert wait_ms("okay", 0.99) == MIN_MS

    def test_every_text_has_odds(self) -> None:
        assert set(TEXT_ODDS) == set(Completeness)

    def test_the_odds_grow_with_the_probability_within_bounds(self) -> None:
        policy = EndpointingPolicy()
        odds = [policy.sound_odds(percent / 100) for percent in range(101)]
        assert odds == sorted(odds)
        assert (odds[0], odds[-1]) == (-4.0, 2.5)
        same = EndpointingPolicy(finished_from=0.5, unfinished_below=0.5)
        assert same.sound_odds(0.5) == 0.0

    def test_the_thresholds(self) -> None:
        policy = EndpointingPolicy(finished_from=0.8, unfinished_below=0.3)
        assert policy.sounds(0.8) is Sounds.FINISHED
        assert policy.sounds(0.79) is policy.sounds(0.3) is policy.sounds(None) is Sounds.UNSURE
        assert policy.sounds(0.29) is Sounds.UNFINISHED

    def test_a_vendor_that_says_over_makes_an_open_text_whole(self) -> None:
        assert wait_ms(OPEN, None, vendor_says_over=True) == MIN_MS
        assert wait_ms(OPEN, UNFINISHED, vendor_says_over=True) == OPEN_MS

    def test_who_sounds_finished_is_not_held_to_earlier_pauses(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.paused(800)
        assert endpointing.wait_ms(OPEN) == 1000
        assert endpointing.wait_ms(OPEN, audio=FINISHED) == MIN_MS

    def test_who_was_cut_off_is_waited_for_whatever_it_sounds_like(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.cut_off()
        assert endpointing.wait_ms(WHOLE, audio=FINISHED) == 550

    def test_a_fixed_wait_is_fixed(self) -> None:
        endpointing = Endpointing(EndpointingPolicy(adapts=False))
        assert endpointing.wait_ms(WHOLE, audio=UNFINISHED) == MIN_MS

    @given(
        st.sampled_from([WHOLE, OPEN, BROKEN, ""]),
        st.one_of(st.none(), st.floats(0, 1)),
        st.booleans(),
        st.lists(st.integers(1, 2000), max_size=8),
        st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000)),
    )
    def test_no_wait_leaves_its_bounds(
        self,
        text: str,
        audio: float | None,
        over: bool,
        pauses: list[int],
        bounds: tuple[int, int, int],
    ) -> None:
        least, open_, most = bounds
        endpointing = Endpointing(EndpointingPolicy(least, open_, most))
        for pause_ms in pauses:
            endpointing.paused(pause_ms)
            endpointing.cut_off()
        found = endpointing.wait_ms(text, vendor_says_over=over, audio=audio)
        assert least <= found <= max(least, most)


def asks(text: str = WHOLE) -> Driver:
    """A caller who has just been heard to stop, 200 ms ago, and whose text is there."""
    driver = Driver(TurnSettings())
    driver.caller_says(text)
    return driver


def judged(driver: Driver, probability: float, at_ms: int = 1000) -> None:
    driver.send(inputs.TurnEndJudged(at_ms, probability, 60))


def quiet_ms(driver: Driver) -> int:
    """How long after the end of speech the turn is decided."""
    while not driver.of(out.StartLlm):
        assert driver.now_ms < 10_000
        driver.pass_ms(10)
    return driver.now_ms - 1000


class TestInTurns:
    def test_an_opinion_moves_the_end(self) -> None:
        for text, probability, after_ms in (
            (WHOLE, UNFINISHED, OPEN_MS),
            (OPEN, FINISHED, MIN_MS),
            (OPEN, 0.01, 2000),
            (BROKEN, 0.3, 2000),
        ):
            driver = asks(text)
            judged(driver, probability)
            assert quiet_ms(driver) == after_ms, text
            assert driver.events("turn_end_judged") == [
                {"at_ms": 1000, "probability": probability, "took_ms": 60}
            ]

    def test_without_one_the_text_decides(self) -> None:
        assert quiet_ms(asks(WHOLE)) == MIN_MS
        assert quiet_ms(asks(OPEN)) == OPEN_MS

    def test_one_that_comes_late_can_still_end_a_pause_that_is_long_enough(self) -> None:
        driver = asks(OPEN)
        driver.pass_ms(300)
        judged(driver, FINISHED)
        assert quiet_ms(driver) == 500

    def test_it_may_come_before_the_text(self) -> None:
        driver = Driver(TurnSettings())
        driver.caller_speaks(1000)
        driver.caller_stops()
        judged(driver, UNFINISHED)
        driver.pass_ms(100)
        driver.final(WHOLE)
        assert quiet_ms(driver) == OPEN_MS

    def test_it_does_not_hurry_a_text_that_is_on_its_way(self) -> None:
        driver = Driver(TurnSettings())
        driver.caller_speaks(1000)
        driver.caller_stops()
        judged(driver, FINISHED)
        driver.pass_ms(400)
        assert not driver.of(out.StartLlm)
        driver.final(WHOLE)
        assert quiet_ms(driver) == 600

    def test_one_for_an_older_pause_is_dropped(self) -> None:
        driver = asks("I would like to book a table")
        driver.pass_ms(100)
        driver.caller_speaks(500)
        judged(driver, FINISHED)
        driver.caller_stops()
        driver.final("for two people")
        judged(driver, FINISHED)
        assert not driver.events("turn_end_judged")
        stopped_ms = driver.now_ms - 200
        assert quiet_ms(driver) + 1000 - stopped_ms == OPEN_MS

    def test_one_for_a_turn_that_is_decided_is_dropped(self) -> None:
        driver = asks(WHOLE)
        quiet_ms(driver)
        judged(driver, UNFINISHED)
        driver.pass_ms(3000)
        assert not driver.events("turn_end_judged")
        assert len(driver.of(out.StartLlm)) == 1

    def test_each_pause_has_its_own(self) -> None:
        driver = asks("I would like to book a table")
        judged(driver, UNFINISHED)
        driver.pass_ms(500)
        driver.caller_says("for two people")
        stopped_ms = driver.now_ms - 200
        found_ms = quiet_ms(driver) + 1000 - stopped_ms
        assert 875 <= found_ms < 885, "by the caller's pause of 700 ms, not by the first opinion"


def frames(first: int, count: int) -> list[bytes]:
    return [bytes([number % 256]) * 160 for number in range(first, first + count)]


class TestTurnAudio:
    def hear(self, audio: TurnAudio, count: int, first: int = 0) -> None:
        for frame in frames(first, count):
            audio.add(frame)

    def test_it_begins_shortly_before_the_speech(self) -> None:
        audio = TurnAudio(160)
        self.hear(audio, 100)
        audio.speech_started(60)
        self.hear(audio, 50, 100)
        assert audio.speech_stopped() == b"".join(frames(87, 63) * 2)

    def test_a_call_that_begins_with_speech_has_no_more(self) -> None:
        audio = TurnAudio(160)
        self.hear(audio, 3)
        audio.speech_started(60)
        assert audio.speech_stopped() == b"".join(frames(0, 3) * 2), "twice, as it is short"

    def test_what_was_said_before_stays_and_the_silence_between_goes(self) -> None:
        audio = TurnAudio(160)
        self.hear(audio, 10)
        audio.speech_started(200)
        audio.speech_stopped()
        self.hear(audio, 500, 10)
        audio.speech_started(60)
        assert audio.speech_stopped() == b"".join(frames(0, 10) + frames(497, 13))

    def test_a_short_silence_stays(self) -> None:
        audio = TurnAudio(160)
        self.hear(audio, 10)
        audio.speech_started(200)
        audio.speech_stopped()
        self.hear(audio, 6, 10)
        audio.speech_started(60)
        assert audio.speech_stopped() == b"".join(frames(0, 16) * 2)

    def test_eight_seconds_are_kept(self) -> None:
        audio = TurnAudio(160)
        audio.speech_started(60)
        self.hear(audio, 1000)
        assert audio.speech_stopped() == b"".join(frames(600, 400))

    def test_the_agents_voice_goes_before_it_while_there_is_little(self) -> None:
        audio = TurnAudio(160)
        agent = b"".join(frames(0, 125))
        audio.agent_said(b"x" * 16_000 + agent[:8000])
        audio.agent_said(agent[8000:])
        self.hear(audio, 10)
        audio.speech_started(200)
        assert audio.speech_stopped() == agent + b"".join(frames(0, 10)), "2.5 s, and no repeat"
        audio.speech_started(0)
        self.hear(audio, 290, 10)
        assert audio.speech_stopped() == agent[-100 * 160 :] + b"".join(frames(0, 300)), "8 s"
        audio.speech_started(0)
        self.hear(audio, 100, 300)
        assert audio.speech_stopped() == b"".join(frames(0, 400))

    def test_of_the_agents_voice_no_more_is_kept_than_is_needed(self) -> None:
        audio = TurnAudio(160)
        for _ in range(10_000):
            audio.agent_said(bytes(480))
        assert len(audio._agent) <= 2 * AGENT_MS * 8
