"""What was the caller asked to dictate? Judged from what the agent was heard to say last. Pure.

Who is asked for a telephone number says "415", and pauses: without the question it is a whole
answer. Only what has a known length or ending is of use: an order's number may have any. English
words.
"""

import re
from typing import NamedTuple


class Asked(NamedTuple):
    """What the caller is likely to dictate."""

    phone: bool = False
    """A telephone number."""
    digits: int | None = None
    """A number of so many digits."""
    mail: bool = False
    spelling: bool = False
    birth: bool = False
    """A date that has a year."""


NOTHING = Asked()

LONGEST_CHARS = 400
"""A question is at the end of what was said."""
LAST_SENTENCES = 3
"""The question may have "Take your time. No hurry." behind it."""
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_QUESTION = re.compile(r"\?[^\w?]*$")
_REQUEST = re.compile(
    r"\?|\bplease\b(?! (hold|wait|stay))|\b(tell|give|read) me\b|\bspell\b"
    r"|\b(i|we)(['\u2019]ll| will)?( just| also)? need (?!to\b|an? (moment|second|minute)\b)"
    r"|\b(and|now|next),? your\b|\b(go ahead with|start with|let me (get|have|take)) your\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"(\d\W*){3}|\b(what time|when|how (many|much|often)|scale|between \w+ and|extension)\b"
    r"|\b(correct|right|same)\W*$|^\W*(is|are|was) (this|that|it|the|your)\b"
    r"|\b(area|country) code (of|for|is)\b|\bor (the )?(\w+ one|two|second)\b"
    r"|\b(should|shall|may|can) (i|we) (call|text|reach)\b",
    re.IGNORECASE,
)
"""It is read out to be confirmed, or it is only spoken of."""
_PHONE = re.compile(
    r"\b(phone|telephone|cell|mobile|fax|(reach|call|contact) you|call.?back|best|contact"
    r"|(your|good) number)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\bnumber\b", re.IGNORECASE)
_LENGTHS = tuple(
    (re.compile(rf"\b({pattern})\b", re.IGNORECASE), digits)
    for pattern, digits in (
        ("(two|2).digit|(last|first) (two|2)", 2),
        ("(three|3).digit|(last|first) (three|3)|cv[vc]|security code", 3),
        ("(four|4).digit|(last|first) (four|4)", 4),
        ("(five|5).digit|(last|first) (five|5)", 5),
        ("(six|6).digit|(last|first) (six|6)", 6),
        ("(credit|debit|bank) card number", 15),
        ("pin|pin code", 4),
        ("zip|zip code", 5),
    )
)
"""American Express has fifteen digits, others sixteen."""
_MAIL = re.compile(r"\b(your|an|which|what|the|best|work) e-?mail\b", re.IGNORECASE)
_SPELLING = re.compile(r"\bspell\b|\bhow (is|are|was)\b.*\bspelled\b", re.IGNORECASE)
_BIRTH = re.compile(r"\b(dates? of birth|birth ?date|born)\b|\byour birthday\W*$", re.IGNORECASE)


def asked_for(said: str) -> Asked:
    """What the agent's words ask for; ``NOTHING`` where they ask for nothing of the kind."""
    for sentence in reversed(_SENTENCES.split(said[-LONGEST_CHARS:].strip())[-LAST_SENTENCES:]):
        asked = _asked_by(sentence) if _REQUEST.search(sentence) is not None else NOTHING
        if asked != NOTHING or _QUESTION.search(sentence) is not None:
            return asked
    return NOTHING


def _asked_by(sentence: str) -> Asked:
    dictated = _OTHERWISE.search(sentence) is None
    digits = next((size for known, size in _LENGTHS if dictated and known.search(sentence)), None)
    number = dictated and digits is None and _NUMBER.search(sentence) is not None
    return Asked(
        phone=number and _PHONE.search(sentence) is not None,
        digits=digits,
        mail=dictated and _MAIL.search(sentence) is not None,
        spelling=_SPELLING.search(sentence) is not None,
        birth=_BIRTH.search(sentence) is not None,
    )
