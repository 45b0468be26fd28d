"""What the model answered in the call, to be answered again. Pure.

A turn that the call had too gets the answer that the call gave, as fast as it came, be it asked
before the turn is decided or after. Another turn gets the answer to the turn that lies nearest in
time: an assumption, and marked as one.
"""

import msgspec

from voicecore.providers.llm import ToolCall
from voicecore.replay.drafts import Drafts
from voicecore.replay.facts import (
    AgentSaying,
    AgentTurn,
    CallerTurn,
    DraftDropped,
    DraftUsed,
    Facts,
    LlmUsage,
    ToolAnswered,
    ToolCalled,
    TurnLatency,
    VendorFailed,
)
from voicecore.turns.backchannels import plain
from voicecore.turns.drafting import LONGEST_DRAFT_CHARS

NOTHING_CAME = "nothing came in time"
"""The session's own words for a model that it gave up: to be given up again."""
AFTER_CUT_MS = 40
"""What the call cut off goes on so much after the cut, if this time it is not cut off."""
_USUAL_FIRST_MS = 500
_SAME_TURN_MS = 5000
"""Turns of one text that lie no further apart are one: its text may come late."""


class Failure(msgspec.Struct, frozen=True):
    """The model failed; ``retryable`` is what the call's course tells of it."""

    after_ms: int
    vendor: str
    code: str
    detail: str
    retryable: bool


class Round(msgspec.Struct, frozen=True):
    """One request to the model and what came. Times count from the request. ``done_ms`` is None
    where the call cut the answer off before its end; ``cut_ms`` is when."""

    first_token_ms: int | None = None
    pieces: tuple[tuple[int, str], ...] = ()
    calls: tuple[ToolCall, ...] = ()
    done_ms: int | None = None
    cut_ms: int = 0
    usage: LlmUsage = LlmUsage(0)
    failure: Failure | None = None

    @property
    def has_content(self) -> bool:
        return bool(self.pieces or self.calls)


class Answer(msgspec.Struct, frozen=True):
    """All that came for one reply. ``turn`` counts the caller's turns from 0."""

    reply: int
    turn: int
    rounds: tuple[Round, ...]

    @property
    def has_content(self) -> bool:
        return any(one.has_content for one in self.rounds)


class Chosen(msgspec.Struct, frozen=True):
    """A round, to be given now. ``assumed``: the call did not have this very request."""

    round: Round
    assumed: bool


class Answers:
    """One call's answers. Choose with ``begin`` when a reply is begun, and ``next_round`` after
    its tools."""

    def __init__(self, facts: Facts) -> None:
        self.turns = [turn for _, turn in facts.of(CallerTurn)]
        self._words = [plain(turn.text) for turn in self.turns]
        self.answers = _Reader(facts).answers
        self._times: dict[int, int] = {}
        self._answer: Answer | None = None
        self._round = 0
        self._assumed = False
        self._begun: int | None = None
        self._spoiled = _spoiled_drafts(facts)

    def begin_draft(self, text: str, start_ms: int, end_ms: int, now_ms: int) -> Chosen:
        """What is probably the caller's turn is to be answered beforehand. A draft that failed in
        the call fails again. ``dropped`` if nothing comes of it."""
        near = [
            (abs(at_ms - now_ms), given)
            for at_ms, given in self._spoiled.get(plain(text), ())
            if abs(at_ms - now_ms) <= _SAME_TURN_MS
        ]
        if near:
            self._begun = None
            return Chosen(min(near, key=lambda entry: entry[0])[1], False)
        return self.begin(text, start_ms, end_ms)

    def dropped(self) -> None:
        """What was last begun was not wanted after all."""
        if self._begun is not None:
            self._times[self._begun] -= 1
            self._begun = None

    def begin(self, text: str, start_ms: int, end_ms: int) -> Chosen:
        """The caller's turn is to be answered."""
        turn, same = self._find(text, start_ms, end_ms)
        times = self._times[turn] = self._times.get(turn, -1) + 1
        self._begun = turn
        given = [answer for answer in self.answers if answer.turn == turn]
        self._assumed = not same
        self._round = 0
        self._answer = None
        if same and given:
            self._answer = given[min(times, len(given) - 1)]
            self._assumed = times >= len(given)
        elif given:
            whole = [answer for answer in given if answer.has_content]
            self._answer = (whole or given)[-1]
        return self._chosen(turn)

    def next_round(self) -> Chosen:
        """The tools have answered: the model is asked again."""
        self._round += 1
        return self._chosen(self._answer.turn if self._answer is not None else 0)

    def _chosen(self, turn: int) -> Chosen:
        answer = self._answer
        if answer is not None and self._round < len(answer.rounds):
            found = answer.rounds[self._round]
            if found.has_content or found.failure is not None:
                return Chosen(found, self._assumed)
            # The call cut it off before anything came.
            return Chosen(self._borrowed(turn, found.cut_ms + AFTER_CUT_MS), self._assumed)
        return Chosen(self._borrowed(turn, 0), True)

    def _borrowed(self, turn: int, not_before_ms: int) -> Round:
        """A round with words where the call has none: of a later turn, else an earlier one."""
        speaking = [
            (answer.turn < turn, abs(answer.turn - turn), at, one)
            for at, answer in enumerate(self.answers)
            for one in answer.rounds
            if one.pieces and not one.calls
        ]
        if not speaking:
            return Round(first_token_ms=not_before_ms or _USUAL_FIRST_MS, cut_ms=not_before_ms)
        found = min(speaking, key=lambda entry: entry[:3])[3]
        by_ms = max(not_before_ms - (found.first_token_ms or found.pieces[0][0]), 0)
        done_ms = found.done_ms + by_ms if found.done_ms is not None else None
        return msgspec.structs.replace(
            found,
            first_token_ms=(found.first_token_ms or found.pieces[0][0]) + by_ms,
            pieces=tuple((at_ms + by_ms, text) for at_ms, text in found.pieces),
            done_ms=done_ms,
            cut_ms=found.cut_ms + by_ms,
        )

    def _find(self, text: str, start_ms: int, end_ms: int) -> tuple[int, bool]:
        """The recorded turn that this one is, or is nearest to, and whether it is the same."""
        best, best_rank = -1, (False, -(1 << 60))
        words = plain(text)
        for number, turn in enumerate(self.turns):
            common_ms = min(end_ms, turn.end_ms) - max(start_ms, turn.start_ms)
            alike = turn.text == text or (bool(words) and self._words[number] == words)
            same = alike and common_ms > -_SAME_TURN_MS
            if (same, common_ms) > best_rank:
                best, best_rank = number, (same, common_ms)
        return best, best_rank[0]


