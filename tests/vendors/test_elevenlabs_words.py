"""Words placed by ElevenLabs' alignments."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.elevenlabs_call import each_character
from tests.support.elevenlabs_server import aligned
from voicecore.adapters.elevenlabs_messages import (
    Alignment,
    read_alignment,
)
from voicecore.adapters.elevenlabs_words import WordTimes
from voicecore.providers.words import Word


def chunks_of(text: str, *sizes: int) -> list[Alignment]:
    made, at = [], 0
    for size in (*sizes, len(text)):
        piece, at = text[at : at + size], at + size
        alignment = read_alignment(aligned(piece)["alignment"])
        if alignment is not None:
            made.append(alignment)
    return made


def placed(text: str, spoken: list[Alignment], audio_ms: int) -> list[Word]:
    times = WordTimes()
    times.expect(text)
    words: list[Word] = []
    for alignment in spoken:
        words += times.place(alignment, 0)
    return [*words, *times.rest(audio_ms)]


def test_normalised_text_keeps_the_words_of_the_reply() -> None:
    spoken = chunks_of("I have forty two cats and dogs ", 8, 5)
    words = placed("I have 42 cats & dogs", spoken, 620)
    assert [word.text for word in words] == ["I", "have", "42", "cats", "&", "dogs"]
    assert words[2] == Word("42", 120, 340)
    assert words[3] == Word("cats", 340, 420)


def test_sentences_joined_without_a_space_are_told_apart() -> None:
    assert placed("No. Yes.", chunks_of("No.Yes."), 900) == [
        Word("No.", 0, 60),
        Word("Yes.", 60, 140),
    ]


def test_another_context_counts_from_where_it_begins() -> None:
    times = WordTimes()
    times.expect("one two")
    (first,), (second,) = chunks_of("one tw"), chunks_of("two ")
    assert times.place(first, 0) == (Word("one", 0, 60),)
    times.restart(400)
    assert times.place(second, 400) == (Word("two", 400, 460),)


def test_without_alignment_words_are_spread() -> None:
    assert placed("One two", [], 800) == [Word("One", 0, 400), Word("two", 400, 800)]


def test_lost_alignments_are_made_up_for() -> None:
    times = WordTimes()
    times.expect("one two three")
    (alignment,) = chunks_of("three ")
    assert times.place(alignment, 5000) == (
        Word("one", 0, 2500),
        Word("two", 2500, 5000),
        Word("three", 5000, 5100),
    )


TEXT = st.lists(st.text("abA.,! &", max_size=8), max_size=5).map(" ".join)


ALIGNMENTS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab. AB!"), st.integers(0, 400), st.integers(0, 99))),
    max_size=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab cd.", min_size=1, max_size=40), st.lists(st.integers(1, 9), max_size=8))
def test_words_cut_anywhere_are_joined(text: str, sizes: list[int]) -> None:
    spoken = " ".join(text.split()) + " "
    words = placed(text, chunks_of(spoken, *sizes), len(spoken) * 20)
    assert [(word.text, word.start_ms, word.end_ms) for word in words] == each_character(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, ALIGNMENTS)
def test_each_word_comes_once_in_order_whatever_the_alignment(
    text: str, rows: list[list[tuple[str, int, int]]]
) -> None:
    spoken = []
    for row in rows:
        given = {
            "chars": [character for character, _, _ in row],
            "charStartTimesMs": [start for _, start, _ in row],
            "charDurationsMs": [duration for _, _, duration in row],
        }
        alignment = read_alignment(given)
        assert (alignment is None) == (not row)
        spoken += [alignment] if alignment is not None else []
    words = placed(text, spoken, 3000)
    assert [word.text for word in words] == text.split()
    edges = [edge for word in words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)
