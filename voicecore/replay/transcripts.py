"""What the speech-to-text said in the call, to be said again. Pure.

What it said by itself comes at its recorded time. What it said when asked to finish comes as
long after the asking as it did in the call, whenever that is: so other settings for the end of
speech move the text with it. Where the new call asks in the middle of what was one stretch of
speech, the words so far are the answer, and the rest waits for the next time.
"""

import re
from itertools import islice
from statistics import median_low
from typing import TypeGuard

import msgspec

from voicecore.providers.errors import VendorError
from voicecore.providers.stt import (
    SttEager,
    SttEvent,
    SttFailed,
    SttFinal,
    SttInterim,
    SttResumed,
)
from voicecore.providers.words import Word, join_words, spread_words
from voicecore.replay.facts import Facts, SpeechStarted, SpeechStopped, SttResult, VendorFailed

SAME_END_MS = 60
"""Two ends of speech this close are the same."""
_SPOKEN_MS = 100
"""A word that ends this much after a pause began was still said before it."""
_SOON_MS = 15_000
_USUAL_MS = 200
_OPEN_LIMIT = 64
"""Askings that may be without an answer at a time."""
_WATCHED = re.compile(r"no text for \d+ ms of speech")
"""A failure that the session found out by itself, as it will again."""


class _Asked:
    """One time that the call asked for the rest of the text, and the answer."""

    def __init__(self, start_ms: int, end_ms: int, asked_ms: int) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.asked_ms = asked_ms
        self.final: SttFinal | None = None
        self.words: tuple[Word, ...] = ()
        self.delay_ms = 0
        self.taken = self.first = 0
        """How many of its words were told already, and how many of them before this turn."""
        self.turn = -1
        """In which turn it was told last."""
        self.given = False
        self.told_ms = 0
        """When that reaches the session."""

    def answer(self, at_ms: int, result: SttResult) -> None:
        self.final = _final(result, flushed=True)
        self.words = result.words or spread_words(result.text, self.start_ms, self.end_ms)
        self.delay_ms = max(at_ms - self.asked_ms, 0)

    def until(self, end_ms: int) -> int:
        """How many words were said by a time."""
        return sum(word.end_ms <= end_ms + _SPOKEN_MS for word in self.words)


class Spontaneous(msgspec.Struct, frozen=True):
    """Something that came by itself. ``before`` is the number of the asking that it came
    before."""

    at_ms: int
    event: SttEvent
    before: int


