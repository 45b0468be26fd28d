"""What of a reply the caller heard, word by word."""

from typing import Literal

import msgspec

from voicecore.providers.words import Word
from voicecore.turns.backchannels import plain

CHARACTER_MS = 65
"""Speaking time of one character until a vendor has said when its words come: about fifteen
characters a second, a usual rate of English speech."""
FASTEST_MS, SLOWEST_MS = 20, 200
"""No voice speaks a character in less or more, whatever its vendor says."""


class HeardWord(msgspec.Struct, frozen=True):
    """A word of the agent; ``heard`` is ``"cut"`` when the clear fell into it. Times are
    milliseconds from the reply's first sample."""

    text: str
    start_ms: int
    end_ms: int
    heard: bool | Literal["cut"]


class SpokenText:
    """The text of one reply and where its words lie in its audio.

    ``character_ms``: how long the voice is known to take for a character."""

    def __init__(self, character_ms: float = CHARACTER_MS) -> None:
        self._character_ms = character_ms
        self._said: list[tuple[str, int, int]] = []
        """Each word, behind how much audio it lies at least, and its letters."""
        self._words: list[Word] = []
        self._letters = 0
        """Of the words that the voice has placed."""
        self._all: list[Word] | None = None
        """Every word in its place, until there are more."""

    def say(self, text: str, *, from_ms: int = 0) -> None:
        """A sentence was given to the voice, when ``from_ms`` of audio were there: it lies
        behind them."""
        self._said.extend((word, from_ms, _letters(word)) for word in text.split())
        self._all = None

    def place(self, words: tuple[Word, ...]) -> None:
        """The voice said where the next words lie."""
        self._words.extend(words)
        self._letters += sum(_letters(word.text) for word in words)
        self._all = None

    def forget_places(self) -> None:
        """The voice begins again: it will place its words anew."""
        self._words.clear()
        self._letters = 0
        self._all = None

    @property
    def character_ms(self) -> float:
        """How long the voice takes for a character, the space behind a word included, as far as
        it has placed words."""
        chars = sum(len(word.text) + 1 for word in self._words)
        if not chars:
            return self._character_ms
        spoken_ms = sum(word.end_ms - word.start_ms for word in self._words)
        return min(max(spoken_ms / chars, FASTEST_MS), SLOWEST_MS)

    @property
    def text(self) -> str:
        return " ".join(word for word, _, _ in self._said)

    def heard(self, played_ms: int | None) -> tuple[HeardWord, ...]:
        """Every word, judged by how much was played; None means all of it."""
        return tuple(
            HeardWord(word.text, word.start_ms, word.end_ms, _judge(word, played_ms))
            for word in self._placed()
        )

    def heard_text(self, played_ms: int) -> str:
        """The words heard whole or in their greater part."""
        return " ".join(
            word.text
            for word in self._placed()
            if played_ms >= word.end_ms
            or (played_ms > word.start_ms and 2 * played_ms >= word.start_ms + word.end_ms)
        )

    def between(self, from_ms: int, until_ms: int) -> str:
        """The words that lie, be it in part, in a stretch of the audio."""
        return " ".join(
            word.text
            for word in self._placed()
            if word.end_ms > from_ms and word.start_ms < until_ms
        )

    def word_start_ms(self, at_ms: int) -> int:
        """Where the word begins that is being said; ``at_ms`` itself between words."""
        for word in self._placed():
            if word.start_ms < at_ms < word.end_ms:
                return word.start_ms
        return at_ms

    def within(self, phrases: tuple[tuple[str, ...], ...], at_ms: int) -> bool:
        """Whether one of the phrases, as plain words, is being said."""
        placed = [(part, word) for word in self._placed() for part in plain(word.text)]
        words = tuple(part for part, _ in placed)
        for phrase in phrases:
            for place in range(len(words) - len(phrase) + 1):
                if words[place : place + len(phrase)] != phrase:
                    continue
                first, last = placed[place][1], placed[place + len(phrase) - 1][1]
                if first.start_ms <= at_ms < last.end_ms:
                    return True
        return False

    def _placed(self) -> list[Word]:
        """All words; those not yet placed by the vendor are put behind the others at the
        voice's rate. A vendor's words may be split differently from ours and lack our
        punctuation, so progress through the text is matched by letters and digits."""
        if self._all is not None:
            return self._all
        placed = list(self._words)
        known_chars = self._letters
        at_ms = placed[-1].end_ms if placed else 0
        character_ms = self.character_ms
        for text, from_ms, letters in self._said:
            if known_chars > 0 or (self._words and not letters):
                known_chars -= letters
                continue
            at_ms = max(at_ms, from_ms)
            end_ms = at_ms + round((len(text) + 1) * character_ms)
            placed.append(Word(text, at_ms, end_ms))
            at_ms = end_ms
        self._all = placed
        return placed


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _judge(word: Word, played_ms: int | None) -> bool | Literal["cut"]:
    if played_ms is None or played_ms >= word.end_ms:
        return True
    return "cut" if played_ms > word.start_ms else False
