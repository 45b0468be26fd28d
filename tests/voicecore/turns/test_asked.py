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
PHONE = Asked(phone=True)
FOUR = Asked(digits=4)
MAIL = Asked(mail=True)
SPELLING = Asked(spelling=True)
BIRTH = Asked(birth=True)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("What is the best number to reach you?", PHONE),
        ("Could I have your phone number?", PHONE),
        ("Can I take your number?", PHONE),
        ("And a callback number, please.", PHONE),
        ("Okay, and your phone number.", PHONE),
        ("I\u2019ll need your phone number.", PHONE),
        ("What's your phone number? Please take your time. No hurry.", PHONE),
        ("What are the last four digits of your card?", FOUR),
        ("What are the last four digits of your phone number?", FOUR),
        ("Can you give me the last four of your social?", FOUR),
        ("What's your six digit PIN?", Asked(digits=6)),
        ("What's the security code on the back?", Asked(digits=3)),
        ("And your zip code?", Asked(digits=5)),
        ("Please read me your credit card number.", Asked(digits=15)),
        ("What's your e-mail?", MAIL),
        ("Which email address should I send it to?", MAIL),
        ("How do you spell that?", SPELLING),
        ("Could you spell your last name for me?", SPELLING),
        ("How is that spelled?", SPELLING),
        ("When were you born?", BIRTH),
        ("And your date of birth, please?", BIRTH),
        ("", NOTHING),
        ("How can I help?", NOTHING),
        ("How many people are coming?", NOTHING),
        ("What's your order number?", NOTHING),
        ("What time should I call you back at this number?", NOTHING),
        ("Which phone number, the first one or the second one?", NOTHING),
        ("Is this the best number to reach you at?", NOTHING),
        ("I need a moment to find your phone number.", NOTHING),
        ("What's the area code of your phone number?", NOTHING),
        ("Your number is in our system.", NOTHING),
        ("Is 5 5 5 0 1 2 your number?", NOTHING),
        ("What's your phone number? Anything else?", NOTHING),
        ("What's your phone number? Thank you. I have it now. Goodbye.", NOTHING),
        ("Should I e-mail you the receipt?", NOTHING),
        ("Is that spelled with a C or a K?", NOTHING),
        ("When is your birthday party?", NOTHING),
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
        (PHONE, "It's 555 0199.", OPEN, OPEN),
        (PHONE, "415 555 01", DICTATING, OPEN),
        (PHONE, "Sure, seven o's, two.", SHORT, DICTATING),
        (PHONE, "4155550199.", COMPLETE, OPEN),
        (FOUR, "44.", SHORT, OPEN),
        (FOUR, "4417.", COMPLETE, OPEN),
        (FOUR, "triple four one", COMPLETE, DICTATING),
        (FOUR, "My zip code is 9 4 1 1.", DICTATING, DICTATING),
        (MAIL, "jane at gmail.", DICTATING, OPEN),
        (MAIL, "jane at gmail dot com.", COMPLETE, COMPLETE),
        (BIRTH, "March the 4th.", Completeness.HANGING, OPEN),
        (BIRTH, "The fourth of March.", Completeness.HANGING, OPEN),
        (BIRTH, "The fourth of March 1984.", OPEN, OPEN),
        (SPELLING, "S.", DICTATING, OPEN),
        (SPELLING, "S M I T H.", DOUBTFUL, DOUBTFUL),
    ],
)
def test_what_an_answer_is_worth(
    asked: Asked, text: str, judged: Completeness, unasked: Completeness
) -> None:
    assert completeness(text, asked=asked) is judged
    assert completeness(text) is unasked


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (PHONE, "I don't have one."),
        (PHONE, "Which one?"),
        (PHONE, "No, not that one."),
        (PHONE, "You already have one."),
        (PHONE, "I'm room 12."),
        (PHONE, "Yes, but only after 5."),
        (PHONE, "It ends in 0199."),
        (PHONE, "Yes."),
        (PHONE, "At 3."),
        (FOUR, "I've got two."),
        (FOUR, "I don't have it."),
        (MAIL, "I don't have one."),
        (MAIL, "I'm at work, I don't remember."),
        (MAIL, "I don't have any at the moment."),
        (MAIL, "You can look at my account."),
        (SPELLING, "Sure."),
        (BIRTH, "I'd rather not say."),
    ],
)
def test_other_answers_are_judged_as_before(asked: Asked, text: str) -> None:
    assert completeness(text, asked=asked) is completeness(text)


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

    def test_the_same_text_is_judged_anew_where_the_pauses_differ(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        short_ms = endpointing.wait_ms(self.TWELVE)
        endpointing.paused(500, "It is four two two one")
        endpointing.paused(500, "It is four two two one seven seven oh nine")
        long_ms = endpointing.wait_ms(self.TWELVE)
        endpointing.forget_turn()
        assert endpointing.wait_ms(self.TWELVE) == short_ms < 600 < 1700 < long_ms


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

    def test_what_waits_for_a_tool_was_not_heard_yet(self) -> None:
        driver = self.asked("How can I help?")
        driver.history.caller_said("Call me.")
        driver.history.tools_called("What's your phone number?", ())
        assert driver.history.last_said() == "How can I help?"
        driver.history.settle("What's your phone number?")
        assert driver.history.last_said() == "What's your phone number?"

    def test_a_question_that_was_not_heard_asks_for_nothing(self) -> None:
        driver = Driver(TurnSettings(greeting="What's your phone number?"))
        driver.caller_turn("Stop that.")
        assert driver.history.last_said() == ""

    def test_the_question_stays_asked_while_the_caller_answers(self) -> None:
        driver = self.asked("What's your phone number?")
        driver.caller_turn("Just a moment, my phone is in the other room.")
        assert driver.history.last_said() == "What's your phone number?"
