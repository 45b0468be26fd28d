"""How long a pause of the caller must be to end the turn. Pure.

The wait lies between two bounds. Within them it follows the odds that the turn is over, to which
each sign adds its own: the words ("my number is" goes on), the mark that the speech-to-text puts
behind them, its own opinion, and a model's that hears how it was said. Besides, it follows how
long this caller pauses within turns.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from voicecore.turns.asked import NOTHING, Asked, asked_for
from voicecore.turns.completeness import LONGEST_CHARS, completeness
from voicecore.turns.completeness_levels import Completeness
from voicecore.turns.dictation import dictates, digits_of
from voicecore.turns.marks import Marks

REMEMBERED_PAUSES = 6
MOST_GROUPS = 8
"""Of a number, so many are remembered at most."""
PAUSE_MARGIN = 1.25
"""The wait is longer than this caller's pauses by so much."""
HABIT_TIMES = 2
"""But, on their account, no longer than so many times the open wait."""
CUT_OFF_MS = 150
"""Each time the caller was cut off the wait grows by so much, and by half of it less after each
turn that went well."""


TEXT_ODDS: Mapping[Completeness, float] = {
    Completeness.COMPLETE: 1.0,
    Completeness.OPEN: 0.0,
    Completeness.DOUBTFUL: -1.0,
    Completeness.HANGING: -2.0,
    Completeness.DICTATING: -2.5,
    Completeness.SHORT: -2.5,
    Completeness.INCOMPLETE: -3.0,
}
"""What the words are worth, as the logarithm of the odds that the turn is over. Where more follows
whatever else there is, as much as any sound at least: who dictates a number sounds finished after
each group."""
ONLY_MARKED_OPEN = frozenset({Completeness.DICTATING, Completeness.SHORT, Completeness.INCOMPLETE})
"""Of the marks behind these only those count that speak against an end: each group of a number has
its full stop, and behind "the" it is wrong."""
VENDOR_ODDS = 1.0
"""What it is worth that the speech-to-text takes the turn for over."""


class Sounds(StrEnum):
    """What a model that hears ends of turns makes of the pause."""

    FINISHED = "finished"
    UNSURE = "unsure"
    """Or it was not asked, or has not answered yet."""
    UNFINISHED = "unfinished"


LEAST_SOUND_ODDS, MOST_SOUND_ODDS = -4.0, 2.5
"""A model's opinion is worth no more than this. It errs more rarely when it hears that more follows
than when it hears an end."""
OVER_FROM, GOES_ON_FROM = 1.0, -3.0
"""The wait is shortest from these odds on, the open one at 0, and longest up to these; in a line
between."""


class EndpointingPolicy(msgspec.Struct, frozen=True):
    """All in milliseconds of quiet after the last voiced frame."""

    min_silence_ms: int = 400
    """After a whole sentence."""
    open_silence_ms: int = 600
    """After a text that may or may not be whole."""
    max_silence_ms: int = 2000
    """After a text that is not."""
    adapts: bool = True
    language: str = "en"
    marks_ends: bool = True
    """The speech-to-text's full stops stand where sentences end."""
    finished_from: float = 0.9
    """A model's probability from which the caller sounds finished: worth as much as a full stop
    of a vendor that hears ends."""
    unfinished_below: float = 0.5
    """And below which not: worth as much against it."""

    def sounds(self, probability: float | None) -> Sounds:
        """What a model's probability means; None where there is none."""
        if probability is None:
            return Sounds.UNSURE
        if probability < self.unfinished_below:
            return Sounds.UNFINISHED
        return Sounds.FINISHED if probability >= self.finished_from else Sounds.UNSURE

    def sound_odds(self, probability: float | None) -> float:
        """What a model's probability adds to the odds: 1 at ``finished_from``, -1 at
        ``unfinished_below``, and in a line with its own log odds between and beyond."""
        if probability is None:
            return 0.0
        high, low = _log_odds(self.finished_from), _log_odds(self.unfinished_below)
        above = _log_odds(probability) - (high + low) / 2
        odds = above / max((high - low) / 2, _LEAST_SPREAD)
        return min(max(odds, LEAST_SOUND_ODDS), MOST_SOUND_ODDS)


