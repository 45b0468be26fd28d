"""When the caller has finished, from edges and transcripts alone."""

from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import FRAME_MS
from tests.support.machine_driver import Driver, SuspiciousEar, after
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import SttEager, SttFailed, SttFinal, SttInterim, SttResumed
from voicecore.providers.words import Word
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.late_final import LATE_FINAL_MS, TakenInterim, without_repeats
from voicecore.turns.listening import (
    ENDPOINT,
    FLUSH,
    VENDOR_PATIENCE_MS,
    CallerTurn,
    Listener,
)
from voicecore.turns.outputs import Output, TurnOver
from voicecore.turns.settings import TurnSettings

RETRYABLE = VendorError("x", "disconnected", "", retryable=True)


class Ear:
    """A listener with its deadlines, on a clock that is only a number."""

    def __init__(self, **settings: int | bool) -> None:
        self.now_ms = 0
        self.deadlines = Deadlines()
        self.out: list[Output] = []
        self.suspects = SuspiciousEar()
        self.listener = Listener(
            TurnSettings(**settings),  # type: ignore[arg-type]
            self.deadlines,
            self.out,
            self.suspects,
        )
        self.turns: list[CallerTurn] = []

    def settle(self) -> None:
        if (turn := self.listener.decide()) is not None:
            self.turns.append(turn)

    def wait(self, duration_ms: int) -> None:
        until_ms = self.now_ms + duration_ms
        while (due_ms := self.deadlines.next()) is not None and due_ms <= until_ms:
            self.now_ms = max(due_ms, self.now_ms)
            name = self.deadlines.take_due(due_ms)
            assert name in (ENDPOINT, FLUSH)
            self.listener.due(self.now_ms, name)
            self.settle()
        self.now_ms = until_ms

    def starts(self) -> None:
        self.listener.speech_started(self.now_ms)
        self.settle()

    def stops(self) -> None:
        self.listener.speech_stopped(self.now_ms, self.now_ms - 200)
        self.settle()

    def hears(self, event: SttFinal | SttInterim | SttEager | SttResumed) -> None:
        self.listener.heard(self.now_ms, event)
        self.settle()

    @property
    def texts(self) -> list[str]:
        return [turn.text for turn in self.turns]


def says(ear: Ear, text: str, for_ms: int = 1000) -> None:
    ear.starts()
    ear.wait(for_ms)
    ear.stops()
    ear.hears(SttFinal(text, flushed=True))