class Transcripts:
    """One call's. ``spontaneous`` is in the order of time; ask ``current`` what is left to say
    of each when its time has come, and ``finalize`` when the session asks."""

    def __init__(self, facts: Facts) -> None:
        self._asked: list[_Asked] = []
        self._first = 0
        """Those before it have nothing more to say."""
        self._speaking = False
        self._told = False
        """Some of the turn that goes on now: so much may be revised."""
        self._turn = 0
        self.spontaneous: list[Spontaneous] = []
        self._read(facts)
        delays = [one.delay_ms for one in self._asked if one.final is not None]
        self._usual_ms = median_low(delays) if delays else _USUAL_MS
        self._revises = any(one.final is not None and one.final.revises for one in self._asked)
        self._answers = bool(delays)
        """Whether the vendor answers when it is asked to finish."""

    def _read(self, facts: Facts) -> None:
        started_ms = 0
        for fact in facts:
            if isinstance(fact.what, SpeechStarted):
                started_ms, self._speaking = fact.what.at_ms, True
            elif isinstance(fact.what, SpeechStopped):
                self._asked.append(_Asked(started_ms, fact.what.at_ms, fact.at_ms))
                self._speaking = False
            elif isinstance(fact.what, SttResult):
                asked = self._asked_for(fact.at_ms, fact.what)
                if asked is not None:
                    asked.answer(fact.at_ms, fact.what)
                else:
                    self._by_itself(fact.at_ms, _event(fact.what))
            elif _has_failed(fact.what):
                self._by_itself(fact.at_ms, SttFailed(_error(fact.what)))

    def _by_itself(self, at_ms: int, event: SttEvent) -> None:
        owed = bool(self._asked) and not self._speaking and self._asked[-1].final is None
        before = len(self._asked) - owed
        self.spontaneous.append(Spontaneous(at_ms, event, before))

    def _asked_for(self, at_ms: int, result: SttResult) -> _Asked | None:
        """Which asking a text answers."""
        if result.kind != "final" or not result.flushed:
            return None
        late = self._asked[-_OPEN_LIMIT:]
        open_ = [one for one in late if one.final is None and at_ms - one.asked_ms <= _SOON_MS]
        if result.words:
            first_ms = result.words[0].start_ms
            open_ = [one for one in open_ if one.end_ms + 500 >= first_ms] or open_
        return open_[0] if open_ else None

    def finalize(self, now_ms: int, end_ms: int) -> tuple[int, SttFinal] | None:
        """The session asks for the text of all speech up to ``end_ms``: when the answer comes,
        and what it is. None: there is none."""
        due = self._due(end_ms)
        parts = [(one, part) for one in due if (part := self._part(one, end_ms)) is not None]
        if parts:
            at_ms = now_ms + parts[-1][0].delay_ms
            for one, _ in parts:
                one.told_ms = at_ms
            self._told = True
            return at_ms, _joined([part for _, part in parts])
        if self._unanswered(end_ms) or not self._answers:
            return None
        return now_ms + self._usual_ms, SttFinal("", flushed=True)

    def _due(self, end_ms: int) -> list[_Asked]:
        """The stretches of speech that began by a time and were not told whole."""
        asked = self._asked
        while self._first < len(asked) and (
            asked[self._first].given or asked[self._first].end_ms < end_ms - _SOON_MS
        ):
            self._first += 1
        due = []
        for one in islice(asked, self._first, None):
            if one.start_ms >= end_ms + SAME_END_MS:
                break
            if not one.given and one.final is not None:
                due.append(one)
        return due

    def turn_over(self) -> None:
        """The text so far was taken for a turn: what revises it has only its own words to say."""
        self._told = False
        self._turn += 1

    def _part(self, one: _Asked, end_ms: int) -> SttFinal | None:
        assert one.final is not None
        more = one.turn == self._turn  # more of what was told in this turn
        if not more:
            one.turn = self._turn
            if one.final.revises and not (self._told or one.taken):
                one.taken = one.until(one.start_ms - _SPOKEN_MS)
            one.first = one.taken
        one.given = one.end_ms <= end_ms + SAME_END_MS
        upto = len(one.words) if one.given else max(one.until(end_ms), one.taken)
        if not one.given and upto == one.taken:
            return None
        # A vendor that revises has the last final stand for all of the stretch.
        again = more and self._revises
        begin, one.taken = one.first if again else one.taken, upto
        revises = again or (one.final.revises and self._told and not begin)
        if one.given and not begin:
            return msgspec.structs.replace(one.final, revises=revises)
        words = one.words[begin:upto]
        end_of_turn = one.final.end_of_turn and one.given
        return SttFinal(
            join_words(words), words, end_of_turn, flushed=True, revises=revises,
            confidence=one.final.confidence,
        )  # fmt: skip

    def _unanswered(self, end_ms: int) -> bool:
        """Whether the call asked here too and was left without an answer."""
        around = self._asked[self._first : self._first + _OPEN_LIMIT]
        return any(one.final is None and abs(one.end_ms - end_ms) <= SAME_END_MS for one in around)

    def current(self, now_ms: int, item: Spontaneous) -> SttEvent | None:
        """The event as it is to be said now: a guess does not repeat words that were given
        already."""
        event = item.event
        if isinstance(event, SttFinal):
            return self._by_now(event, item.before)
        if not isinstance(event, SttInterim | SttEager) or item.before >= len(self._asked):
            return event
        asked = self._asked[item.before]
        if now_ms < asked.told_ms or not (asked.given or asked.taken):
            return event
        if asked.given:
            return None
        rest = event.text.split()[asked.taken :]
        return msgspec.structs.replace(event, text=" ".join(rest)) if rest else None

    def _by_now(self, final: SttFinal, before: int) -> SttFinal:
        """A final that nobody asked for, as it is to be said now."""
        revises, self._told = final.revises and self._told, self._told or bool(final.text)
        if revises or not (final.revises and before):
            return msgspec.structs.replace(final, revises=revises)
        told_ms = self._asked[before - 1].end_ms
        words = tuple(word for word in final.words if word.end_ms > told_ms + _SPOKEN_MS)
        return msgspec.structs.replace(final, text=join_words(words), words=words, revises=False)


def _event(result: SttResult) -> SttEvent:
    match result.kind:
        case "interim":
            return SttInterim(result.text, result.confidence)
        case "eager":
            return SttEager(result.text, result.confidence)
        case "resumed":
            return SttResumed()
    return _final(result, flushed=result.flushed)


def _final(result: SttResult, *, flushed: bool) -> SttFinal:
    return SttFinal(
        result.text, result.words, result.end_of_turn, flushed, result.revises,
        confidence=result.confidence,
    )  # fmt: skip


def _has_failed(what: object) -> TypeGuard[VendorFailed]:
    """Whether the speech-to-text itself failed."""
    if not isinstance(what, VendorFailed) or what.kind != "stt":
        return False
    return _WATCHED.fullmatch(what.detail) is None


def _error(failed: VendorFailed) -> VendorError:
    return VendorError(failed.vendor, failed.code, failed.detail, retryable=True)


def _mean(weighted: list[tuple[float, int]]) -> float:
    weight = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / weight if weight else 1.0


def _joined(parts: list[SttFinal]) -> SttFinal:
    made: list[SttFinal] = []
    for part in parts:
        if part.revises and made:
            part = msgspec.structs.replace(part, revises=made.pop().revises)
        made.append(part)
    if len(made) == 1:
        return made[0]
    return SttFinal(
        " ".join(part.text for part in made if part.text),
        tuple(word for part in made for word in part.words),
        parts[-1].end_of_turn,
        flushed=True,
        revises=made[0].revises,
        confidence=_mean([(part.confidence, len(part.text.split())) for part in made]),
    )
