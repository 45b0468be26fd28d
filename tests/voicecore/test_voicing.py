"""Sentences and tones of a reply, in order."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import L16_8K, MULAW_8K, AudioFormat
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsWords
from voicecore.providers.words import Word
from voicecore.voice_events import Cached, ScriptDone, Tones, Voiced
from voicecore.voicing import Voice


class Speech:
    """A reply of the text-to-speech, which speaks when the test says so."""

    def __init__(self, sink: Callable[[TtsEvent], None]) -> None:
        self.sink = sink
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        assert self.heard[-1:] not in (["finish"], ["cancel"])
        self.heard.append(text)

    def finish(self) -> None:
        self.heard.append("finish")

    def cancel(self) -> None:
        self.heard.append("cancel")


class Vendor:
    def __init__(self, audio: AudioFormat = MULAW_8K) -> None:
        self.audio = audio
        self.speeches: list[Speech] = []
        self.closed = False

    def open(self, wanted: AudioFormat, *, spawn: Any) -> "Vendor":
        return self

    def reply(self, sink: Callable[[TtsEvent], None]) -> Speech:
        self.speeches.append(Speech(sink))
        return self.speeches[-1]

    def close(self) -> None:
        self.closed = True


class Stage:
    """A voice whose events are taken as a session takes them."""

    def __init__(self, audio: AudioFormat = MULAW_8K) -> None:
        self.vendor = Vendor(audio)
        self.inbox: list[Voiced] = []
        self.voice = Voice(self.vendor, MULAW_8K, None, self.inbox.append)  # type: ignore[arg-type]
        self.line: list[bytes] = []
        self.words: list[Word] = []
        self.done: list[int] = []
        self.silent = 0
        self.cached_characters: list[int] = []

    def settle(self) -> None:
        while self.inbox:
            item = self.inbox.pop(0)
            if not self.voice.says(item):
                continue
            match item.event:
                case TtsAudio(payload=payload):
                    self.line.append(self.voice.to_line(payload))
                case TtsWords(words=words):
                    self.words += self.voice.place(words)
                case TtsDone():
                    tail, spoken = self.voice.piece_done()
                    self.line.append(tail)
                    self.silent += not spoken
                case Tones(audio=audio):
                    self.line.append(audio)
                case Cached(audio=audio, words=words, characters=characters):
                    self.line.append(audio)
                    self.words += words
                    self.cached_characters.append(characters)
                case ScriptDone():
                    self.done.append(item.reply)

    def speaks(self, payload: bytes, *, done: bool = True) -> None:
        """The newest speech delivers audio and a word that lasts as long."""
        sink = self.vendor.speeches[-1].sink
        sink(TtsAudio(payload))
        sink(TtsWords((Word("word", 0, len(payload) // 8),)))
        if done:
            sink(TtsDone())
        self.settle()

    @property
    def heard(self) -> bytes:
        return b"".join(self.line)


def test_tones_wait_for_the_speech_before_them() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.tones(1, b"t" * 800)
    stage.voice.say(1, "Two.")
    stage.voice.finish(1)
    stage.settle()
    (first,) = stage.vendor.speeches
    assert first.heard == ["One.", "finish"]
    stage.speaks(b"1" * 1600, done=False)
    assert stage.heard == b"1" * 1600
    stage.speaks(b"1" * 80)
    assert stage.heard == b"1" * 1680 + b"t" * 800
    assert stage.vendor.speeches[1].heard == ["Two.", "finish"]
    assert not stage.done
    stage.speaks(b"2" * 160)
    assert stage.heard == b"1" * 1680 + b"t" * 800 + b"2" * 160
    assert stage.done == [1]


def test_words_after_tones_lie_behind_them() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.tones(1, b"t" * 800)
    stage.voice.say(1, "Two.")
    stage.speaks(b"1" * 1600)
    stage.speaks(b"2" * 160, done=False)
    assert stage.words == [Word("word", 0, 200), Word("word", 300, 320)]


def test_tones_alone_are_a_reply() -> None:
    stage = Stage()
    stage.voice.tones(3, b"t" * 800)
    stage.voice.finish(3)
    stage.settle()
    assert stage.heard == b"t" * 800
    assert stage.done == [3]
    assert not stage.vendor.speeches


def test_a_dropped_reply_leaves_nothing() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.tones(1, b"t" * 800)
    late = stage.vendor.speeches[0].sink
    late(TtsAudio(b"1" * 80))
    stage.voice.drop()
    late(TtsAudio(b"1" * 80))
    late(TtsDone())
    stage.settle()
    assert stage.heard == b""
    assert stage.vendor.speeches[0].heard[-1] == "cancel"
    stage.voice.say(2, "Two.")
    late(TtsAudio(b"1" * 80))
    stage.speaks(b"2" * 160)
    assert stage.heard == b"2" * 160


def test_another_reply_drops_the_last() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.say(2, "Two.")
    assert [speech.heard for speech in stage.vendor.speeches] == [["One.", "cancel"], ["Two."]]


def test_a_voice_that_ends_twice_ends_its_own_piece_only() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.tones(1, b"t" * 80)
    stage.voice.say(1, "Two.")
    first = stage.vendor.speeches[0]
    first.sink(TtsDone())
    first.sink(TtsDone())
    stage.settle()
    stage.voice.finish(1)
    stage.settle()
    assert not stage.done, "the second piece has not been spoken"


def test_a_piece_without_audio_is_told() -> None:
    stage = Stage()
    stage.voice.tones(1, b"t" * 80)
    stage.voice.say(1, "One.")
    stage.vendor.speeches[0].sink(TtsDone())
    stage.settle()
    assert stage.silent == 1
    stage.voice.say(1, "Two.")
    stage.speaks(b"2" * 80)
    assert stage.silent == 1


def test_closing_closes_the_session() -> None:
    stage = Stage()
    stage.voice.say(1, "One.")
    stage.voice.close()
    assert stage.vendor.closed
    assert stage.vendor.speeches[0].heard == ["One.", "cancel"]


@pytest.mark.parametrize("audio", [MULAW_8K, L16_8K])
@given(script=st.lists(st.sampled_from(["say", "tones"]), max_size=12), speak_after=st.data())
def test_whatever_is_said_is_heard_in_order(
    audio: AudioFormat, script: list[str], speak_after: st.DataObject
) -> None:
    """Each step is 10 ms of its own value; the vendor delivers at any moment between."""
    stage = Stage(audio)
    expected: list[int] = []
    spoken: dict[Speech, int] = {}
    samples = 80

    def deliver() -> None:
        """What the vendor was told so far and has not spoken, it speaks."""
        for speech in list(stage.vendor.speeches):
            for said in speech.heard[spoken.get(speech, 0) :]:
                payload = (
                    bytes([int(said)]) * samples * audio.sample_bytes if said.isdigit() else b""
                )
                speech.sink(TtsAudio(payload) if payload else TtsDone())
            spoken[speech] = len(speech.heard)
        stage.settle()

    for value, step in enumerate(script, start=1):
        if step == "say":
            stage.voice.say(1, str(value))
        else:
            stage.voice.tones(1, bytes([value]) * samples)
        expected.append(value if step == "tones" or audio == MULAW_8K else -1)
        if speak_after.draw(st.booleans()):
            deliver()
    stage.voice.finish(1)
    for _ in range(len(script) + 1):
        deliver()
    assert stage.done == [1]
    assert len(stage.heard) == samples * len(script)
    for place, value in enumerate(expected):
        if value > 0:
            assert set(stage.heard[place * samples : (place + 1) * samples]) == {value}
