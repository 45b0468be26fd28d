"""Whether a text is a whole utterance, and how long the wait is for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.turns.completeness import Completeness, completeness
from voicecore.turns.endpointing import Endpointing, EndpointingPolicy

COMPLETE, OPEN, INCOMPLETE = Completeness.COMPLETE, Completeness.OPEN, Completeness.INCOMPLETE


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("What are your hours?", COMPLETE),
        ("And?", COMPLETE),
        ("I would like to book a table for two.", COMPLETE),
        ("I would like to do that.", COMPLETE),
        ("It costs 150 dollars.", COMPLETE),
        ("We moved here in 2019.", COMPLETE),
        ("My number is 555 123 4567.", COMPLETE),
        ("It is jane at gmail dot com.", COMPLETE),
        ("I need one.", COMPLETE),
        ("what are your hours", OPEN),
        ("yes", OPEN),
        ("", OPEN),
        ("...", OPEN),
        ("I would like to book a table for", INCOMPLETE),
        ("I want to come on Sunday and.", INCOMPLETE),
        ("Um.", INCOMPLETE),
        ("My name is, um,", INCOMPLETE),
        ("Let me see.", INCOMPLETE),
        ("It's the...", INCOMPLETE),
        ("My number is 555.", INCOMPLETE),
        ("five five five one two", INCOMPLETE),
        ("The code is 4 7 1.", INCOMPLETE),
        ("My e-mail is jane at gmail.", INCOMPLETE),
        ("It is spelled S M I", INCOMPLETE),
    ],
)
def test_english(text: str, judged: Completeness) -> None:
    assert completeness(text) is judged


@pytest.mark.parametrize(
    ("language", "text", "judged"),
    [
        ("de-DE", "Ich möchte einen Tisch für", INCOMPLETE),
        ("de", "Ich möchte einen Tisch reservieren.", COMPLETE),
        ("es", "Quiero una mesa para", INCOMPLETE),
        ("fr", "Je voudrais une table et", INCOMPLETE),
        ("xx", "I want to come on Sunday and", INCOMPLETE),
    ],
)
def test_other_languages(language: str, text: str, judged: Completeness) -> None:
    assert completeness(text, language) is judged


@given(st.text(max_size=80), st.sampled_from(["en", "de", "es", "tr", ""]))
def test_any_text_is_judged(text: str, language: str) -> None:
    assert completeness(text, language) in Completeness


class TestWait:
    def test_follows_the_text(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("What are your hours?") == 400
        assert endpointing.wait_ms("what are your hours") == 600
        assert endpointing.wait_ms("my number is") == 1600

    def test_follows_the_vendor_where_the_text_says_nothing(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        assert endpointing.wait_ms("what are your hours", vendor_says_over=True) == 400
        assert endpointing.wait_ms("my number is", vendor_says_over=True) == 1600

    def test_can_be_fixed(self) -> None:
        endpointing = Endpointing(EndpointingPolicy(adapts=False))
        endpointing.cut_off()
        assert {endpointing.wait_ms(text) for text in ("Hi.", "hi", "hi and")} == {400}

    def test_learns_how_long_the_caller_pauses(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.paused(800)
        assert endpointing.wait_ms("what are your hours") == 1000
        assert endpointing.wait_ms("What are your hours?") == 400, "a whole sentence is one"
        for _ in range(6):
            endpointing.paused(100)
        assert endpointing.wait_ms("what are your hours") == 600

    def test_grows_with_each_cut_off_and_shrinks_again(self) -> None:
        endpointing = Endpointing(EndpointingPolicy())
        endpointing.cut_off()
        endpointing.cut_off()
        assert endpointing.wait_ms("Hi.") == 700
        endpointing.went_well()
        assert endpointing.wait_ms("Hi.") == 625
        for _ in range(10):
            endpointing.went_well()
        assert endpointing.wait_ms("Hi.") == 400

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
