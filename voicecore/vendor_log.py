"""Vendors' failures in the process's log, without what people said.

A vendor may quote in its error what it was sent: a validation error that repeats the request,
for instance. The call's own files hold the whole text of it; the log holds what is left when
quotations and everything that was said in the call are taken out.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

import structlog

DETAIL_LIMIT = 200
REMEMBERED_TEXTS = 50
"""The last texts of the call that a detail is searched for."""
LONGEST_TEXT = 4000
SAME_WORDS = 3
"""So many words in a row that were said are a quotation; a shorter text, only as a whole."""
LEFT_OUT = "…"
_TEXTS = frozenset({"caller_turn", "draft_started", "speech_ignored", "agent_saying"})
_QUOTATION = re.compile(r"(?<!\w)[\"'`“‘«]|\{|\\u")
_WORD = re.compile(r"\w+")

log = structlog.get_logger("voicecore.session")


class VendorLog:
    """One call's. ``names`` gives the configured vendor of each kind (``stt``, ``llm``,
    ``tts``), ``keys`` what every line tells of the call."""

    def __init__(self, names: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self._names = names
        self._keys = keys
        self._said: deque[str] = deque(maxlen=REMEMBERED_TEXTS)

    def said(self, text: str) -> None:
        """A vendor was given this, and may quote it."""
        self._said.append(text[:LONGEST_TEXT])

    def event(self, type: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take an event of the call; returns it as it is to be recorded. A failure that was
        found out here (nothing came in time) is the configured vendor's."""
        recorded = dict(data)
        if type in _TEXTS:
            self.said(data["text"])
        elif type == "vendor_failed":
            kind = data["kind"]
            if data["vendor"] == kind:
                recorded["vendor"] = self._names[kind]
            detail = without_quotations(data["detail"], self._said)
            log.warning(
                "vendor failed",
                kind=kind,
                vendor=recorded["vendor"],
                code=data["code"],
                detail=detail,
                **self._keys,
            )
        return recorded


def without_quotations(detail: str, said: deque[str]) -> str:
    """One printable line of ``detail``: up to the first quotation mark or brace, and of that
    without the words of ``said``."""
    line = " ".join("".join(c if c.isprintable() else " " for c in detail).split())
    if (quotation := _QUOTATION.search(line)) is not None:
        line = line[: quotation.start()] + LEFT_OUT
    line = line[:DETAIL_LIMIT]
    runs = {run for text in said for run in _runs(_words(text))}
    words = list(_WORD.finditer(line))
    plain = [word[0].casefold() for word in words]
    hidden = bytearray(len(line))
    for size in range(1, SAME_WORDS + 1):
        for first in range(len(plain) - size + 1):
            if tuple(plain[first : first + size]) in runs:
                begin, end = words[first].start(), words[first + size - 1].end()
                hidden[begin:end] = b"\1" * (end - begin)
    shown = "".join("\0" if hide else char for char, hide in zip(line, hidden, strict=True))
    return re.sub("\0+", LEFT_OUT, shown)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    size = min(SAME_WORDS, len(words))
    if not size:
        return set()
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}
