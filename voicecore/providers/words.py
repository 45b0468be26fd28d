"""Words with their place in time."""

from collections.abc import Iterable

import msgspec


class Word(msgspec.Struct, frozen=True):
    """A spoken word. Times are milliseconds from the start of the audio it belongs to
    (the STT stream's first sample, or the reply's first sample)."""

    text: str
    start_ms: int
    end_ms: int


def spread_words(text: str, start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Place the words of ``text`` between two times in proportion to their length, for
    vendors that give no word times."""
    words = text.split()
    total = sum(len(word) + 1 for word in words)
    if not total:
        return ()
    placed: list[Word] = []
    done = 0
    for word in words:
        begin = start_ms + (end_ms - start_ms) * done // total
        done += len(word) + 1
        placed.append(Word(word, begin, start_ms + (end_ms - start_ms) * done // total))
    return tuple(placed)


def join_words(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)
