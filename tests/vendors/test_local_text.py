"""Text on its way to and from the local engines: pieces to speak, transcripts to believe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.local.clauses import MAX_PIECE_CHARS, sentences, split_clauses
from voicecore.local.transcript import clean

WORDS = st.lists(st.from_regex(r"[a-zA-Z0-9']{1,14}[,.;:!?]?", fullmatch=True), max_size=60).map(
    " ".join
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. We are open! Really?", ["Yes.", "We are open!", "Really?"]),
        ("Dr. Lee is in. Ask Mrs. J. Smith.", ["Dr. Lee is in.", "Ask Mrs. J. Smith."]),
        ("It costs 3.50 dollars", ["It costs 3.50 dollars"]),
        ('She said "no." Then left.', ['She said "no."', "Then left."]),
        ("  \n ", []),
    ],
)
def test_sentences_end_at_stops_and_not_in_titles_or_numbers(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("We are open, of course.", "We are open, of course."),
        (
            "We are at 12 Market Street, next to the library, and parking is free behind.",
            "We are at 12 Market Street, next to the library,",
        ),
        (
            "We are open every day, except on Sundays and on the holidays of the State.",
            "We are open every day,",
        ),
        (
            "You can leave your car for free in the yard that lies behind the building",
            "You can leave your car for free",
        ),
        ("Internationalisationalists misunderstandings notwithstanding " * 2, None),
    ],
)
def test_the_first_piece_ends_where_a_speaker_would_breathe(text, first):
    pieces = split_clauses(text, first_chars=40)
    assert pieces[0] == (first or pieces[0])
    assert len(pieces[0]) <= 60


def test_only_the_first_piece_is_short():
    sentence = "We are open on Monday, and on Tuesday, and on Friday, from nine to five."
    assert split_clauses(f"{sentence} {sentence}", first_chars=40)[-1] == sentence
    assert split_clauses(sentence, first_chars=0) == [sentence]


@given(WORDS, st.sampled_from([0, 20, 40, 100]))
def test_no_word_is_lost_and_no_piece_is_too_long(text, first_chars):
    pieces = split_clauses(text, first_chars=first_chars)
    assert " ".join(pieces).split() == text.split()
    assert all(0 < len(piece) <= MAX_PIECE_CHARS for piece in pieces)


@given(st.text(max_size=600))
def test_any_text_can_be_split(text):
    pieces = split_clauses(text, first_chars=40)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= MAX_PIECE_CHARS for piece in pieces)


@pytest.mark.parametrize(
    ("heard", "voiced_ms", "believed"),
    [
        ("  Where are\nyou? ", 1000, "Where are you?"),
        ("No, no, no.", 900, "No, no, no."),
        ("you you you you you you you you", 3000, "you"),
        ("I would. I would I would, I would. I would go", 3000, "I would. go"),
        ("five five five five", 2000, "five"),
        ("5 5 5 5 5", 2000, "5 5 5 5 5"),
        ("...", 1000, ""),
        ("", 1000, ""),
        ("Thank you for watching this video today everyone", 100, "Thank you for watching"),
        ("caf\ufffd open", 1000, "caf open"),
    ],
)
def test_loops_noise_and_impossible_speed_are_not_believed(heard, voiced_ms, believed):
    assert clean(heard, voiced_ms) == believed


@given(st.text(max_size=300), st.integers(0, 60_000))
def test_any_transcript_can_be_cleaned(text, voiced_ms):
    cleaned = clean(text, voiced_ms)
    assert cleaned == " ".join(cleaned.split())
    assert len(cleaned.split()) <= max(4 + 7 * voiced_ms / 1000, 0)


@pytest.mark.parametrize(
    "text", ["Thank you for listening.", "Thanks for watching!", "We'll see you in the next video."]
)
def test_stock_phrases_of_the_model_are_no_words(text: str) -> None:
    assert clean(text, 3000) == ""


def test_thanks_are_words() -> None:
    for text in ("Thank you.", "Thank you for your help.", "I am listening to you"):
        assert clean(text, 3000) == text
