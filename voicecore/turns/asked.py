"""What was the caller asked for? Judged from the words of the agent that were heard last. Pure.

Who is asked for a telephone number says "415", and pauses: without the question it is a whole
answer. English words.
"""

import re
from typing import NamedTuple


class Asked(NamedTuple):
    """What the caller is likely to dictate."""

    number: bool = False
    phone: bool = False
    """The number is a telephone's."""
    digits: int | None = None
    """How many digits it has, where the question tells."""
    mail: bool = False
    spelling: bool = False
    birth: bool = False
    """A date that has a year."""


NOTHING = Asked()

LONGEST_CHARS = 400
"""A question is at the end of what was said."""
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
LAST_SENTENCES = 2
"""The question may have "Take your time." behind it."""
_REQUEST = re.compile(
    r"\?\W*$|\b(please|(tell|give|read) me|spell|i will need|i'll need|i need)\b", re.IGNORECASE
)
_READS_OUT = re.compile(r"(\d\W*){3}")
"""A number that is to be confirmed."""
_NUMBER = re.compile(
    r"\b(numbers?(?! of\b)|digits|code|postcode|zip|pin|i\.?d|reference)\b", re.IGNORECASE
)
_PHONE = re.compile(
    r"\b(phone|telephone|cell|mobile|fax|(reach|call|contact) you|call(ing)?.?back"
    r"|(best|contact) number)\b",
    re.IGNORECASE,
)
_LENGTHS = (
    (re.compile(r"\b(last|first) (four|4)\b|\bpin\b", re.IGNORECASE), 4),
    (re.compile(r"\bzip\b", re.IGNORECASE), 5),
)
_MAIL = re.compile(r"\b(your|an|which|what|the|best|work) e-?mail\b", re.IGNORECASE)
_SPELLING = re.compile(r"\bspell(ed|ing)?\b", re.IGNORECASE)
_BIRTH = re.compile(r"\b(birth|birthday|birthdate|born)\b", re.IGNORECASE)


def asked_for(said: str) -> Asked:
    """What the agent's words ask for; ``NOTHING`` where they ask for nothing of the kind."""
    for sentence in reversed(_SENTENCES.split(said[-LONGEST_CHARS:].strip())[-LAST_SENTENCES:]):
        if _REQUEST.search(sentence) is not None:
            return _asked_by(sentence)
    return NOTHING


def _asked_by(sentence: str) -> Asked:
    number = _NUMBER.search(sentence) is not None and _READS_OUT.search(sentence) is None
    return Asked(
        number=number,
        phone=number and _PHONE.search(sentence) is not None,
        digits=next((size for known, size in _LENGTHS if number and known.search(sentence)), None),
        mail=_MAIL.search(sentence) is not None,
        spelling=_SPELLING.search(sentence) is not None,
        birth=_BIRTH.search(sentence) is not None,
    )
