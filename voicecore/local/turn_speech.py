"""The speech of a caller's turn, heard again as a whole each time that more of it comes. Pure.

What is said between two pauses means little by itself, to a model as to people. So each part of a
turn is heard together with what went before it, and the text of the whole is instead of the text
before. Where that grows too long, the part begins anew.
"""

from media.audio.format import AudioFormat
from voicecore.local.utterances import Utterance
from voicecore.providers.stt import SttFinal
from voicecore.providers.words import Word, join_words, spread_words


class _Stretch:
    """Utterances of one turn that are heard together."""

    def __init__(self) -> None:
        self.utterances: tuple[Utterance, ...] = ()
        self.told = False
        """It has a final text, and the next one is instead of it."""
        self.over = False
        """That text has been taken for a turn."""


class TurnPart:
    """An utterance, behind those that are heard again with it."""

    def __init__(self, stretch: _Stretch, line: AudioFormat) -> None:
        self._stretch = stretch
        self._line = line
        self._utterances = stretch.utterances
        self.audio = b"".join(utterance.audio for utterance in self._utterances)

    def words(self, text: str, from_ms: int, until_ms: int) -> tuple[Word, ...]:
        """The words of a text that was understood of ``audio`` between two places of it, each
        where it lies in the stream."""
        return tuple(
            Word(word.text, self._stream_ms(word.start_ms), self._stream_ms(word.end_ms - 1) + 1)
            for word in spread_words(text, from_ms, until_ms)
        )

    def final(self, text: str, words: tuple[Word, ...]) -> SttFinal:
        """What is to be told of it now. Words that have been taken for a turn meanwhile are left
        out, as near as their places tell."""
        stretch = self._stretch
        if stretch.over:
            begin_ms = self._utterances[-1].start_ms
            words = tuple(word for word in words if word.start_ms >= begin_ms)
            return SttFinal(join_words(words), words)
        revises = stretch.told and bool(text)
        stretch.told |= bool(text)
        return SttFinal(text, words, revises=revises)

    def _stream_ms(self, place_ms: int) -> int:
        for utterance in self._utterances:
            duration_ms = self._line.duration_ms(len(utterance.audio))
            if place_ms < duration_ms or utterance is self._utterances[-1]:
                break
            place_ms -= duration_ms
        return utterance.start_ms + place_ms


class TurnSpeech:
    """One caller's turns. Keeps ``context_ms`` of the turn's speech at most."""

    def __init__(self, line: AudioFormat, *, context_ms: int) -> None:
        self._line = line
        self._context_ms = context_ms
        self._stretch = _Stretch()

    def add(self, utterance: Utterance) -> TurnPart:
        """More of the turn was said."""
        stretch = self._stretch
        kept_ms = sum(self._line.duration_ms(len(one.audio)) for one in stretch.utterances)
        if kept_ms > self._context_ms:
            stretch = self._stretch = _Stretch()
        stretch.utterances += (utterance,)
        return TurnPart(stretch, self._line)

    def over(self) -> None:
        """The turn was decided; what follows is another's."""
        self._stretch.over = True
        self._stretch = _Stretch()