class TestTurns:
    def test_a_turn_holds_text_words_and_times(self) -> None:
        ear = Ear(endpointing=after(400))
        words = (Word("Hello.", 100, 500),)
        ear.wait(500)
        ear.starts()
        ear.wait(1000)
        ear.stops()
        ear.wait(100)
        ear.hears(SttFinal("Hello.", words, flushed=True))
        ear.wait(400)
        assert ear.turns == [CallerTurn("Hello.", words, 500, 1300, 1600, 800)]

    def test_what_is_certain_of_a_turn_is_told_apart(self) -> None:
        ear = Ear(endpointing=after(400))
        ear.starts()
        ear.wait(600)
        ear.stops()
        ear.hears(SttFinal("I would like", confidence=0.9))
        ear.hears(SttFinal("an avocado", confidence=0.3, flushed=True))
        ear.wait(3000)
        (turn,) = ear.turns
        assert (turn.text, turn.certain_text) == ("I would like an avocado", "I would like")
        assert not turn.wild

    def test_finals_follow_one_another(self) -> None:
        ear = Ear()
        ear.starts()
        ear.hears(SttFinal("What are"))
        ear.hears(SttInterim("your"))
        assert ear.listener.text == "What are your"
        ear.hears(SttFinal("your hours?"))
        ear.stops()
        ear.hears(SttFinal("", flushed=True))
        ear.wait(1000)
        assert ear.texts == ["What are your hours?"]

    def test_a_revision_is_instead_of_the_last_final(self) -> None:
        ear = Ear(endpointing=after(600))
        says(ear, "Sure.")
        ear.wait(300)
        says(ear, "It's four")
        ear.wait(300)
        ear.starts()
        ear.wait(1000)
        ear.stops()
        words = (Word("It's", 0, 100), Word("four", 100, 200), Word("one.", 200, 300))
        ear.hears(SttFinal("It's four one.", words, flushed=True, revises=True))
        assert not ear.out
        ear.wait(600)
        assert ear.texts == ["Sure. It's four one."]
        assert ear.turns[0].words == words
        assert ear.out == [TurnOver()]

    def test_a_revision_that_is_late_is_instead_of_the_guess_too(self) -> None:
        ear = Ear(endpointing=after(9000), flush_timeout_ms=700)
        says(ear, "It's four")
        ear.starts()
        ear.hears(SttInterim("won"))
        ear.stops()
        ear.wait(3000)
        assert ear.listener.text == "It's four won"
        ear.hears(SttFinal("It's four one.", flushed=True, revises=True))
        assert ear.listener.text == "It's four one."

    def test_a_revision_holds_all_guesses_before_it(self) -> None:
        ear = Ear(endpointing=after(9000), flush_timeout_ms=700)
        says(ear, "One.")
        for guess in ("two", "three"):
            ear.starts()
            ear.hears(SttInterim(guess))
            ear.stops()
            ear.wait(1000)
        assert ear.listener.text == "One. two three"
        ear.hears(SttFinal("One. Two.", flushed=True, revises=True))
        ear.hears(SttFinal("One. Two. Three.", flushed=True, revises=True))
        assert ear.listener.text == "One. Two. Three."

    def test_a_guess_that_was_not_made_good_in_time_goes_with_the_revision(self) -> None:
        ear = Ear(endpointing=after(20_000), flush_timeout_ms=700)
        ear.starts()
        ear.hears(SttInterim("won"))
        ear.stops()
        ear.wait(3000)
        ear.hears(SttFinal("One.", flushed=True))
        ear.hears(SttFinal("One. Two.", flushed=True, revises=True))
        assert ear.listener.text == "One. Two."

    def test_a_revision_of_nothing_is_text(self) -> None:
        ear = Ear(endpointing=after(600))
        ear.starts()
        ear.stops()
        ear.hears(SttFinal("One.", flushed=True, revises=True))
        ear.wait(1000)
        assert ear.texts == ["One."]

    def test_noise_is_over_too(self) -> None:
        ear = Ear()
        says(ear, "")
        ear.wait(2000)
        assert ear.out == [TurnOver()]

    def test_the_final_alone_is_not_enough(self) -> None:
        ear = Ear(endpointing=after(600), flush_timeout_ms=700)
        says(ear, "Hello")
        ear.wait(399)
        assert not ear.turns
        ear.wait(1)
        assert ear.texts == ["Hello"]

    def test_silence_alone_is_not_enough(self) -> None:
        ear = Ear(endpointing=after(200), flush_timeout_ms=700)
        ear.starts()
        ear.hears(SttInterim("hello"))
        ear.stops()
        ear.wait(699)
        assert not ear.turns
        ear.wait(1)
        assert ear.texts == ["hello"]

    def test_speech_that_goes_on_waits(self) -> None:
        ear = Ear(endpointing=after(600))
        says(ear, "Well,")
        ear.wait(300)
        ear.starts()
        ear.wait(5000)
        assert not ear.turns
        ear.stops()
        ear.hears(SttFinal("yes.", flushed=True))
        ear.wait(600)
        assert ear.texts == ["Well, yes."]

    def test_a_turn_is_not_taken_while_the_caller_perhaps_goes_on(self) -> None:
        ear = Ear(endpointing=after(600))
        says(ear, "Well,")
        ear.wait(390)
        ear.suspects.begins = True
        ear.wait(100)
        assert not ear.turns
        ear.suspects.begins = False
        ear.starts()
        ear.wait(1000)
        ear.stops()
        ear.hears(SttFinal("yes.", flushed=True))
        ear.wait(600)
        assert ear.texts == ["Well, yes."]

    def test_nor_for_a_text_that_comes_late(self) -> None:
        ear = Ear(endpointing=after(400), flush_timeout_ms=2000)
        ear.starts()
        ear.wait(1000)
        ear.stops()
        ear.wait(1000)
        ear.suspects.begins = True
        ear.hears(SttFinal("Well,", flushed=True))
        ear.wait(TurnSettings().begin_ms - FRAME_MS)
        assert not ear.turns
        ear.suspects.begins = False
        ear.wait(FRAME_MS)
        assert ear.texts == ["Well,"]

    def test_but_no_longer_than_that_takes(self) -> None:
        ear = Ear(endpointing=after(600))
        says(ear, "Yes.")
        ear.suspects.begins = True
        ear.wait(400 + TurnSettings().begin_ms - 1)
        assert not ear.turns
        ear.wait(1)
        assert ear.texts == ["Yes."]

    def test_the_next_turn_starts_clean(self) -> None:
        ear = Ear()
        says(ear, "One.")
        ear.wait(1000)
        says(ear, "Two.")
        ear.wait(1000)
        assert ear.texts == ["One.", "Two."]
        assert ear.turns[1].start_ms == 2000