def _spoiled_drafts(facts: Facts) -> dict[tuple[str, ...], list[tuple[int, Round]]]:
    """Drafts that the model itself spoiled: what it did, by the caller's words."""
    drafts = Drafts(facts)
    failed = {
        what.reply: what
        for _, what in facts.of(VendorFailed)
        if what.kind == "llm" and what.reply is not None
    }
    found: dict[tuple[str, ...], list[tuple[int, Round]]] = {}
    for number, dropped in drafts.dropped.items():
        if number not in drafts.started:
            continue
        given = None
        if number in failed:
            what = failed[number]
            failure = Failure(dropped.after_ms, what.vendor, what.code, what.detail, retryable=True)
            given = Round(failure=failure)
        elif dropped.reason == "too_long":
            given = Round(pieces=((dropped.after_ms, " " * LONGEST_DRAFT_CHARS),))
        if given is not None:
            key = plain(drafts.texts[number])
            found.setdefault(key, []).append((drafts.started[number], given))
    return found


class _Reader:
    """Takes a call's events apart into rounds."""

    def __init__(self, facts: Facts) -> None:
        self.answers: list[Answer] = []
        self._drafts = Drafts(facts)
        self._kinds = {what.reply: what.kind for _, what in facts.of(AgentTurn)}
        self._said: dict[int, int] = {}
        """How many sentences of a reply were read."""
        self._latencies = {one.reply: one for _, one in facts.of(TurnLatency)}
        self._turn = -1
        self._turn_ms = 0
        self._turn_end_ms = 0
        self._open: _Open | None = None
        dropped = {what.reply for _, what in facts.of(DraftDropped)}
        failures = [
            what
            for _, what in facts.of(VendorFailed)
            if what.kind == "llm" and what.reply not in dropped
        ]
        gives_up = any(what.kind == "fallback" for _, what in facts.of(AgentTurn))
        self._fatal = failures[-1] if failures and gives_up else None
        last_ms = 0
        for fact in facts:
            last_ms = fact.at_ms
            self._take(fact.at_ms, fact.what)
        self._close(last_ms)

    def _take(self, at_ms: int, what: object) -> None:  # noqa: C901 - a table
        match what:
            case CallerTurn():
                self._close(at_ms)
                self._turn, self._turn_ms = self._turn + 1, at_ms
                self._turn_end_ms = what.end_ms
            case DraftUsed():
                self._reply(at_ms, what.reply)
            case AgentSaying():
                written_ms = self._written_ms(at_ms, what.reply)
                if (open_ := self._reply(at_ms, what.reply)) is not None:
                    open_.said(written_ms, what.text)
            case LlmUsage():
                if (open_ := self._reply(at_ms, what.reply)) is not None:
                    used_ms = self._drafts.used.get(what.reply, -1)
                    open_.done(at_ms, what, before_use=at_ms <= used_ms)
            case ToolCalled():
                if (open_ := self._reply(at_ms, what.reply)) is not None:
                    open_.called(ToolCall(what.call_id, what.name, what.arguments))
            case ToolAnswered():
                if self._open is not None:
                    self._open.answered(at_ms, what.call_id)
            case VendorFailed(kind="llm", reply=int(number)):
                if (open_ := self._reply(at_ms, number)) is not None:
                    open_.failed(at_ms, what, retryable=what is not self._fatal)
            case AgentTurn():
                if what.kind == "answer":
                    self._reply(at_ms, what.reply)
                    self._close(at_ms)

    def _written_ms(self, at_ms: int, number: int) -> int:
        """When the sentence was written that was given to the voice now."""
        place = self._said[number] = self._said.get(number, -1) + 1
        written = self._drafts.written_ms(number) if number in self._drafts.used else []
        return written[place] if place < len(written) else at_ms

    def _reply(self, at_ms: int, number: int) -> "_Open | None":
        """The answer that an event belongs to; None for what is no answer to a turn."""
        if self._open is not None and self._open.number == number:
            return self._open
        if number in self._drafts.dropped or self._kinds.get(number, "answer") != "answer":
            return None
        latency = self._latencies.get(number)
        known = latency is not None and latency.turn_decided is not None
        if self._turn < 0 or not (known or self._open is None):
            return None
        if not known and self.answers and self.answers[-1].turn == self._turn:
            return None  # a prompt, which has no latency either
        self._close(at_ms)
        asked_ms = self._turn_ms
        if latency is not None and latency.turn_decided is not None:
            asked_ms = self._turn_end_ms + latency.turn_decided
        if number in self._drafts.used:
            asked_ms = self._drafts.started.get(number, asked_ms)
        self._open = _Open(number, asked_ms, self._turn_end_ms, latency)
        return self._open

    def _close(self, at_ms: int) -> None:
        open_, self._open = self._open, None
        if open_ is not None:
            self.answers.append(Answer(open_.number, self._turn, open_.closed(at_ms)))


