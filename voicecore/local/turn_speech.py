"""The speech of a caller's turn, heard again as a whole each time that more of it comes. Pure.

What is said between two pauses means little by itself, to a model as to people. So each part of a
turn is heard together with what went before it, and the text of the whole is instead of the text
before. Where that grows too long, the next part begins anew.
"""

from difflib import SequenceMatcher

from media.audio.format import AudioFormat
from voicecore.local.utterances import Utterance
from voicecore.providers.stt import SttFinal
from voicecore.providers.words import Word, join_words, spread_words


class _Stretch:
    """Utterances of one turn that are heard together."""

    def __init__(self) -> None:
        self.utterances: tuple[Utterance, ...] = ()
        self.told = ""
        """Its last final text, which the next one is instead of."""
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

    def final(self, text: str, words: tuple[Word, ...], confidence: float) -> SttFinal:
        """What is to be told of it now. Words that have been taken for a turn meanwhile are left
        out."""
        stretch = self._stretch
        if stretch.over:
            words = words[self._known(words) :]
            stretch.told = text or stretch.told
            return SttFinal(join_words(words), words, confidence=confidence)
        revises = bool(stretch.told and text)
        stretch.told = text or stretch.told
        return SttFinal(text, words, revises=revises, confidence=confidence)

    def _known(self, words: tuple[Word, ...]) -> int:
        """How many of the words were told before: up to the last that both texts have, or, where
        they have nothing in common, as many as lie before the last utterance."""
        told, heard = _plain(self._stretch.told.split()), _plain([word.text for word in words])
        matcher = SequenceMatcher(None, told, heard, autojunk=False)
        blocks = [block for block in matcher.get_matching_blocks() if block.size]
        if not told:
            return 0
        if blocks:
            return max(blocks[-1].b + len(told) - blocks[-1].a, 0)
        begin_ms = self._utterances[-1].start_ms
        return sum(word.start_ms < begin_ms for word in words)

    def _stream_ms(self, place_ms: int) -> int:
        for utterance in self._utterances:
            duration_ms = self._line.duration_ms(len(utterance.audio))
            if place_ms < duration_ms or utterance is self._utterances[-1]:
                break
            place_ms -= duration_ms
        return utterance.start_ms + place_ms


def _plain(words: list[str]) -> list[str]:
    return ["".join(filter(str.isalnum, word)).casefold() for word in words]


class TurnSpeech:
    """One caller's turns. While a turn's earlier speech is no longer than ``context_ms``, all of it
    is heard again with each part; then the turn goes on as if it began."""

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
