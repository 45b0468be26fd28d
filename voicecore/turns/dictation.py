"""Is what the caller dictates at its end? Numbers, e-mail addresses, names spelled out. Pure.

People dictate in groups with pauses between, and each group sounds and reads finished. What is
known is how much is still to come: a telephone number has at least seven digits, the last digits
of a card are four, an e-mail address has an ending behind its "at". English words; digits and
"@" in any language.
"""

import re

from voicecore.turns.asked import NOTHING, Asked
from voicecore.turns.backchannels import Phrase, plain
from voicecore.turns.completeness_levels import Completeness

_NUMBERS = frozenset(
    "zero oh one two three four five six seven eight nine ten double triple hundred".split()
)
_SIZES = {"ten": 2, "triple": 2, "hundred": 2}
"""Digits of those words that stand for more than one; "triple" has the next one's besides."""
_LEADS = _NUMBERS | frozenset(
    "it s is that sure yes yeah yep no okay ok um uh so well use try my the phone cell mobile home "
    "work number area code plus and zip pin".split()
)
"""What an answer that dictates is made of, besides digits: no "I don't have one"."""
_BETWEEN = frozenset("no sorry um uh dash hyphen".split())
"""What is said between the digits of one number."""
_NUMBER_WORDS = re.compile(
    r"\b(number|phone|code|account|card|reference|zip|i ?d|invoice|pin|plate|order)\b",
    re.IGNORECASE,
)
_LENGTHS = (
    (re.compile(r"\b(zip|postal code)\b", re.IGNORECASE), 5),
    (re.compile(r"\b(ends? in|ending in|last four|pin)\b", re.IGNORECASE), 4),
)
"""Numbers whose length everybody knows (the United States' zip codes)."""
_PHONE = re.compile(
    r"\b(phone|cell|mobile|fax|reach me|call me|(best|contact) number)\b", re.IGNORECASE
)
_PHONE_DIGITS = 10
_CARD_PAUSES, _CARD_BUT_LAST = ((4,), (7, 8, 9)), 12
"""Behind how many digits people pause in a bank card's number, of which a speech-to-text may miss
one; and that number but for its last four."""
_MAIL = re.compile(r"\be-?mail\b|\baddress\b", re.IGNORECASE)
_SPELLED_MAIL = re.compile(r"@|\bdot\b|\bunderscore\b", re.IGNORECASE)
_AT = re.compile(r"@|\bat\b", re.IGNORECASE)
_ASKED_AT = re.compile(
    r"\w at (?!(the|my|your|our|a|an|all|it|this|that|work|home|least|once|any|one|night)\b)"
    r"[\w-]+( [\w-]+)?\W*$",
    re.IGNORECASE,
)
"""Behind a question for an address: "jane at gmail", but not "I'm at work"."""
_DOT = re.compile(r"(\.|\bdot\b)\s*\w+\W*$", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(\.|\bdot\b)\s*(com|org|net|edu|gov|info|io|uk|de|fr|es|it|nl|eu|us)\W*$", re.IGNORECASE
)
_SPELLS = re.compile(
    r"\b(it is|it's|that's|name is|is) (spelled|spelt)\b(\W+\w+){0,10}\W*$"
    r"|(\b[a-z]|(^|[.,?!] )\w+) as in \w+\W*$",
    re.IGNORECASE,
)
"""Whoever announces that goes on for a while, whatever is understood of it."""
_LETTER = re.compile(
    r"\b(code|plate|name|spelled|with)\W+((is|it|an?)\W+)?[b-hj-np-z]\W*$", re.IGNORECASE
)
"""A letter at the end that begins more: "the code is K", "with an E"; not that of "plan B"."""
_CONTRACTED = re.compile(r"['\u2019](s|m|d|t)\b", re.IGNORECASE)
"""Letters that nobody spells: "that's"."""
FEWEST_DIGITS, MOST_DIGITS = 3, 7
"""Digits at the end of what was said: so many begin a telephone or account number, and so many
may end one."""
FEWEST_BEFORE = 3
"""So many digits, each by itself, go before a word between: "one, seven, seven, no, nine", but not
"at 9:30, no, 10"."""
FEWEST_TELLING_LETTERS = 3
"""Fewer letters are those of some word by chance: "it is I, T"."""
SPELLED_LETTERS, WHOLE_NAME_LETTERS = 2, 4
"""So many letters in a row are spelled out, and so many may be a whole name."""


def dictation(
    text: str, words: Phrase, asked: Asked = NOTHING, paused_at: tuple[int, ...] = ()
) -> Completeness | None:
    """None: nothing is being dictated. ``paused_at``: how many digits there were at each pause
    before."""
    spells = Completeness.DICTATING if _SPELLS.search(text) else None
    number = _number(text, words, asked, paused_at)
    if number is Completeness.SHORT:
        return number
    return _mail(text, asked) or _spelled(text, asked) or number or spells


