"""What a speech-to-text's marks are worth, learned in the call. Pure.

One vendor hears where a sentence ends. Another puts a full stop behind whatever came before a
pause, and a comma behind what did not sound like an end: its full stop says nothing. So it is
counted how often each mark stood where the caller went on, and where the turn was over, beginning
with what is known of the vendor. A text without punctuation says nothing ever.
"""

import math
from enum import StrEnum


class Mark(StrEnum):
    STOP = "stop"
    QUESTION = "question"
    COMMA = "comma"
    NONE = "none"


_WENT_ON = {Mark.STOP: 0.2, Mark.QUESTION: 0.05, Mark.COMMA: 0.4, Mark.NONE: 0.35}
_ENDED = {Mark.STOP: 0.55, Mark.QUESTION: 0.15, Mark.COMMA: 0.05, Mark.NONE: 0.25}
_GUESSED_WENT_ON = {Mark.STOP: 0.6, Mark.QUESTION: 0.08, Mark.COMMA: 0.29, Mark.NONE: 0.03}
_GUESSED_ENDED = {Mark.STOP: 0.82, Mark.QUESTION: 0.14, Mark.COMMA: 0.025, Mark.NONE: 0.015}
"""Of a vendor that takes every piece for a sentence: counted behind 1,272 pauses and 540 ends that
Moonshine heard, with more questions, of which calls have more."""
BELIEVED_AS_MUCH_AS, COUNTED_AS_MUCH_AS = 4, 12
"""How many pauses, and turns, of this call weigh as much as what is believed of the vendor; and as
much as what was counted."""


def mark_of(text: str) -> Mark:
    last = text.rstrip()[-1:]
    if last == "?":
        return Mark.QUESTION
    if last and last in ".!":
        return Mark.STOP
    return Mark.COMMA if last == "," else Mark.NONE


class Marks:
    """Those of one call. ``believed``: the vendor's full stops stand where sentences end."""

    def __init__(self, *, believed: bool = True) -> None:
        went_on = _WENT_ON if believed else _GUESSED_WENT_ON
        ended = _ENDED if believed else _GUESSED_ENDED
        weight = BELIEVED_AS_MUCH_AS if believed else COUNTED_AS_MUCH_AS
        self._went_on = {mark: weight * share for mark, share in went_on.items()}
        self._ended = {mark: weight * share for mark, share in ended.items()}
        self._last: Mark | None = None
        """Behind the last turn that was taken for over."""

    def odds(self, text: str) -> float:
        """The logarithm of how much more often the text's mark stands behind turns that are over
        than where the caller goes on."""
        mark = mark_of(text)
        if mark is Mark.NONE:
            return 0.0
        over = self._ended[mark] / sum(self._ended.values())
        goes_on = self._went_on[mark] / sum(self._went_on.values())
        return math.log(over / goes_on)

    def went_on(self, text: str) -> None:
        self._went_on[mark_of(text)] += 1

    def ended(self, text: str) -> None:
        self._last = mark_of(text)
        self._ended[self._last] += 1

    def last_went_on(self) -> None:
        """The last turn was not over at all."""
        if self._last is not None:
            self._ended[self._last] -= 1
            self._went_on[self._last] += 1
            self._last = None
