"""Sentences from the cache among those that the text-to-speech speaks."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import L16_8K, MULAW_8K, AudioFormat
from tests.voicecore.test_voicing import Stage
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsFailed, TtsWords
from voicecore.providers.words import Word
from voicecore.speech_cache import Speech
from voicecore.voicing import Voice


class CachedStage(Stage):
    """``cached`` are the sentences that are there, each with its audio."""

    def __init__(self, cached: dict[str, bytes], audio: AudioFormat = MULAW_8K) -> None:
        super().__init__(audio)
        self.asked: list[tuple[str, int]] = []

        def find(text: str, line: AudioFormat, at_least_hz: int) -> Speech | None:
            self.asked.append((text, at_least_hz))
            if text not in cached:
                return None
            sound = cached[text]
            return Speech(line, sound, (Word(text, 0, line.duration_ms(len(sound))),))

        self.voice = Voice(self.vendor, MULAW_8K, None, self.inbox.append, find)  # type: ignore[arg-type]


def stage(**cached: bytes) -> CachedStage:
    return CachedStage({f"{text}.": audio for text, audio in cached.items()})


def test_a_cached_sentence_is_there_at_once_and_the_vendor_is_asked_for_the_next() -> None:
    here = stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    (speech,) = here.vendor.speeches
    assert speech.heard == ["Two."], "before anything of the first was played"
    here.settle()
    assert here.heard == b"1" * 800
    assert here.cached_characters == [4]
    here.voice.finish(1)
    here.speaks(b"2" * 160)
    assert here.heard == b"1" * 800 + b"2" * 160
    assert here.words == [Word("One.", 0, 100), Word("word", 100, 120)]
    assert here.done == [1]


def test_a_reply_of_cached_sentences_needs_no_vendor() -> None:
    here = stage(One=b"1" * 800, Two=b"2" * 80)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    here.voice.finish(1)
    here.settle()
    assert here.heard == b"1" * 800 + b"2" * 80
    assert here.words == [Word("One.", 0, 100), Word("Two.", 100, 110)]
    assert here.done == [1]
    assert not here.vendor.speeches


def test_in_the_middle_of_a_piece_the_cache_is_not_asked() -> None:
    here = stage(Two=b"2" * 80)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    (speech,) = here.vendor.speeches
    assert speech.heard == ["One.", "Two."]
    assert [text for text, _ in here.asked] == ["One."]


def test_tones_before_and_after() -> None:
    here = stage(One=b"1" * 80, Two=b"2" * 80)
    here.voice.tones(1, b"t" * 160)
    here.voice.say(1, "One.")
    here.voice.tones(1, b"u" * 160)
    here.voice.say(1, "Live.")
    here.voice.tones(1, b"v" * 160)
    here.voice.say(1, "Two.")
    here.voice.finish(1)
    here.settle()
    assert here.heard == b"t" * 160 + b"1" * 80 + b"u" * 160
    here.speaks(b"L" * 240)
    assert here.heard.endswith(b"L" * 240 + b"v" * 160 + b"2" * 80)
    assert here.words == [Word("One.", 20, 30), Word("word", 50, 80), Word("Two.", 100, 110)]
    assert here.done == [1]


def test_a_dropped_reply_leaves_nothing_of_the_cache() -> None:
    here = stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    here.voice.drop()
    here.settle()
    assert here.heard == b""
    here.voice.say(2, "Two.")
    here.speaks(b"2" * 80)
    assert here.words == [Word("word", 0, 10)], "nothing lies before it"


def test_what_is_asked_of_the_cache_is_no_worse_than_the_vendor() -> None:
    here = CachedStage({}, AudioFormat(L16_8K.encoding, 4000))
    here.voice.say(1, "One.")
    assert here.asked == [("One.", 4000)]


# The vendor fails after a cached sentence: the reply cannot begin anew, so its piece does.

ERROR = VendorError("acme", "disconnected", "gone", retryable=True)


def test_a_piece_that_failed_mute_is_begun_once_more() -> None:
    here = stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    here.voice.say(1, "Three.")
    here.voice.tones(1, b"t" * 80)
    here.voice.finish(1)
    first = here.vendor.speeches[0]
    first.sink(TtsFailed(ERROR))
    assert here.voice.piece_failed(retryable=True) == (10, True)
    assert here.vendor.speeches[1].heard == ["Two.", "Three.", "finish"]
    first.sink(TtsAudio(b"x" * 80))
    here.settle()
    here.speaks(b"2" * 80)
    assert here.heard == b"1" * 800 + b"2" * 80 + b"t" * 80
    assert here.words[-1] == Word("word", 100, 110)
    assert here.done == [1]


def test_words_of_a_try_that_made_no_sound_are_not_told() -> None:
    here = stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    told = len(here.words)
    here.voice.say(1, "Two.")
    here.voice.finish(1)
    first = here.vendor.speeches[0]
    first.sink(TtsWords((Word("Two.", 0, 10),)))
    first.sink(TtsFailed(ERROR))
    here.settle()
    assert here.voice.piece_failed(retryable=True) == (4, True)
    here.speaks(b"2" * 80)
    assert [word.text for word in here.words[told:]].count("Two.") == 0, "they come again"


def test_one_that_was_done_without_a_sound_too() -> None:
    here = stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    here.voice.finish(1)
    here.vendor.speeches[0].sink(TtsDone(4))
    here.settle()
    assert here.silent == 1
    assert not here.done
    assert here.voice.piece_failed(retryable=True) == (0, True), "its end was told"
    here.speaks(b"2" * 80)
    assert here.done == [1]


@pytest.mark.parametrize("case", ["not retryable", "twice", "heard", "nothing before"])
def test_it_is_not_begun_again(case: str) -> None:
    here = stage() if case == "nothing before" else stage(One=b"1" * 800)
    here.voice.say(1, "One.")
    here.voice.say(1, "Two.")
    if case == "heard":
        here.speaks(b"2" * 80, done=False)
    if case == "twice":
        assert here.voice.piece_failed(retryable=True) == (4, True)
    characters, again = here.voice.piece_failed(retryable=case != "not retryable")
    assert (characters, again) == (8 if case == "nothing before" else 4, False)
    assert here.voice.drop() == 0, "nothing is told twice"


@given(
    script=st.lists(st.sampled_from(["live", "cached", "tones"]), max_size=12),
    data=st.data(),
)
def test_whatever_comes_from_where_is_heard_in_order(script: list[str], data: Any) -> None:
    """Each step is 10 ms of its own value; the vendor delivers at any moment between."""
    cached = {str(n): bytes([n]) * 80 for n, step in enumerate(script, 1) if step == "cached"}
    here = CachedStage(cached)
    spoken: Counter[Any] = Counter()

    def deliver() -> None:
        for speech in list(here.vendor.speeches):
            for said in speech.heard[spoken[speech] :]:
                if said.isdigit():
                    place_ms = 10 * sum(each.isdigit() for each in speech.heard[: spoken[speech]])
                    speech.sink(TtsAudio(bytes([int(said)]) * 80))
                    speech.sink(TtsWords((Word(said, place_ms, place_ms + 10),)))
                else:
                    speech.sink(TtsDone())
                spoken[speech] += 1
        here.settle()

    for number, step in enumerate(script, 1):
        if step == "tones":
            here.voice.tones(1, bytes([number]) * 80)
        else:
            here.voice.say(1, str(number))
        if data.draw(st.booleans()):
            deliver()
    here.voice.finish(1)
    for _ in range(len(script) + 1):
        deliver()
    assert here.done == [1]
    assert here.heard == b"".join(bytes([n]) * 80 for n in range(1, len(script) + 1))
    said = [n for n, step in enumerate(script, 1) if step != "tones"]
    assert here.words == [Word(str(n), 10 * (n - 1), 10 * n) for n in said]
