"""Whether a text is a whole utterance, and how long the wait is for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.turns.completeness import Completeness, completeness
from voicecore.turns.endpointing import Endpointing, EndpointingPolicy

COMPLETE, OPEN, INCOMPLETE = Completeness.COMPLETE, Completeness.OPEN, Completeness.INCOMPLETE
DOUBTFUL, HANGING, DICTATING = Completeness.DOUBTFUL, Completeness.HANGING, Completeness.DICTATING


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("What are your hours?", OPEN),
        ("And?", OPEN),
        ("I would like to book a table for two.", OPEN),
        ("I would like to do that.", DOUBTFUL),
        ("It costs 150 dollars.", OPEN),
        ("We moved here in 2019.", OPEN),
        ("My number is 555 123 4567.", COMPLETE),
        ("It is jane at gmail dot com.", COMPLETE),
        ("I need one.", OPEN),
        ("what are your hours", OPEN),
        ("yes", OPEN),
        ("", OPEN),
        ("...", OPEN),
        ("I would like to book a table for", HANGING),
        ("I would like to book a table for.", HANGING),
        ("I want to come on Sunday and.", INCOMPLETE),
        ("Um.", INCOMPLETE),
        ("My name is, um,", INCOMPLETE),
        ("Let me see.", INCOMPLETE),
        ("It's the...", INCOMPLETE),
        ("My number is 555.", DICTATING),
        ("five five five one two", DICTATING),
        ("The code is 4 7 1.", DICTATING),
        ("My e-mail is jane at gmail.", DICTATING),
        ("It is spelled S M I", DICTATING),
        ("It is spelled S M I T H", DOUBTFUL),
        ("That's g, h, d, and t.", DOUBTFUL),
        ("It's a B and B.", OPEN),
        ("A and B", OPEN),
        ("It is I, T.", DICTATING),
        ("My last name is Smythe. That's S-M-Y-T.", DICTATING),
        ("My last name is Smythe. That's S-M-Y-T-H-E.", COMPLETE),
        ("It's zero seven seven zero zero nine zero zero five one two three", COMPLETE),
        ("My email is jane dot miller.", DICTATING),
        ("My zip code is 9 4 1", DICTATING),
        ("My zip code is 9 4 1 1 0", COMPLETE),
        ("It ends in four four one two.", COMPLETE),
        ("What is it for?", OPEN),
        ("Where are you from", OPEN),
        ("What I need is.", HANGING),
        ("So I was wondering.", HANGING),
        ("The delivery goes to.", HANGING),
        ("Hold on, let me find it.", INCOMPLETE),
        ("I need the form. What do you call it?", INCOMPLETE),
        ("Do you?", INCOMPLETE),
        ("I can't make it.", OPEN),
        ("When I log in, it.", INCOMPLETE),
        ("It.", INCOMPLETE),
        ("I tried, and it", HANGING),
        ("Hold on, let me find it. Okay.", INCOMPLETE),
        ("One moment, I have it here.", DOUBTFUL),
        ("I have it here, and it is broken.", OPEN),
        ("It took one minute. Yes.", OPEN),
        ("Is it possible?", DOUBTFUL),
        ("Is that okay?", OPEN),
        ("Could you please tell me?", DOUBTFUL),
        ("Could you tell me the price?", OPEN),
        ("Can you check?", OPEN),
        ("What time is it?", OPEN),
        ("That is it.", OPEN),
        ("Is that a problem?", OPEN),
        ("It tells me that my password,", HANGING),
        ("Do you know if the store?", HANGING),
        ("Do you know if the store opens?", OPEN),
        ("My email address.", DOUBTFUL),
        ("Use my work email.", DOUBTFUL),
        ("My email is wrong.", OPEN),
        ("It is 4, 2, 2, 1, 7, 7, no, 9.", DOUBTFUL),
        ("It is 4, 2, 7, 7, no, 9.", DICTATING),
        ("It's invoice number 3 0 0 5 dash 1 1.", DICTATING),
        ("At 5, no, 6.", OPEN),
        ("At 9:30, no, 10.", OPEN),
        ("Two, two, no, three.", OPEN),
        ("12.99, sorry, 13.", OPEN),
        ("The code is K.", DOUBTFUL),
        ("It is with an E.", DOUBTFUL),
        ("It's B.", OPEN),
        ("I would like plan B.", OPEN),
        ("The label says 8 0 8 5 5 5 0.", DOUBTFUL),
        ("Call me on 8 0 8 5 5 5 0.", DOUBTFUL),
        ("My mobile is 0 8 0 8 5 5 5 0.", DOUBTFUL),
        ("My mobile is 12345678.", OPEN),
        ("It's 0 7 7 0 0 9 0 0 5.", DOUBTFUL),
        ("The account number is 8 8 2 4 0 1 6 6 3.", OPEN),
        ("It's 447-12-9835.", OPEN),
        ("Okay so.", INCOMPLETE),
        ("When I log in,", HANGING),
        ("When I log in, it says no.", OPEN),
        ("When are you open?", OPEN),
        ("Either Monday.", HANGING),
        ("The number on the letter,", HANGING),
        ("My account number.", HANGING),
        ("Sure. The booking reference.", HANGING),
        ("What is the account number?", OPEN),
        ("The account number?", OPEN),
        ("I have lost my card.", OPEN),
        ("My account.", OPEN),
        ("The home address.", OPEN),
        ("It is about the order.", OPEN),
        ("Either Monday or Friday.", OPEN),
        ("Thursday, I guess.", DOUBTFUL),
        ("I was born on the. Fourteenth of March.", HANGING),
        ("I was born on March the fourth 1986.", OPEN),
        ("I was born in March 1986.", OPEN),
        ("Hello.", HANGING),
        ("Hi, good morning!", HANGING),
        ("Hello?", OPEN),
        ("Okay, thank you.", DOUBTFUL),
        ("Yes.", OPEN),
        ("It is spelled bee and row.", DICTATING),
        ("That is B as in Berlin.", DICTATING),
        ("I have a question about my bill.", DOUBTFUL),
        ("I wanted to ask you something.", DOUBTFUL),
        ("I have a question about my bill, why is it so high?", OPEN),
        ("I have a question about my bill, it seems to be too high.", OPEN),
        ("I wanted to ask about your opening hours on Sunday.", OPEN),
        ("Can you spell your name for me?", OPEN),
        ("There is a spelling mistake on my invoice.", OPEN),
        ("You spelled my name wrong.", OPEN),
        ("I want the same room as in June.", OPEN),
        ("Yes. Are as in Rome.", DICTATING),
        ("That's spelled S-M-I-T-H. My phone number is 555 123 4567.", COMPLETE),
        ("My baby was born last month.", OPEN),
        ("My date of birth is wrong on my insurance card.", OPEN),
        ("I was born in 1980, and I lost my card.", OPEN),
        ("I was born in Fort Worth.", OPEN),
    ],
)
def test_english(text: str, judged: Completeness) -> None:
    assert completeness(text) is judged


@pytest.mark.parametrize(
    ("language", "text", "judged"),
    [
        ("de-DE", "Ich möchte einen Tisch für", INCOMPLETE),
        ("de", "Ich möchte einen Tisch reservieren.", OPEN),
        ("es", "Quiero una mesa para", INCOMPLETE),
        ("fr", "Je voudrais une table et", INCOMPLETE),
        ("xx", "I want to come on Sunday and", INCOMPLETE),
        ("de", "Guten Tag.", HANGING),
        ("es", "¡Hola!", HANGING),
        ("it", "Ciao.", OPEN),
        ("de", "Okay.", OPEN),
    ],
)
def test_other_languages(language: str, text: str, judged: Completeness) -> None:
    assert completeness(text, language) is judged


def test_of_a_long_text_the_end_is_judged() -> None:
    long = "I would like to ask about my account. " * 1000
    assert completeness(long + "My number is 555.") is DICTATING
    assert completeness(long + "I want to come on Sunday and") is INCOMPLETE


@given(st.text(max_size=80), st.sampled_from(["en", "de", "es", "tr", ""]))
def test_any_text_is_judged(text: str, language: str) -> None:
    assert completeness(text, language) in Completeness


class TestMarks:
    """What a full stop is worth."""

    def test_one_is_believed_at_first(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("I paid the bill.") == 400
        assert endpointing.wait_ms("I paid the bill") == 600
        assert endpointing.wait_ms("I paid the bill,") == 1570

    def test_a_vendor_that_sets_one_after_everything_is_not(self) -> None:
        endpointing = Endpointing(EndpointingPolicy(open_silence_ms=900))
        for _ in range(12):
            endpointing.paused(1, "The delivery goes to.")
            endpointing.ended("The delivery goes to. Portland.")
        assert 800 <= endpointing.wait_ms("I paid the bill.") <= 900

    def test_nor_is_that_of_a_vendor_known_for_it(self) -> None:
        endpointing = Endpointing(EndpointingPolicy(marks_ends=False))
        assert 520 <= endpointing.wait_ms("I paid the bill.") <= 560, "hardly anything"
        assert endpointing.wait_ms("What do I owe?") < 500, "a question mark says something"
        assert endpointing.wait_ms("I paid the bill,") > 1200

    def test_what_was_counted_weighs_more_than_what_is_supposed(self) -> None:
        known, supposed = (
            Endpointing(EndpointingPolicy(marks_ends=ends)) for ends in (False, True)
        )
        changes = []
        for endpointing in (known, supposed):
            before = endpointing.odds("I paid the bill.")
            for _ in range(4):
                endpointing.paused(1, "The delivery goes to.")
            changes.append(before - endpointing.odds("I paid the bill."))
        assert 0 < 2 * changes[0] < changes[1]

    def test_nor_is_its_comma(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        before_ms = endpointing.wait_ms("I paid the bill,")
        for _ in range(12):
            endpointing.ended("Thank you,")
        assert endpointing.wait_ms("I paid the bill,") < before_ms

    def test_a_vendor_that_hears_ends_is_believed_ever_more(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        before = endpointing.odds("I paid the bill.")
        for _ in range(12):
            endpointing.paused(300, "I paid the")
            endpointing.ended("I paid the bill.")
        assert endpointing.odds("I paid the bill.") > before

    def test_a_turn_that_was_none_counts_as_a_pause(self) -> None:
        endpointing, other = Endpointing(EndpointingPolicy()), Endpointing(EndpointingPolicy())
        endpointing.ended("I paid the.")
        endpointing.cut_off()
        other.paused(0, "I paid the.")
        assert endpointing.odds("Hi.") == other.odds("Hi.")
        endpointing.cut_off()
        assert endpointing.odds("Hi.") == other.odds("Hi."), "once only"

    def test_the_groups_of_a_number_end_in_full_stops_and_go_on(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("My number is 5 5 5.") == 1767
        assert endpointing.wait_ms("My number is 5 5 5") == 1767
        assert endpointing.wait_ms("My number is 5 5 5,") == 2000, "a comma says what it says"


class TestWait:
    def test_follows_the_text(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("What are your hours?") == 400
        assert endpointing.wait_ms("what are your hours") == 600
        assert endpointing.wait_ms("my number is") == 1533

    def test_follows_the_vendor_where_the_text_says_nothing(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("what are your hours", vendor_says_over=True) == 400
        assert endpointing.wait_ms("my number is", vendor_says_over=True) == 1533
        assert endpointing.wait_ms("my number is the") == 2000

    def test_can_be_fixed(self) -> None:
        endpointing = Endpointing(EndpointingPolicy(adapts=False))
        endpointing.cut_off()
        assert {endpointing.wait_ms(text) for text in ("Hi.", "hi", "hi and")} == {400}

    def test_learns_how_long_the_caller_pauses(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.paused(800)
        assert endpointing.wait_ms("what are your hours") == 1000
        assert endpointing.wait_ms("What are your hours?") == 400, "a full stop is believed"
        for _ in range(6):
            endpointing.paused(100)
        assert endpointing.wait_ms("what are your hours") == 600

    def test_grows_with_each_cut_off_and_shrinks_again(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.cut_off()
        endpointing.cut_off()
        assert endpointing.wait_ms("Yes.") == 700
        endpointing.went_well()
        assert endpointing.wait_ms("Yes.") == 625
        for _ in range(10):
            endpointing.went_well()
        assert endpointing.wait_ms("Yes.") == 400

    @given(
        st.lists(
            st.one_of(st.integers(-10, 9000), st.sampled_from(["cut off", "well"])), max_size=40
        ),
        st.sampled_from(["Hi.", "hi", "hi and", ""]),
        st.integers(0, 3000),
        st.integers(0, 3000),
    )
    def test_stays_within_its_bounds(
        self, history: list[int | str], text: str, least_ms: int, most_ms: int
    ) -> None:
        endpointing = Endpointing(
            EndpointingPolicy(min_silence_ms=least_ms, max_silence_ms=most_ms)
        )
        for happened in history:
            if isinstance(happened, int):
                endpointing.paused(happened)
            elif happened == "well":
                endpointing.went_well()
            else:
                endpointing.cut_off()
        assert least_ms <= endpointing.wait_ms(text) <= max(least_ms, most_ms)