class _Open:
    """An answer whose events are still being read."""

    def __init__(
        self, number: int, asked_ms: int, base_ms: int, latency: TurnLatency | None
    ) -> None:
        self.number = number
        self._asked_ms = asked_ms
        self._token_ms: int | None = None
        if latency is not None and latency.llm_first_token is not None:
            self._token_ms = base_ms + latency.llm_first_token
        self._rounds: list[Round] = []
        self._pieces: list[tuple[int, str]] = []
        self._calls: list[ToolCall] = []
        self._done: tuple[int, LlmUsage] | None = None
        self._failure: Failure | None = None
        self._unanswered: set[str] = set()
        self._waiting = False
        """For tools; what is said meanwhile is not the model's."""

    def said(self, at_ms: int, text: str) -> None:
        if not self._waiting and self._done is None:
            self._pieces.append((max(at_ms - self._asked_ms, 0), text))

    def done(self, at_ms: int, usage: LlmUsage, *, before_use: bool) -> None:
        """``before_use``: it was done by then, the draft being used only now."""
        if self._done is not None:
            return
        done_ms = max(at_ms - self._asked_ms, 0)
        if before_use:
            token_ms = (self._token_ms or self._asked_ms) - self._asked_ms
            done_ms = min(done_ms, max(self._pieces[-1][0] if self._pieces else 0, token_ms))
        self._done = (done_ms, usage)

    def called(self, call: ToolCall) -> None:
        self._calls.append(call)
        self._unanswered.add(call.id)
        self._waiting = True

    def answered(self, at_ms: int, call_id: str) -> None:
        self._unanswered.discard(call_id)
        if self._waiting and not self._unanswered:
            self._end_round(at_ms)
            self._asked_ms = at_ms

    def failed(self, at_ms: int, failed: VendorFailed, *, retryable: bool) -> None:
        after_ms = max(at_ms - self._asked_ms, 0)
        self._failure = Failure(after_ms, failed.vendor, failed.code, failed.detail, retryable)

    def closed(self, at_ms: int) -> tuple[Round, ...]:
        self._end_round(at_ms)
        return tuple(self._rounds)

    def _end_round(self, at_ms: int) -> None:
        token_ms = None
        if self._token_ms is not None and self._asked_ms <= self._token_ms <= at_ms:
            token_ms, self._token_ms = self._token_ms - self._asked_ms, None
        done_ms, usage = self._done or (None, LlmUsage(self.number))
        self._rounds.append(
            Round(
                first_token_ms=token_ms,
                pieces=tuple(self._pieces),
                calls=tuple(self._calls),
                done_ms=done_ms,
                cut_ms=max(at_ms - self._asked_ms, 0),
                usage=usage,
                failure=self._failure,
            )
        )
        self._pieces, self._calls = [], []
        self._done = self._failure = None
        self._waiting = False
