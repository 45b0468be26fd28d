"""Which words of a text are in none of the phrases."""

import pytest

from voicecore.turns.backchannels import (
    backchannels,
    continuers,
    floor_words,
    openers,
    plain,
    without,
)

PHRASES = frozenset(map(plain, ("go", "go on", "go on then", "on", "right")))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("When?", "when"),
        ("Go on, then!", ""),
        ("go on there", "there"),
        ("Then go on.", "then"),
        ("go then on", "then"),
        ("right go right on when on", "when"),
    ],
)
def test_longer_phrases_are_matched_first(text: str, left: str) -> None:
    assert without(plain(text), PHRASES) == plain(left)


def test_a_phrase_without_words_is_none() -> None:
    assert without(("go",), PHRASES | {plain("?!")}) == ()
    assert without(("when",), frozenset({plain("?!")})) == ("when",)
    assert without(("when",), frozenset()) == ("when",)


@pytest.mark.parametrize("language", ["en", "en-GB", "de", "es", "fr", "pt", "it", "nl", "xx"])
def test_who_asks_to_go_on_takes_no_floor(language: str) -> None:
    assert openers(language) < continuers(language) <= backchannels(language)
    assert not continuers(language) & floor_words(language)
