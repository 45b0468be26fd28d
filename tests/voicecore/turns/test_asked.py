"""An answer is judged by what was asked."""

import pytest

from tests.support.machine_driver import Driver
from voicecore.turns import outputs as out
from voicecore.turns.asked import NOTHING, Asked, asked_for
from voicecore.turns.completeness import Completeness, completeness
from voicecore.turns.endpointing import Endpointing, EndpointingPolicy
from voicecore.turns.settings import TurnSettings

COMPLETE, OPEN, DICTATING = Completeness.COMPLETE, Completeness.OPEN, Completeness.DICTATING
DOUBTFUL, SHORT = Completeness.DOUBTFUL, Completeness.SHORT
NUMBER = Asked(number=True)
PHONE = Asked(number=True, phone=True)
MAIL = Asked(mail=True)
SPELLING = Asked(spelling=True)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("What's your order number?", NUMBER),
        ("Sure. Could you tell me the reference, please?", NUMBER),
        ("I'll need your account number.", NUMBER),
        ("Please give me your booking code. Take your time.", NUMBER),
        ("What is the best number to reach you?", PHONE),
        ("Could I have your phone number?", PHONE),
        ("And a callback number, please.", PHONE),
        ("What are the last four digits of your card?", NUMBER._replace(digits=4)),
        ("And your zip code?", NUMBER._replace(digits=5)),
        ("What's your e-mail?", MAIL),
        ("Which email address should I send it to?", MAIL),
        ("How do you spell that?", SPELLING),
        ("Could you spell your last name for me?", SPELLING),
        ("When were you born?", Asked(birth=True)),
        ("And your date of birth, please?", Asked(birth=True)),
        ("", NOTHING),
        ("How can I help?", NOTHING),
        ("How many people are coming?", NOTHING),
        ("What is the number of guests?", NOTHING),
        ("What time would you like to come?", NOTHING),
        ("Your number is in our system.", NOTHING),
        ("Is 5 5 5 0 1 2 your number?", NOTHING),
        ("I found order number 4417. Anything else?", NOTHING),
        ("What's your phone number? Thank you. I have it now. Goodbye.", NOTHING),
        ("Should I e-mail you the receipt?", NOTHING),
    ],
)
def test_what_was_asked_for(said: str, asked: Asked) -> None:
    assert asked_for(said) == asked


@pytest.mark.parametrize(
    ("asked", "text", "judged", "unasked"),
    [
        (PHONE, "415.", SHORT, OPEN),
        (PHONE, "4.", SHORT, OPEN),
        (PHONE, "It's 415 555.", SHORT, DICTATING),
        (PHONE, "Sure, seven, o, two.", SHORT, DICTATING),
        (PHONE, "It's 555 0199.", OPEN, OPEN),
        (PHONE, "4155550199.", COMPLETE, OPEN),
        (NUMBER, "417.", DICTATING, OPEN),
        (NUMBER, "It's 55 0 1.", DICTATING, DICTATING),
        (NUMBER, "Two.", OPEN, OPEN),
        (NUMBER, "I don't have it.", OPEN, OPEN),
        (NUMBER, "Yes.", OPEN, OPEN),
        (NUMBER._replace(digits=4), "44.", SHORT, OPEN),
        (NUMBER._replace(digits=4), "4417.", COMPLETE, OPEN),
        (NUMBER._replace(digits=4), "My zip code is 9 4 1 1.", DICTATING, DICTATING),
        (MAIL, "jane at gmail.", DICTATING, OPEN),
        (MAIL, "jane at gmail dot com.", COMPLETE, COMPLETE),
        (MAIL, "I don't have one.", OPEN, OPEN),
        (Asked(birth=True), "March the 4th.", Completeness.HANGING, OPEN),
        (Asked(birth=True), "The fourth of March.", Completeness.HANGING, OPEN),
        (Asked(birth=True), "The fourth of March 1984.", OPEN, OPEN),
        (SPELLING, "S.", DICTATING, OPEN),
        (SPELLING, "S M I T H.", DOUBTFUL, DOUBTFUL),
        (SPELLING, "Sure.", OPEN, OPEN),
    ],
)
def test_what_an_answer_is_worth(
    asked: Asked, text: str, judged: Completeness, unasked: Completeness
) -> None:
    assert completeness(text, asked=asked) is judged
    assert completeness(text) is unasked