class Endpointing:
    """One caller's endpointing."""

    def __init__(self, policy: EndpointingPolicy, said: Callable[[], str] = str) -> None:
        """``said`` tells what the agent said last, as far as it was heard."""
        self._policy = policy
        self._said = said
        self._pauses_ms: deque[int] = deque(maxlen=REMEMBERED_PAUSES)
        self._cut_off_ms = 0
        self._marks = Marks(believed=policy.marks_ends)
        self._paused_at: tuple[int, ...] = ()
        """How many digits of a number there were at each pause of this turn."""
        self._asked = "", NOTHING
        """What the agent said last, and what it asked for."""
        self._judged: tuple[str, Asked, tuple[int, ...], Completeness]
        self._judged = "", NOTHING, (), completeness("", policy.language)
        """The text that was judged last, and behind what: it is asked about more than once."""

    def odds(
        self, text: str, *, vendor_says_over: bool = False, audio: float | None = None
    ) -> float:
        """The logarithm of the odds that a turn of this text is over. ``audio`` is a model's
        probability that it is, None where there is none."""
        judged = self.judge(text)
        sound = self._policy.sound_odds(audio)
        if judged is Completeness.SHORT:  # where it is known how much follows no sound says it
            sound = min(sound, 0.0)
        odds = TEXT_ODDS[judged] + sound
        if not text or judged is Completeness.COMPLETE:
            return odds
        mark = self._marks.odds(text)
        if judged in ONLY_MARKED_OPEN:
            mark = min(mark, 0.0)
        if vendor_says_over and judged is Completeness.OPEN:  # it may go by silence alone
            mark = max(mark, VENDOR_ODDS)
        return odds + mark

    def judge(self, text: str) -> Completeness:
        """How whole the text is, as an answer to what the agent said."""
        behind = text, self._asked_for(), self._paused_at
        if self._judged[:3] != behind:
            self._judged = *behind, completeness(text, self._policy.language, *behind[1:])
        return self._judged[3]

    def _asked_for(self) -> Asked:
        said = self._said()
        if said != self._asked[0]:
            self._asked = said, asked_for(said)
        return self._asked[1]

    def wait_ms(
        self, text: str, *, vendor_says_over: bool = False, audio: float | None = None
    ) -> int:
        """The quiet after which a turn of this text is over."""
        policy = self._policy
        shortest, longest = policy.min_silence_ms, max(policy.max_silence_ms, policy.min_silence_ms)
        if not policy.adapts:
            return shortest
        opened = min(max(shortest, policy.open_silence_ms), longest)
        odds = self.odds(text, vendor_says_over=vendor_says_over, audio=audio)
        if odds >= 0:
            share = min(odds / OVER_FROM, 1.0)
            wait_ms = round(opened + share * (shortest - opened))
        else:
            share = min(odds / GOES_ON_FROM, 1.0)
            wait_ms = round(opened + share * (longest - opened))
        if self._pauses_ms and self._goes_by_habit(text, odds, audio):
            habit_ms = round(PAUSE_MARGIN * max(self._pauses_ms))
            wait_ms = max(wait_ms, min(habit_ms, HABIT_TIMES * opened))
        return min(wait_ms + self._cut_off_ms, longest)

    def _goes_by_habit(self, text: str, odds: float, audio: float | None) -> bool:
        """Whether the pauses that the caller made before say more than the sound. Each group of a
        number sounds like the last."""
        if dictates(text[-LONGEST_CHARS:], self._asked_for(), self._paused_at):
            return True
        return odds < OVER_FROM and audio is None

    def paused(self, duration_ms: int, text: str = "") -> None:
        """The caller went on with the turn after a pause behind this text."""
        if 0 < duration_ms <= self._policy.max_silence_ms:
            self._pauses_ms.append(duration_ms)
        if text:
            self._marks.went_on(text)
        digits = digits_of(text[-LONGEST_CHARS:])
        if digits and digits not in self._paused_at and len(self._paused_at) < MOST_GROUPS:
            self._paused_at += (digits,)

    def forget_turn(self) -> None:
        """Another turn begins, if any."""
        self._paused_at = ()

    def ended(self, text: str) -> None:
        """A turn of this text was taken for over."""
        if text:
            self._marks.ended(text)

    def cut_off(self) -> None:
        """The caller went on although the turn had been taken for over."""
        room_ms = self._policy.max_silence_ms - self._policy.min_silence_ms
        self._cut_off_ms = max(min(self._cut_off_ms + CUT_OFF_MS, room_ms), 0)
        self._marks.last_went_on()

    def went_well(self) -> None:
        """The caller heard the answer out, or interrupted it with something new."""
        self._cut_off_ms = max(self._cut_off_ms - CUT_OFF_MS // 2, 0)


_LEAST_SPREAD = 0.1
_SURE = 0.001
"""No model is surer than this, whatever it says."""


def _log_odds(probability: float) -> float:
    bounded = min(max(probability, _SURE), 1 - _SURE)
    return math.log(bounded / (1 - bounded))
