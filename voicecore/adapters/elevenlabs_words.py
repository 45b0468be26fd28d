"""Places for a reply's words in its audio, by the alignments that come with it. Pure."""

from collections import deque
from itertools import islice

from voicecore.adapters.elevenlabs_messages import Alignment
from voicecore.providers.words import Word, spread_words

_MAX_SKEW_MS = 500
_LOOK_AHEAD_WORDS = 12


class WordTimes:
    """Gives a reply's words their places. Every word of the text comes out once and in order,
    whatever the alignment says: a word that it spells differently ("42", "forty two") lies
    between its neighbours, and what it leaves out is spread over the audio's rest."""

    def __init__(self) -> None:
        self._expected: deque[str] = deque()
        self._token = ""
        self._token_start_ms = self._token_end_ms = 0
        self._offset_ms = 0
        self._placed_ms = 0

    def expect(self, text: str) -> None:
        self._expected.extend(text.split())

    def restart(self, audio_ms: int) -> None:
        """A new context's alignment begins here."""
        self._token = ""
        self._offset_ms = audio_ms

    def place(self, alignment: Alignment, audio_before_ms: int) -> tuple[Word, ...]:
        """The words that an alignment completes. It belongs to a chunk that begins at
        ``audio_before_ms``; alignments before it were lost if their sum is far from that."""
        if self._offset_ms < audio_before_ms - _MAX_SKEW_MS:
            self._offset_ms = audio_before_ms
        words: list[Word] = []
        for character, start_ms, end_ms in alignment.characters:
            if character.isspace() or not character:
                words += self._complete()
                continue
            if not self._token:
                self._token_start_ms = self._offset_ms + start_ms
            self._token += character
            self._token_end_ms = self._offset_ms + end_ms
            if self._expected and self._token == self._expected[0]:
                words += self._complete()
        self._offset_ms += alignment.duration_ms
        return tuple(words)

    def rest(self, audio_ms: int) -> tuple[Word, ...]:
        """All other words, when the audio is complete."""
        words = [*self._complete(), *self._spread(len(self._expected), audio_ms)]
        return tuple(words)

    def spoken_by(self, audio_ms: int) -> bool:
        """All words have their places, and the audio reaches that far."""
        return not self._expected and 0 < self._placed_ms <= audio_ms + _MAX_SKEW_MS

    def _complete(self) -> list[Word]:
        token, self._token = self._token, ""
        key = _key(token)
        for skipped, word in enumerate(islice(self._expected, _LOOK_AHEAD_WORDS)):
            if (key and _key(word) == key) or (not skipped and word == token):
                words = self._spread(skipped, self._token_start_ms)
                start_ms = max(self._placed_ms, self._token_start_ms)
                self._placed_ms = max(start_ms, self._token_end_ms)
                return [*words, Word(self._expected.popleft(), start_ms, self._placed_ms)]
        return []

    def _spread(self, count: int, end_ms: int) -> list[Word]:
        text = " ".join(self._expected.popleft() for _ in range(count))
        start_ms, self._placed_ms = self._placed_ms, max(self._placed_ms, end_ms)
        return list(spread_words(text, start_ms, self._placed_ms))


def _key(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())
