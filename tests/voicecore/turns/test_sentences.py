"""Cutting text into pieces worth speaking."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicecore.turns import sentences
from voicecore.turns.sentences import LONGEST_CHARS, SentenceStream, speakable


def pieces_of(deltas: list[str] | str, *, first_clause_chars: int = 10_000) -> list[str]:
    """The pieces of a text that comes in the given deltas (a string comes by character)."""
    stream = SentenceStream(first_clause_chars=first_clause_chars)
    found = [piece for delta in deltas for piece in stream.push(delta)]
    return found + stream.flush()


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("Hello. How are you?", ["Hello.", "How are you?"]),
            ("Dr. Smith is in. Mr. Jones is not.", ["Dr. Smith is in.", "Mr. Jones is not."]),
            ("It costs 3.50 dollars. Really.", ["It costs 3.50 dollars.", "Really."]),
            ("We open at 9 a.m. and close at 5 p.m. daily.",) * 2,
            (
                "We open at nine a.m. We close at five.",
                ["We open at nine a.m.", "We close at five."],
            ),
            (
                "J. R. Tolkien wrote it. So did I. Yes.",
                ["J. R. Tolkien wrote it.", "So did I.", "Yes."],
            ),
            ("E.g. this one, i.e. that. Fine.", ["E.g. this one, i.e. that.", "Fine."]),
            ('He said "Stop!" and left.', ['He said "Stop!"', "and left."]),
            ("Wait... what? Oh!", ["Wait...", "what?", "Oh!"]),
            (
                "See www.example.com/a.html for more. Bye.",
                ["See www.example.com/a.html for more.", "Bye."],
            ),
            ("今日は晴れです。明日は？雨！", ["今日は晴れです。", "明日は？", "雨！"]),
            ("One line\nAnother line\n\nThe last", ["One line", "Another line", "The last"]),
            ("In the U.S. it is. Yes.", ["In the U.S. it is.", "Yes."]),
            ("No end", ["No end"]),
            ("", []),
            ("  \n ", []),
        ],
    )
    def test_cuts(self, text: str, pieces: list[str] | str) -> None:
        assert pieces_of(text) == ([pieces] if isinstance(pieces, str) else pieces)
        assert pieces_of([text]) == ([pieces] if isinstance(pieces, str) else pieces)

    def test_a_sentence_leaves_as_soon_as_it_is_known_to_end(self) -> None:
        stream = SentenceStream()
        assert stream.push("It is 3") == []
        assert stream.push(".") == []
        assert stream.push("50 now") == []
        assert stream.push(". ") == ["It is 3.50 now."]

    def test_the_first_piece_may_be_a_clause(self) -> None:
        stream = SentenceStream(first_clause_chars=10)
        assert stream.push("Well, of course, sir, it is") == ["Well, of course,"]
        assert stream.push(", I think, true. ") == ["sir, it is, I think, true."]

    def test_thousands_are_not_cut(self) -> None:
        stream = SentenceStream(first_clause_chars=4)
        assert stream.push("It costs 10,000 dollars and 5:30 is") == []

    def test_a_flood_without_an_end_is_cut_at_spaces(self) -> None:
        text = "word " * 200
        pieces = pieces_of(text)
        assert len(pieces) > 3
        assert all(len(piece) <= LONGEST_CHARS for piece in pieces)
        assert " ".join(pieces) == text.strip()

    def test_a_flood_without_spaces_is_cut_all_the_same(self) -> None:
        pieces = pieces_of(["x" * 1000])
        assert "".join(pieces) == "x" * 1000
        assert all(len(piece) <= LONGEST_CHARS for piece in pieces)

    def test_a_long_sentence_is_cut_also_when_it_comes_at_once(self) -> None:
        text = "word " * 100 + "end. Next."
        assert pieces_of([text]) == pieces_of(text)
        assert all(len(piece) <= LONGEST_CHARS for piece in pieces_of([text]))


class TestSpeakable:
    @pytest.mark.parametrize(
        ("text", "spoken"),
        [
            ("**Bold** and _slanted_ `code`", "Bold and slanted code"),
            ("# Title\n- one\n- two", "Title one two"),
            ("Sure! 😀👍🏽 Done ✅", "Sure! Done"),
            ("a\x00b\x1b[2Jc\x7f", "ab[2Jc"),
            ("tab\tand\u00a0space", "tab and space"),
            ("half \ud800 a character", "half a character"),
        ],
    )
    def test_only_what_a_voice_can_say_is_left(self, text: str, spoken: str) -> None:
        assert speakable(text) == spoken

    @pytest.mark.parametrize(
        "text",
        [
            "42. Anything else?",
            "Which room? 12. Which floor? 3. Thank you.",
            "1. Turn left.\n2. Turn right.",
            "The code is:\n7) and\n8) then",
        ],
    )
    def test_no_number_is_lost(self, text: str) -> None:
        spoken = " ".join(pieces_of(text))
        assert re.findall(r"\d+", spoken) == re.findall(r"\d+", text)

    @pytest.mark.parametrize("text", ["...", "?!", "…", "**", "。", "😀", " - ", '""'])
    def test_what_has_no_sound_is_no_piece(self, text: str) -> None:
        assert pieces_of([text]) == []

    @pytest.mark.parametrize("text", ["5 %", "$", "€", "+"])
    def test_signs_that_are_read_out_are_kept(self, text: str) -> None:
        assert pieces_of([text]) == [text]


PROSE = st.lists(
    st.sampled_from(
        (
            "Hello there Dr. Mr. p.m. a.m. We I 3.50 1. 42 J. e.g. etc. stop! really? … no, so; "
            'thus: – 今日は。 ！？ \n \n\n **bold** - • 😀 well... (see) "x." U.S. 10,000 longword'
        ).split(" ")
    ),
    max_size=60,
).map(" ".join)


def cut_at(text: str, places: list[int]) -> list[str]:
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(edges)]


def bare(text: str) -> str:
    """Letters and digits only."""
    return "".join(char for char in text if char.isalnum())


@settings(max_examples=400, deadline=None)
@given(PROSE, st.lists(st.integers(0, 400), max_size=30))
@example("真的！？ 好。", [3])
@example("a" * 239 + ". b", [240])
def test_pieces_do_not_depend_on_the_deltas(text: str, places: list[int]) -> None:
    whole = pieces_of([text])
    assert [bare(piece) for piece in pieces_of(text)] == [bare(piece) for piece in whole]
    assert [bare(piece) for piece in pieces_of(cut_at(text, places))] == [
        bare(piece) for piece in whole
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(PROSE, st.text(max_size=400)),
    st.lists(st.integers(0, 400), max_size=20),
    st.sampled_from([0, 24, 10_000]),
)
def test_nothing_is_lost_or_said_twice(text: str, places: list[int], clause: int) -> None:
    pieces = pieces_of(cut_at(text, places), first_clause_chars=clause)
    assert bare("".join(pieces)) == bare(speakable(text))
    assert all(piece and len(piece) <= LONGEST_CHARS for piece in pieces)
    for piece in pieces:
        piece.encode()


@pytest.mark.parametrize(
    "text", ["." * 20_000, "a" * 20_000, "a. " * 7000, "\n" * 20_000, ".) " * 9]
)
def test_an_answer_costs_no_more_than_its_length(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search sees a window, and each window takes a piece away."""
    seen_chars = 0

    class Counting:
        def __init__(self, pattern: re.Pattern[str]) -> None:
            self.finditer_ = pattern.finditer

        def finditer(self, text: str) -> Any:
            nonlocal seen_chars
            assert len(text) <= LONGEST_CHARS + 1
            seen_chars += len(text)
            return self.finditer_(text)

    for name in ("_END", "_CLAUSE"):
        monkeypatch.setattr(sentences, name, Counting(getattr(sentences, name)))
    stream = SentenceStream()
    stream.push(text)
    stream.flush()
    most_pieces = len(text) // 3 if text.startswith("a.") else len(text) // LONGEST_CHARS
    assert seen_chars <= 2 * (most_pieces + 2) * (LONGEST_CHARS + 1)