class TestDeadStreams:
    def test_what_the_last_one_understood_is_kept(self) -> None:
        ear = Ear(endpointing=after(200))
        ear.starts()
        ear.hears(SttInterim("my order number is four two seven"))
        ear.listener.stt_died(ear.now_ms)
        ear.hears(SttInterim("please"))
        ear.hears(SttFinal("Please cancel it."))
        ear.stops()
        ear.hears(SttFinal("", flushed=True))
        ear.wait(1000)
        assert ear.texts == ["my order number is four two seven Please cancel it."]


class TestLateText:
    def late(self, *, interim: str) -> Ear:
        ear = Ear(endpointing=after(200), flush_timeout_ms=700)
        ear.starts()
        ear.wait(1000)
        if interim:
            ear.hears(SttInterim(interim))
        ear.stops()
        ear.wait(900)
        return ear

    def test_a_late_final_does_not_repeat_the_turn(self) -> None:
        ear = self.late(interim="are you open")
        ear.hears(SttFinal("Are you open?", flushed=True))
        ear.wait(3000)
        assert ear.texts == ["are you open"]

    def test_nor_does_it_when_the_caller_speaks_again(self) -> None:
        ear = self.late(interim="are you open")
        ear.starts()
        ear.hears(SttFinal("Are you open?", flushed=True))
        ear.wait(500)
        ear.stops()
        ear.hears(SttFinal("Hello?", flushed=True))
        ear.wait(1000)
        assert ear.texts == ["are you open", "Hello?"]

    def test_what_it_has_more_is_the_next_turn(self) -> None:
        ear = self.late(interim="I want too")
        words = tuple(Word(text, 0, 10) for text in "I want to book a table".split())
        ear.hears(SttFinal("I want to book a table.", words, flushed=True))
        ear.wait(1000)
        assert ear.texts == ["I want too", "book a table."]
        assert [word.text for word in ear.turns[1].words] == ["book", "a", "table"]

    def test_it_corrects_a_turn_that_is_not_decided(self) -> None:
        ear = Ear(endpointing=after(2000), flush_timeout_ms=700)
        ear.starts()
        ear.wait(1000)
        ear.hears(SttInterim("are you hoping"))
        ear.stops()
        ear.wait(900)
        assert not ear.turns
        ear.hears(SttFinal("Are you open?", flushed=True))
        ear.wait(1500)
        assert ear.texts == ["Are you open?"]

    def test_other_words_unasked_are_new(self) -> None:
        taken = TakenInterim("are you open", 0)
        final = SttFinal("On Sundays, I mean.")
        assert without_repeats(taken, 100, final) == final
        assert not without_repeats(taken, 100, SttFinal("Uncle Hogan?", flushed=True)).text

    def test_late_text_of_a_vendor_without_interims_is_not_lost(self) -> None:
        ear = self.late(interim="")
        assert not ear.turns
        ear.hears(SttFinal("Are you open?", flushed=True))
        ear.wait(1000)
        assert ear.texts == ["Are you open?"]

    def test_much_later_text_is_a_turn_of_its_own(self) -> None:
        ear = self.late(interim="are you open")
        ear.wait(LATE_FINAL_MS)
        ear.hears(SttFinal("Hello?"))
        ear.wait(1000)
        assert ear.texts == ["are you open", "Hello?"]


