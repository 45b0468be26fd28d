"""Text that comes after its turn was closed without it."""

from difflib import SequenceMatcher

import msgspec
from msgspec import structs

from voicecore.providers.stt import SttFinal

LATE_FINAL_MS = 1500
"""A final this soon after a turn was closed without it may repeat that turn's words."""

LONGEST_WORDS = 400
"""Longer texts are not compared: that costs their product."""


class TakenInterim(msgspec.Struct, frozen=True):
    """An interim text that had to do as the turn's, because the final was late."""

    text: str
    at_ms: int


def without_repeats(taken: TakenInterim, now_ms: int, final: SttFinal) -> SttFinal:
    """The final with no more text than is new. A final that answers the flush is of the same
    speech as the interim, however different; another one is if most of its words are."""
    known, words = _plain(taken.text), _plain(final.text)
    if now_ms >= taken.at_ms + LATE_FINAL_MS or len(known) + len(words) > LONGEST_WORDS:
        return final
    blocks = [
        block
        for block in SequenceMatcher(None, known, words, autojunk=False).get_matching_blocks()
        if block.size
    ]
    same = 2 * sum(block.size for block in blocks) >= min(len(known), len(words))
    if not same:
        return structs.replace(final, text="", words=()) if final.flushed else final
    last = blocks[-1] if blocks else None
    repeated = last.b + len(known) - last.a if last is not None else len(words)
    rest = final.text.split()[repeated:]
    return structs.replace(
        final, text=" ".join(rest), words=final.words[-len(rest) :] if rest else ()
    )


def _plain(text: str) -> list[str]:
    return ["".join(filter(str.isalnum, word)).casefold() for word in text.split()]
