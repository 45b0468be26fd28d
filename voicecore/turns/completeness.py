"""Is what the caller said so far a whole utterance? Judged from the text alone. Pure.

Three things hold a turn open: a word after which something must follow ("and", "my"), a
hesitation ("um"), and dictation that is not at its end (a number, an e-mail address, a name
spelled out).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

from voicecore.turns.backchannels import Phrase, plain


class Completeness(StrEnum):
    COMPLETE = "complete"
    OPEN = "open"
    """Nothing speaks for or against it."""
    INCOMPLETE = "incomplete"


_HANGING: Mapping[str, str] = {
    "en": "and, or, but, so, because, cause, if, although, the, a, an, my, your, our, their, "
    "i m, i d, i ll, i ve, we re, you re, they re, he s, she s, we ll, they ll, um, uh, uhm, er, "
    "erm, hmm, well, you know, i mean, let me see, let s see, kind of, sort of, let me think, "
    "hold on, hang on, one second, one moment, just a second",
    "de": "und, oder, aber, weil, wenn, dass, ob, der, die, das, den, dem, ein, eine, einen, mein, "
    "meine, zu, mit, von, für, auf, in, an, bei, ich, wir, ist, sind, äh, ähm, also, hm, moment",
    "es": "y, o, pero, porque, si, que, el, la, los, las, un, una, mi, de, a, con, para, por, en, "
    "es, son, yo, eh, em, pues, este",
    "fr": "et, ou, mais, parce que, si, que, le, la, les, un, une, mon, ma, de, à, avec, pour, "
    "dans, est, sont, je, euh, alors, donc, ben",
    "pt": "e, ou, mas, porque, se, que, o, a, os, as, um, uma, meu, minha, de, com, para, em, "
    "é, são, eu, é que, então, hum",
    "it": "e, o, ma, perché, se, che, il, la, lo, gli, un, una, mio, mia, di, a, con, per, in, "
    "è, sono, io, ehm, allora, cioè",
    "nl": "en, of, maar, omdat, als, dat, de, het, een, mijn, te, van, met, voor, op, in, is, "
    "zijn, ik, wij, eh, ehm, dus, even kijken",
}
_HANGING_UNPUNCTUATED = (
    "that, this, these, those, his, her, its, to, of, for, with, at, in, on, from, by, into, "
    "about, between, near, until, since, is, are, was, were, am, has, have, had, will, would, can, "
    "could, should, i, we, they, he, she, it, you, not, very, really, like, when, while, which, who"
)
"""English words that may end a sentence as well: the speech-to-text's full stop is believed."""
_NUMBERS = frozenset(
    "zero oh one two three four five six seven eight nine ten double triple hundred".split()
)
_AT = re.compile(r"(@|\bat\b)", re.IGNORECASE)
_DOT = re.compile(r"(\.|\bdot\b)\s*\w+\W*$", re.IGNORECASE)
_NUMBER_WORDS = re.compile(r"\b(number|phone|code|account|card|reference|zip)\b", re.IGNORECASE)
_MAIL_WORDS = re.compile(r"\b(e-?mail|address)\b", re.IGNORECASE)
FEWEST_NUMBER_DIGITS, MOST_NUMBER_DIGITS = 3, 7
"""Digits at the end of what was said: so many begin a telephone or account number, and so many
may end one."""
SPELLED_LETTERS = 2


def completeness(text: str, language: str = "en") -> Completeness:
    """Judge a text as a speech-to-text gives it, with or without punctuation."""
    words = plain(text)
    if not words:
        return Completeness.OPEN
    if text.rstrip().endswith("?"):  # nobody asks in the middle: "And?" is whole
        return Completeness.COMPLETE
    if _hangs(text, words, language) or text.rstrip().endswith((",", "-", "…", "...")):
        return Completeness.INCOMPLETE
    if _dictates(text, words):
        return Completeness.INCOMPLETE
    return Completeness.COMPLETE if text.rstrip()[-1] in ".?!" else Completeness.OPEN


def _hangs(text: str, words: Phrase, language: str) -> bool:
    hanging = _hanging(language.partition("-")[0].lower(), text.rstrip()[-1] in ".?!")
    return any(words[-size:] in hanging for size in (1, 2, 3))


@cache
def _hanging(language: str, punctuated: bool) -> frozenset[Phrase]:
    listed = _HANGING.get(language, _HANGING["en"])
    if language == "en" and not punctuated:
        listed += ", " + _HANGING_UNPUNCTUATED
    return frozenset(plain(phrase) for phrase in listed.split(","))


def _dictates(text: str, words: Phrase) -> bool:
    digits, pieces = _digits_at_end(words)
    dictated = pieces > 1 or bool(_NUMBER_WORDS.search(text))  # not a price, nor a year
    if dictated and FEWEST_NUMBER_DIGITS <= digits < MOST_NUMBER_DIGITS:
        return True
    letters = 0
    for word in reversed(words):
        if len(word) != 1 or not word.isalpha():
            break
        letters += 1
    if letters >= SPELLED_LETTERS:
        return True
    # "jane at gmail" lacks its ending.
    after_at = _AT.split(text)
    return bool(_MAIL_WORDS.search(text)) and len(after_at) > 1 and not _DOT.search(text)


def _digits_at_end(words: Phrase) -> tuple[int, int]:
    """How many digits the words at the end dictate, in how many pieces."""
    digits = pieces = 0
    for word in reversed(words):
        if word.isdigit():
            digits += len(word)
        elif word in _NUMBERS:
            digits += 1
        else:
            break
        pieces += 1
    return digits, pieces