class TestVendorsOpinion:
    def test_is_believed_where_it_is_to_be(self) -> None:
        ear = Ear(vendor_ends_turns=True)
        ear.starts()
        ear.hears(SttFinal("Hi.", end_of_turn=True))
        assert ear.texts == ["Hi."]

    def test_is_ignored_otherwise(self) -> None:
        ear = Ear(endpointing=after(1000))
        ear.starts()
        ear.hears(SttFinal("Hi.", end_of_turn=True))
        assert not ear.turns

    def test_an_end_without_text_is_none(self) -> None:
        ear = Ear(vendor_ends_turns=True)
        ear.starts()
        ear.hears(SttFinal("", end_of_turn=True))
        assert not ear.turns
        ear.hears(SttFinal("Hi.", end_of_turn=True))
        assert ear.texts == ["Hi."]

    def test_an_eager_end_is_text_and_no_more(self) -> None:
        ear = Ear(vendor_ends_turns=True)
        ear.starts()
        ear.hears(SttEager("Hi"))
        ear.hears(SttResumed())
        assert not ear.turns
        assert ear.listener.text == "Hi"

    def test_a_vendor_that_never_ends_a_turn_does_not_hang_it(self) -> None:
        ear = Ear(vendor_ends_turns=True)
        ear.starts()
        ear.hears(SttInterim("hello"))
        ear.stops()
        ear.wait(VENDOR_PATIENCE_MS - 1)
        assert not ear.turns
        ear.wait(1)
        assert ear.texts == ["hello"]


EVENT = st.one_of(
    st.just(("starts", "")),
    st.just(("stops", "")),
    st.tuples(st.just("wait"), st.integers(1, 900)),
    st.tuples(st.just("final"), st.sampled_from(["", "a", "b"])),
    st.tuples(st.just("flushed"), st.sampled_from(["", "c"])),
    st.tuples(st.just("interim"), st.sampled_from(["", "d"])),
    st.tuples(st.just("ended"), st.sampled_from(["", "e"])),
)


@given(st.lists(EVENT, max_size=60), st.booleans())
def test_any_order(events: list[tuple[str, str | int]], vendor_ends_turns: bool) -> None:
    ear = Ear(vendor_ends_turns=vendor_ends_turns)
    for name, value in events:
        match name:
            case "starts":
                ear.starts()
            case "stops":
                ear.stops()
            case "wait":
                ear.wait(int(value))
            case "interim":
                ear.hears(SttInterim(str(value)))
            case _:
                ear.hears(
                    SttFinal(str(value), flushed=name == "flushed", end_of_turn=name == "ended")
                )
    ear.stops()
    ear.wait(5000)
    assert ear.listener.idle
    assert not ear.listener.text, "nothing that was said waits for ever"
    assert all(turn.text and turn.start_ms <= ear.now_ms for turn in ear.turns)
    said = [str(value) for name, value in events if name in ("final", "flushed", "ended") if value]
    heard = " ".join(ear.texts).split()
    assert len(heard) <= len(said) + sum(name == "interim" for name, _ in events)


def test_noise_while_the_agent_thinks_does_not_swallow_the_answer() -> None:
    driver = Driver()
    reply = driver.caller_turn("What are your hours?")
    driver.caller_speaks(400)
    driver.caller_stops()
    driver.final("")
    driver.pass_ms(3000)
    asked = driver.last(out.StartLlm)
    assert driver.machine.live_reply == asked.reply
    assert asked.request.messages[-1].text == "What are your hours?"
    assert reply <= asked.reply


def test_failures_far_apart_do_not_add_up() -> None:
    driver = Driver()
    for _ in range(5):
        driver.send(inputs.Heard(SttFailed(RETRYABLE)))
        reply = driver.caller_turn("Hello?")
        driver.full_reply(reply, "Hello.")
    assert len(driver.of(out.ReopenStt)) == 5
    assert not driver.ended


def test_text_may_come_before_its_speech() -> None:
    driver = Driver()
    driver.send(inputs.Heard(SttInterim("hello")))
    driver.caller_says("Hello there.")
    driver.pass_ms(1000)
    assert driver.last(out.StartLlm).request.messages[-1].text == "Hello there."


def test_noise_before_a_prompt_does_not_answer_an_old_turn_again() -> None:
    driver = Driver()
    reply = driver.caller_turn("What are your hours?")
    driver.full_reply(reply, "Nine to five.")
    driver.pass_ms(8000)
    assert driver.machine.live_reply == reply + 1
    driver.caller_speaks(400)
    driver.caller_stops()
    driver.final("")
    driver.pass_ms(3000)
    assert len(driver.of(out.StartLlm)) == 1
