"""Cutting text into the pieces that a speech engine is given, one at a time. Pure.

An engine returns a piece as a whole, so the first sound of a reply waits for the whole of its
first piece: that one is kept short, at a comma where there is one, else before a small word
where a speaker may breathe. Later pieces are sentences, which sound best.
"""

import re

MAX_PIECE_CHARS = 160
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+")
_TITLE = re.compile(r"(?:^|\s)(?:Dr|Mr|Mrs|Ms|St|Prof|No|vs|[A-Z])\.$")
_CLAUSE_END = re.compile(r"[,;:—](?=\s)")
_BREATH = re.compile(
    r"\s(?=(?:and|but|or|so|because|which|that|if|when|where|next|from|with|for|in|at|on|to)\s)",
    re.IGNORECASE,
)
_MIN_PIECE_CHARS = 10
_TOLERANCE_CHARS = 10


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, without the white space between them."""
    found: list[str] = []
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        head = text[begin : end.start()]
        if _TITLE.search(head):
            continue
        found.append(text[begin : end.end()].strip())
        begin = end.end()
    found.append(text[begin:].strip())
    return [sentence for sentence in found if sentence]


def split_clauses(text: str, *, first_chars: int) -> list[str]:
    """``text`` in pieces, the first of about ``first_chars`` characters at most (0: no
    shorter than the others). Joined by spaces they give the text again, but for white space
    and for words longer than a piece may be."""
    pieces: list[str] = []
    for sentence in sentences(" ".join(text.split())):
        rest = sentence
        if first_chars and not pieces:
            head, rest = _cut(sentence, first_chars, first_chars + _TOLERANCE_CHARS)
            pieces.append(head)
        while rest:
            head, rest = _cut(rest, MAX_PIECE_CHARS, MAX_PIECE_CHARS)
            pieces.append(head)
    return pieces


def _cut(text: str, wanted_chars: int, allowed_chars: int) -> tuple[str, str]:
    if len(text) <= allowed_chars:
        return text, ""
    place = (
        _last(_CLAUSE_END, text, allowed_chars, after=True)
        or _last(_BREATH, text, wanted_chars)
        or text.rfind(" ", _MIN_PIECE_CHARS, wanted_chars)
    )
    if place <= 0:
        place = text.find(" ", 0, MAX_PIECE_CHARS)
    if place <= 0:
        place = min(MAX_PIECE_CHARS, len(text))
    return text[:place].rstrip(), text[place:].lstrip()


def _last(pattern: re.Pattern[str], text: str, limit: int, *, after: bool = False) -> int:
    """Where the last match lies that leaves a piece of a sensible size; 0: nowhere."""
    place = 0
    for match in pattern.finditer(text, _MIN_PIECE_CHARS, limit):
        place = match.end() if after else match.start()
    return place