class TestCards:
    """A number with pauses behind its fourth and eighth digit has one behind its twelfth."""

    TWELVE = "It is four, two, two, one, seven, seven, oh nine, three, three, one, eight."

    @pytest.mark.parametrize(
        ("paused_at", "judged"),
        [
            ((4, 8), DICTATING),
            ((4, 7), DICTATING),
            ((3, 6), COMPLETE),
            ((4, 6), COMPLETE),
            ((4,), COMPLETE),
            ((4, 8, 12), DICTATING),
            ((), COMPLETE),
        ],
    )
    def test_by_its_pauses(self, paused_at: tuple[int, ...], judged: Completeness) -> None:
        assert completeness(self.TWELVE, paused_at=paused_at) is judged

    def test_by_how_it_is_written(self) -> None:
        assert completeness("It is 4221 7709 3318.") is DICTATING
        assert completeness("It is 4221 7709 3318 6542.") is COMPLETE
        assert completeness("It is 422 177 093 318.") is COMPLETE

    def test_pauses_are_those_of_the_turn(self) -> None:
        driver = Driver()
        for piece in ("It is four, two, two, one.", "Seven, seven, oh nine."):
            driver.caller_says(piece)
            driver.pass_ms(300)
        driver.caller_says("Three, three, one, eight.")
        driver.pass_ms(1200)
        assert not driver.of(out.StartLlm)
        driver.pass_ms(600)
        assert driver.of(out.StartLlm), "it is waited for, but not for ever"
        driver.full_reply(driver.last(out.StartLlm).reply, "Thank you.")
        driver.caller_says(self.TWELVE)
        driver.pass_ms(600)
        assert len(driver.of(out.StartLlm)) == 2


def test_no_sound_ends_what_is_short_of_what_was_asked_for() -> None:
    asked = Endpointing(EndpointingPolicy(), lambda: "What's your phone number?")
    told = Endpointing(EndpointingPolicy())
    text = "It's 415 555."
    assert asked.wait_ms(text, audio=0.99) == asked.wait_ms(text) > 1700
    assert told.wait_ms(text, audio=0.99) < told.wait_ms(text)
    assert asked.wait_ms(text, audio=0.1) == 2000


class TestCalls:
    def asked(self, question: str) -> Driver:
        driver = Driver(TurnSettings(greeting=question))
        driver.reply_plays(1)
        return driver

    def test_a_pause_in_a_number_that_was_asked_for(self) -> None:
        driver = self.asked("What's your phone number?")
        driver.caller_says("415.")
        driver.pass_ms(1400)
        assert not driver.of(out.StartLlm)
        driver.caller_says("555 0199.")
        driver.pass_ms(600)
        assert driver.last(out.StartLlm).request.messages[-1].text == "415. 555 0199."

    @pytest.mark.parametrize(
        ("question", "answer"),
        [("How can I help?", "415."), ("What's your phone number?", "I forgot it.")],
    )
    def test_other_answers_are_taken_as_soon_as_before(self, question: str, answer: str) -> None:
        driver = self.asked(question)
        driver.caller_says(answer)
        driver.pass_ms(600)
        assert driver.last(out.StartLlm).request.messages[-1].text == answer

    def test_a_question_that_was_not_heard_asks_for_nothing(self) -> None:
        driver = Driver(TurnSettings(greeting="What's your phone number?"))
        driver.caller_turn("Stop that.")
        assert driver.history.last_said() == ""

    def test_the_question_stays_asked_while_the_caller_answers(self) -> None:
        driver = self.asked("What's your phone number?")
        driver.caller_turn("Just a moment, my phone is in the other room.")
        assert driver.history.last_said() == "What's your phone number?"
