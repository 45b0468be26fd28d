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
_GUESSED_WENT_ON = {Mark.STOP: 0.68, Mark.QUESTION: 0.1, Mark.COMMA: 0.18, Mark.NONE: 0.04}
_GUESSED_ENDED = {Mark.STOP: 0.68, Mark.QUESTION: 0.2, Mark.COMMA: 0.05, Mark.NONE: 0.07}
BELIEVED_AS_MUCH_AS = 4
"""How many pauses, and turns, of this call weigh as much as what is believed of the vendor."""


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
        self._went_on = {mark: BELIEVED_AS_MUCH_AS * share for mark, share in went_on.items()}
        self._ended = {mark: BELIEVED_AS_MUCH_AS * share for mark, share in ended.items()}
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