def dictates(text: str, asked: Asked = NOTHING, paused_at: tuple[int, ...] = ()) -> bool:
    """Whether the text ends in what is being dictated, be it whole or not."""
    judged = dictation(text, plain(text), asked, paused_at)
    return judged not in (None, Completeness.COMPLETE)


def digits_of(text: str) -> int:
    """How many digits are dictated at its end."""
    return sum(_digits_at_end(plain(text)))


def _mail(text: str, asked: Asked) -> Completeness | None:
    after_at = _AT.split(text)
    named = _MAIL.search(text) is not None and len(after_at) > 1
    answers = asked.mail and _ASKED_AT.search(text) is not None
    if not (named or answers or _SPELLED_MAIL.search(text)):
        return None
    if _DOMAIN.search(text) or (len(after_at) > 1 and _DOT.search(after_at[-1])):
        return Completeness.COMPLETE
    return Completeness.DICTATING


def _spelled(text: str, asked: Asked) -> Completeness | None:
    words = plain(_CONTRACTED.sub("", text))
    spelled: list[str] = []
    letters = begin = 0
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        letter = len(word) == 1 and word.isalpha()
        if not letter and not word.isdigit() and word not in _NUMBERS:
            before = words[max(place - 3, 0) : place]
            if word == "and" and spelled and len("".join(before)) == len(before) == 3:
                continue  # "g, h, d, and t"
            break
        letters += letter
        spelled.append(word if letter or word.isdigit() else "0")
        begin = place
    name = "".join(reversed(spelled))
    if letters and asked.spelling and len(name) < SPELLED_LETTERS:
        return Completeness.DICTATING
    if not letters or len(name) < SPELLED_LETTERS:
        return Completeness.DOUBTFUL if letters and _LETTER.search(text) else None
    if len(name) >= FEWEST_TELLING_LETTERS:
        for word in words[:begin]:  # the name was said before
            if word.startswith(name):
                return Completeness.COMPLETE if word == name else Completeness.DICTATING
    whole = len(name) >= WHOLE_NAME_LETTERS
    return Completeness.DOUBTFUL if whole else Completeness.DICTATING


def _number(
    text: str, words: Phrase, asked: Asked, paused_at: tuple[int, ...]
) -> Completeness | None:
    sizes = _digits_at_end(words)
    digits, pieces = sum(sizes), len(sizes)
    if not all(len(word) == 1 or word in _LEADS or word.isdigit() for word in words):
        asked = NOTHING
    phone = asked.phone or _PHONE.search(text) is not None
    named = phone or _NUMBER_WORDS.search(text) is not None
    length = next((size for known, size in _LENGTHS if known.search(text)), asked.digits)
    if not digits or not (named or length or pieces > 1):  # a price, a year, "for two"
        return None
    if length is not None:
        short = Completeness.SHORT if length == asked.digits else Completeness.DICTATING
        return Completeness.COMPLETE if digits >= length else short
    if asked.phone and digits < MOST_DIGITS:
        return Completeness.SHORT
    if phone and sizes[:-3:-1] == [3, 3] and digits < _PHONE_DIGITS:
        return Completeness.DICTATING
    if digits == _CARD_BUT_LAST and (set(sizes) == {4} or _in_fours(paused_at)):
        return Completeness.DICTATING
    if digits >= _PHONE_DIGITS:
        return Completeness.COMPLETE
    if digits >= MOST_DIGITS:
        apart = pieces == digits and (phone or not named)
        return Completeness.DOUBTFUL if apart else Completeness.OPEN
    if digits >= FEWEST_DIGITS or (named and pieces > 1):
        return Completeness.DICTATING
    return Completeness.DOUBTFUL if pieces > 1 else None


def _in_fours(paused_at: tuple[int, ...]) -> bool:
    first_two = zip(paused_at, _CARD_PAUSES, strict=False)
    return len(paused_at) >= 2 and all(digits in known for digits, known in first_two)


def _digits_at_end(words: Phrase) -> list[int]:
    """How many digits each of the words at the end has that dictate a number, the last first."""
    sizes: list[int] = []
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        if word.isdigit() or word in _NUMBERS:
            sizes.append(len(word) if word.isdigit() else _SIZES.get(word, 1))
            continue
        before = words[max(place - FEWEST_BEFORE, 0) : place]
        groups = len(before) == FEWEST_BEFORE and all(map(_is_digit, before))
        if not (sizes and groups and word in _BETWEEN):
            break
    return sizes


def _is_digit(word: str) -> bool:
    return word in _NUMBERS or (len(word) == 1 and word.isdigit())
