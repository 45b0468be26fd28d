"""Which words of a turn that is understood anew are told, and as what."""

import pytest

from media.audio.format import MULAW_8K
from voicecore.local.turn_speech import TurnSpeech
from voicecore.local.utterances import Utterance


def utterance(start_ms: int, duration_ms: int) -> Utterance:
    return Utterance(start_ms, bytes(duration_ms * 8))


@pytest.mark.parametrize(
    ("told", "heard", "rest"),
    [
        ("Yes.", "Yes, tomorrow at nine.", "tomorrow at nine."),
        ("My number is.", "My number is four one five five.", "four one five five."),
        (
            "I would like to reschedule for",
            "I would like to reschedule for um, Friday",
            "um, Friday",
        ),
        ("It's for one five.", "It's four one five zero one.", "zero one."),
        ("Yes.", "Yes.", ""),
        ("", "Tomorrow.", "Tomorrow."),
    ],
)
def test_of_a_turn_that_was_taken_meanwhile_only_new_words_are_told(
    told: str, heard: str, rest: str
) -> None:
    speech = TurnSpeech(MULAW_8K, context_ms=6000)
    first = speech.add(utterance(1000, 2000))
    first.final(told, first.words(told, 0, 2000), 0.9)
    second = speech.add(utterance(4000, 500))
    speech.over()
    final = second.final(heard, second.words(heard, 0, 2500), 0.9)
    assert (final.text, final.revises) == (rest, False)
    assert len(final.words) == len(rest.split())


def test_where_nothing_is_common_the_places_tell() -> None:
    speech = TurnSpeech(MULAW_8K, context_ms=6000)
    first = speech.add(utterance(1000, 1000))
    first.final("Fight fight", first.words("Fight fight", 0, 1000), 0.9)
    second = speech.add(utterance(4000, 1000))
    speech.over()
    final = second.final("aaaa bbbb cccc dddd", second.words("aaaa bbbb cccc dddd", 0, 2000), 0.9)
    assert final.text == "cccc dddd"


def test_words_lie_where_their_part_lay() -> None:
    speech = TurnSpeech(MULAW_8K, context_ms=6000)
    speech.add(utterance(1000, 1000))
    words = speech.add(utterance(5000, 1000)).words("aaaa bbbb", 0, 2000)
    assert [(word.start_ms, word.end_ms) for word in words] == [(1000, 2000), (5000, 6000)]
