"""What of a reply the caller heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.providers.words import Word, spread_words
from voicecore.turns.heard import CHARACTER_MS, SpokenText


def spoken(*sentences: str, words: tuple[Word, ...] = ()) -> SpokenText:
    text = SpokenText()
    for sentence in sentences:
        text.say(sentence)
    text.place(words)
    return text


COUNT = (Word("One", 0, 300), Word("two", 300, 600), Word("three.", 700, 1000))


class TestPlaced:
    @pytest.mark.parametrize(
        ("played_ms", "heard", "text"),
        [
            (0, [False, False, False], ""),
            (1, ["cut", False, False], ""),
            (150, ["cut", False, False], "One"),
            (300, [True, False, False], "One"),
            (650, [True, True, False], "One two"),
            (999, [True, True, "cut"], "One two three."),
            (1000, [True, True, True], "One two three."),
            (None, [True, True, True], None),
        ],
    )
    def test_words_are_judged_by_their_times(
        self, played_ms: int | None, heard: list[bool | str], text: str | None
    ) -> None:
        one = spoken("One two three.", words=COUNT)
        assert [word.heard for word in one.heard(played_ms)] == heard
        if text is not None and played_ms is not None:
            assert one.heard_text(played_ms) == text

    def test_times_are_the_vendors(self) -> None:
        words = spoken("One two three.", words=COUNT).heard(None)
        assert [(w.start_ms, w.end_ms) for w in words] == [(0, 300), (300, 600), (700, 1000)]


class TestEstimated:
    def test_words_without_times_are_spread_at_a_usual_rate(self) -> None:
        one = spoken("abcd ef")
        first, second = one.heard(0)
        assert (first.start_ms, first.end_ms) == (0, 5 * CHARACTER_MS)
        assert (second.start_ms, second.end_ms) == (5 * CHARACTER_MS, 8 * CHARACTER_MS)

    def test_the_voices_own_rate_counts_once_it_is_known(self) -> None:
        one = spoken("abc de", "abc", words=(Word("abc", 0, 120), Word("de", 120, 210)))
        assert one.character_ms == 30
        assert (one.heard(0)[2].start_ms, one.heard(0)[2].end_ms) == (210, 330)
        other = SpokenText(one.character_ms)
        other.say("abcd")
        assert other.heard(0)[0].end_ms == 5 * 30

    @pytest.mark.parametrize(("end_ms", "rate_ms"), [(-5, 20), (0, 20), (10**9, 200)])
    def test_no_vendor_makes_the_rate_absurd(self, end_ms: int, rate_ms: int) -> None:
        assert spoken("abc", words=(Word("abc", 0, end_ms),)).character_ms == rate_ms

    def test_sentences_not_yet_placed_follow_the_others(self) -> None:
        one = spoken("One two three.", "And four.", words=COUNT)
        assert [word.text for word in one.heard(0)] == ["One", "two", "three.", "And", "four."]
        assert one.heard(0)[3].start_ms == 1000

    def test_half_of_a_sentence_is_heard_at_half_of_its_time(self) -> None:
        text = "alpha beta gamma delta epsilon zeta eta theta"
        one = spoken(text)
        length_ms = one.heard(0)[-1].end_ms
        heard = one.heard_text(length_ms // 2)
        assert 0.35 < len(heard) / len(text) < 0.65

    @given(st.text("ab .,", max_size=200), st.integers(0, 30_000), st.integers(0, 30_000))
    def test_more_played_is_more_heard(self, text: str, one_ms: int, other_ms: int) -> None:
        said = spoken(text)
        less, more = sorted((one_ms, other_ms))
        assert said.heard_text(more).startswith(said.heard_text(less))
        assert said.heard_text(10_000_000) == said.text == " ".join(text.split())


class TestSplitDifferently:
    @pytest.mark.parametrize(
        "vendor",
        [
            "One, two, three, four, five, six.",
            "One two three four five six",
            "One , two , three , four , five , six .",
            "One, two, three, four, fi ve, six.",
            "Onetwothree, fourfivesix.",
        ],
    )
    def test_no_word_comes_twice(self, vendor: str) -> None:
        text = "One, two, three, four, five, six."
        one = spoken(text, words=spread_words(vendor, 0, 3000))
        assert " ".join(word.text for word in one.heard(None)) == vendor
        assert one.heard_text(3000) == vendor

    def test_what_is_not_yet_placed_is_found_though_signs_were_dropped(self) -> None:
        one = spoken("Well, yes, of course.", "And more.")
        one.place(spread_words("Well yes of course", 0, 1000))
        assert [word.text for word in one.heard(None)][-2:] == ["And", "more."]

    def test_words_that_run_backwards_break_nothing(self) -> None:
        one = spoken("One two", words=(Word("One", 300, -1), Word("two", 600, -301)))
        assert len(one.heard(100)) == 2
        one.heard_text(100)

    def test_a_voice_that_begins_again_places_its_words_again(self) -> None:
        one = spoken("One two three.", words=COUNT)
        one.forget_places()
        one.place(COUNT)
        assert [word.text for word in one.heard(None)] == ["One", "two", "three."]
