"""Cutting a model's stream of text into pieces worth speaking."""

import re

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st vs etc no dept ave blvd rd ext approx e.g i.e a.m p.m u.s".split()
)
# A run of dots is tried once, not from each of them.
_END = re.compile(r"(?<![.!?…])[.!?…]+[\"')\]]*(?=\s)|[。！？]+|\n+")
_CLAUSE = re.compile(r"[,;:–—](?=\s)|[、，；：]")
_MARKUP = re.compile(r"[*_`#~]+|^[^\S\n]*[-•]\s+", re.MULTILINE)
_UNSPEAKABLE = re.compile(
    r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]"
)
_SOUNDLESS = re.compile(r"""[\s.!?…,;:–—\-'"()\[\]。！？、，；：]*""")

LONGEST_CHARS = 240
"""A piece is cut at a space here, whatever the model writes."""
_WINDOW = LONGEST_CHARS + 1
"""So much text decides where a piece ends: no answer costs more than its length."""


def speakable(text: str) -> str:
    """Text without what a voice cannot say: Markdown, emoji, control characters, and lone
    surrogates, which no vendor's protocol can carry. Numbers stay, those of lists too."""
    return " ".join(_UNSPEAKABLE.sub("", _MARKUP.sub("", text)).split())


class SentenceStream:
    """Feed deltas, get sentences. The first piece may end at a clause, once it has
    ``first_clause_chars``, so that speech starts sooner."""

    def __init__(self, *, first_clause_chars: int = 24) -> None:
        self._first_clause_chars = first_clause_chars
        self._pending = ""
        self._cut_any = False

    def push(self, delta: str) -> list[str]:
        """Take the next piece of text; return the sentences it completes."""
        text = self._pending + delta
        pieces: list[str] = []
        place = _past_spaces(text, 0)
        while (end := self._next_cut(text[place : place + _WINDOW])) is not None:
            piece = _spoken(text[place : place + end])
            place = _past_spaces(text, place + end)
            if piece:
                self._cut_any = True
                pieces.append(piece)
        self._pending = text[place:]
        return pieces

    def flush(self) -> list[str]:
        """The rest, at the end of the text."""
        piece, self._pending = _spoken(self._pending), ""
        return [piece] if piece else []

    def _next_cut(self, text: str) -> int | None:
        """Where the first piece ends of what lies in the window; None: more text may tell."""
        for match in _END.finditer(text):
            if match.end() > LONGEST_CHARS:
                break
            if match.group()[0] != "." or not _is_abbreviation(text, match.start()):
                return match.end()
        if not self._cut_any:
            for match in _CLAUSE.finditer(text):
                if self._first_clause_chars <= match.end() <= LONGEST_CHARS:
                    return match.end()
        if len(text) > LONGEST_CHARS:
            space = text.rfind(" ", 1, LONGEST_CHARS)
            return space if space > 0 else LONGEST_CHARS
        return None


def _past_spaces(text: str, place: int) -> int:
    while text.startswith(" ", place):
        place += 1
    return place


def _spoken(text: str) -> str:
    """``speakable`` text; empty where nothing of it makes a sound, as a voice that is asked to
    say only "..." may answer with nothing at all."""
    piece = speakable(text)
    return "" if _SOUNDLESS.fullmatch(piece) else piece


def _is_abbreviation(text: str, dot: int) -> bool:
    """Whether the dot at ``dot`` belongs to a word: "Dr.", "p.m.", an initial, "1."."""
    before = text[:dot].rsplit(None, 1)
    if not before:
        return False
    word = before[-1].lower().lstrip("(\"'")
    if word in _ABBREVIATIONS:
        # "It opens at nine a.m. We ..." ends a sentence: a capital follows.
        return not (word in ("a.m", "p.m", "etc") and text[dot + 1 :].lstrip()[:1].isupper())
    is_initial = len(word) == 1 and word.isalpha() and word != "i"
    is_list_number = word.isdigit() and text[:dot].strip() == word
    return is_initial or is_list_number
