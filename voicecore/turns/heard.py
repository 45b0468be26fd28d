"""What of a reply the caller heard, word by word."""

from collections.abc import Sequence
from typing import Literal

from msgspec import structs

from voicecore.providers.words import Word
from voicecore.turns.backchannels import plain
from voicecore.turns.heard_word import HeardWord

CHARACTER_MS = 65
"""Speaking time of one character until a vendor has said when its words come: about fifteen
characters a second, a usual rate of English speech."""
FASTEST_MS, SLOWEST_MS = 20, 200
"""No voice speaks a character in less or more, whatever its vendor says."""


class _Insert:
    """A filler in the midst of a reply's own speech."""

    def __init__(self, at_ms: int, length_ms: int, words: tuple[Word, ...], behind: int) -> None:
        self.at_ms = at_ms
        """After so much of the speech it comes."""
        self.length_ms = length_ms
        self.words = words
        self.behind = behind
        """How many of the words that were said come before it."""

    def shorten(self, by_ms: int) -> None:
        """A word of which less than half is left was not said."""
        self.length_ms = length_ms = max(self.length_ms - by_ms, 0)
        self.words = tuple(
            structs.replace(word, end_ms=min(word.end_ms, length_ms))
            for word in self.words
            if word.start_ms + word.end_ms <= 2 * length_ms
        )


class SpokenText:
    """The text of one reply and where its words lie in its audio: its own speech, and fillers
    between.

    ``character_ms``: how long the voice is known to take for a character."""

    def __init__(self, character_ms: float = CHARACTER_MS) -> None:
        self._character_ms = character_ms
        self._said: list[tuple[str, int, int]] = []
        """Each word, behind how much audio it lies at least, and its letters."""
        self._words: list[Word] = []
        self._letters = 0
        """Of the words that the voice has placed."""
        self._inserts: list[_Insert] = []
        self._all: list[Word] | None = None
        """Every word in its place, until there are more."""

    def say(self, text: str, *, from_ms: int = 0) -> None:
        """A sentence was given to the voice, when ``from_ms`` of its speech were there: it lies
        behind them."""
        self._said.extend((word, from_ms, _letters(word)) for word in text.split())
        self._all = None

    def place(self, words: tuple[Word, ...]) -> None:
        """The voice said where the next words lie, counted in its own speech."""
        self._words.extend(words)
        self._letters += sum(_letters(word.text) for word in words)
        self._all = None

    def insert(self, words: tuple[Word, ...], *, at_ms: int, length_ms: int) -> None:
        """A filler plays after ``at_ms`` of the reply's own speech."""
        letters = sum(_letters(w.text) for w in self._placed_speech() if w.start_ms < at_ms)
        behind = 0
        while behind < len(self._said) and letters > 0:
            letters -= self._said[behind][2]
            behind += 1
        self._inserts.append(_Insert(at_ms, length_ms, words, behind))
        self._all = None

    def shorten_insert(self, by_ms: int) -> None:
        """The last filler ends so much sooner."""
        self._inserts[-1].shorten(by_ms)
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
        said = [word for word, _, _ in self._said]
        for insert in reversed(self._inserts):
            said[insert.behind : insert.behind] = [word.text for word in insert.words]
        return " ".join(said)

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

    def word_end_ms(self, at_ms: int) -> int:
        """Where the word ends that is being said; ``at_ms`` itself between words."""
        for word in self._placed():
            if word.start_ms < at_ms < word.end_ms:
                return word.end_ms
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
        """All words, where they lie in all of the audio."""
        if self._all is None:
            self._all = self._with_inserts(self._placed_speech())
        return self._all

    def _placed_speech(self) -> list[Word]:
        """The speech's words; those not yet placed by the vendor are put behind the others at
        the voice's rate. A vendor's words may be split differently from ours and lack our
        punctuation, so progress through the text is matched by letters and digits."""
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
        return placed

    def _with_inserts(self, placed: list[Word]) -> list[Word]:
        """The speech's words and the fillers', in order, counted in all of the audio."""
        words: list[Word] = []
        rest, by_ms = placed, 0
        for insert in self._inserts:
            before = [word for word in rest if word.start_ms < insert.at_ms]
            rest = rest[len(before) :]
            words += _later(before, by_ms)
            words += _later(insert.words, insert.at_ms + by_ms)
            by_ms += insert.length_ms
        return words + _later(rest, by_ms)


def _later(words: Sequence[Word], by_ms: int) -> list[Word]:
    return [Word(word.text, word.start_ms + by_ms, word.end_ms + by_ms) for word in words]


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _judge(word: Word, played_ms: int | None) -> bool | Literal["cut"]:
    if played_ms is None or played_ms >= word.end_ms:
        return True
    return "cut" if played_ms > word.start_ms else False
