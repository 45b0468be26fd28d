"""Making sense of what a small speech model writes down. Pure.

Models of this size answer noise with stock phrases, and sometimes repeat one phrase until
their output ends. Both would reach the language model as the caller's words.
"""

import re

_MOST_WORDS_PER_S = 7.0
_FREE_WORDS = 4
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_LONGEST_PHRASE = 16
_MOST_REPEATS = 3
_STOCK = re.compile(
    r"(thank you( so much| very much)?|thanks) for (watching|listening)"
    r"|please (like and )?subscribe|(we'll|i'll) see you in the next (video|one)",
    re.IGNORECASE,
)
"""The ends of the videos that such models learned from: nobody says them to an agent."""


def clean(text: str, voiced_ms: int) -> str:
    """``text`` as one line without loops; empty where it cannot be speech of ``voiced_ms`` or
    is a stock phrase."""
    words = " ".join(text.replace("\ufffd", " ").split()).split(" ")
    if _STOCK.fullmatch(" ".join(words).strip(" .,!")):
        return ""
    if not any(_WORD.search(word) for word in words):
        return ""
    words = _without_loops(words)
    if len(words) > _FREE_WORDS + _MOST_WORDS_PER_S * voiced_ms / 1000:
        words = words[: int(_FREE_WORDS + _MOST_WORDS_PER_S * voiced_ms / 1000)]
    return " ".join(words)


def _without_loops(words: list[str]) -> list[str]:
    """Cut a phrase that comes more than three times in a row down to once. People do say
    "no no no", and read digits out twice."""
    plain = [word.lower().strip(".,!?") for word in words]
    place = 0
    while place < len(plain):
        for size in range(1, _LONGEST_PHRASE + 1):
            phrase = plain[place : place + size]
            again = place + size
            while plain[again : again + size] == phrase:
                again += size
            if (again - place) // size > _MOST_REPEATS and not _is_digits(phrase):
                del plain[place + size : again], words[place + size : again]
        place += 1
    return words


def _is_digits(phrase: list[str]) -> bool:
    return all(word.replace("-", "").isdigit() for word in phrase)
