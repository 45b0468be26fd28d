"""What differs between a call and its replay, turn by turn. Pure."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

import msgspec

from voicecore.replay.outcome import Outcome, Remark, Turn

SAME_LATENCY_MS = 50
"""Latencies that differ by less are the same."""
_KEYS_APART_MS = 5000
_LATE_MS = 5000
_MOST_WORDS = 2000

TurnChange = Literal["same", "text", "split", "merged", "regrouped", "lost", "new"]
Op = Literal["=", "-", "+"]


class TurnPair(msgspec.Struct, frozen=True):
    """Turns of the same time, before and after. ``heard`` is the word difference of what was
    heard in answer."""

    change: TurnChange
    before: tuple[Turn, ...]
    after: tuple[Turn, ...]
    latency_change_ms: int | None
    heard: tuple[tuple[Op, str], ...]

    @property
    def differs(self) -> bool:
        """Whether there is more to it than a little time."""
        later = abs(self.latency_change_ms or 0) >= SAME_LATENCY_MS
        unlike = any(op != "=" for op, _ in self.heard)
        ends = [turn.ended for turn in self.before] != [turn.ended for turn in self.after]
        return self.change != "same" or later or unlike or ends


class RemarkPair(msgspec.Struct, frozen=True):
    """Replies that answer no turn, before and after."""

    before: Remark | None
    after: Remark | None
    heard: tuple[tuple[Op, str], ...]

    @property
    def differs(self) -> bool:
        return self.before is None or self.after is None or any(op != "=" for op, _ in self.heard)


class Difference(msgspec.Struct, frozen=True):
    before: Outcome
    after: Outcome
    turns: tuple[TurnPair, ...]
    remarks: tuple[RemarkPair, ...]

    @property
    def differs(self) -> bool:
        return (
            any(pair.differs for pair in self.turns)
            or any(pair.differs for pair in self.remarks)
            or self.before.ended != self.after.ended
        )

    def count(self, change: TurnChange) -> int:
        return sum(pair.change == change for pair in self.turns)


def difference(before: Outcome, after: Outcome) -> Difference:
    """What differs."""
    groups = [
        *_groups(_spoken(before.turns), _spoken(after.turns)),
        *_key_groups(_keyed(before.turns), _keyed(after.turns)),
    ]
    groups.sort(key=lambda group: min(turn.start_ms for side in group for turn in side))
    return Difference(
        before,
        after,
        tuple(_pair(old, new) for old, new in _reunited(groups)),
        tuple(_remark_pairs(before.remarks, after.remarks)),
    )


def word_difference(before: str, after: str) -> tuple[tuple[Op, str], ...]:
    """Runs of words that both have (``=``), only the first (``-``), only the second (``+``)."""
    old, new = before.split(), after.split()
    if old == new:
        return (("=", " ".join(old)),) if old else ()
    if len(old) + len(new) > _MOST_WORDS:  # comparing costs their product
        return (("-", " ".join(old)), ("+", " ".join(new)))
    runs: list[tuple[Op, str]] = []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            runs.append(("=", " ".join(old[old_from:old_to])))
            continue
        if old_to > old_from:
            runs.append(("-", " ".join(old[old_from:old_to])))
        if new_to > new_from:
            runs.append(("+", " ".join(new[new_from:new_to])))
    return tuple(runs)


_Group = tuple[tuple[Turn, ...], tuple[Turn, ...]]


def _spoken(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if not turn.by_keys]


def _keyed(turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.by_keys]


def _groups(before: list[Turn], after: list[Turn]) -> list[_Group]:
    """Turns that overlap in time, directly or through others."""
    ordered = sorted(
        [(turn.start_ms, turn.end_ms, 0, turn) for turn in before]
        + [(turn.start_ms, turn.end_ms, 1, turn) for turn in after],
        key=lambda entry: entry[:3],
    )
    groups: list[tuple[list[Turn], list[Turn]]] = []
    until_ms = 0
    for start_ms, end_ms, side, turn in ordered:
        if not groups or start_ms >= until_ms:
            groups.append(([], []))
            until_ms = start_ms + 1
        groups[-1][side].append(turn)
        until_ms = max(until_ms, end_ms)
    return [(tuple(old), tuple(new)) for old, new in groups]


def _reunited(groups: list[_Group]) -> list[_Group]:
    """A turn that is lost beside a new one with the same text is that turn: its text came
    after its speech had been taken for noise, on one of the sides."""
    found: list[_Group] = []
    for old, new in groups:
        if found and not (old and new):
            last_old, last_new = found[-1]
            halves = (last_old or old), (last_new or new)
            apart = not (last_old and last_new) and bool(last_old) != bool(old)
            near = all(halves) and abs(halves[0][0].start_ms - halves[1][0].start_ms) <= _LATE_MS
            if apart and near and _said(halves[0]) == _said(halves[1]):
                found[-1] = halves
                continue
        found.append((old, new))
    return found


def _said(turns: tuple[Turn, ...]) -> str:
    return " ".join(turn.text for turn in turns).casefold()


def _key_groups(before: list[Turn], after: list[Turn]) -> list[_Group]:
    """Keys have no length: the nearest that follow one another belong together."""
    groups: list[_Group] = []
    waiting = list(after)
    for old in before:
        found = next(
            (new for new in waiting if abs(new.start_ms - old.start_ms) <= _KEYS_APART_MS), None
        )
        if found is not None:
            waiting.remove(found)
        groups.append(((old,), (found,) if found is not None else ()))
    return groups + [((), (new,)) for new in waiting]


def _pair(before: tuple[Turn, ...], after: tuple[Turn, ...]) -> TurnPair:
    change: TurnChange = "regrouped"
    if not after:
        change = "lost"
    elif not before:
        change = "new"
    elif [turn.text for turn in before] == [turn.text for turn in after]:
        change = "same"
    elif len(before) == 1 and len(after) == 1:
        change = "text"
    elif len(before) == 1:
        change = "split"
    elif len(after) == 1:
        change = "merged"
    old_ms, new_ms = _last_latency(before), _last_latency(after)
    return TurnPair(
        change,
        before,
        after,
        new_ms - old_ms if old_ms is not None and new_ms is not None else None,
        word_difference(_heard(before), _heard(after)),
    )


def _last_latency(turns: tuple[Turn, ...]) -> int | None:
    return turns[-1].latency_ms if turns else None


def _heard(turns: tuple[Turn, ...]) -> str:
    return " ".join(turn.heard for turn in turns if turn.heard)


def _remark_pairs(before: tuple[Remark, ...], after: tuple[Remark, ...]) -> list[RemarkPair]:
    pairs: list[RemarkPair] = []
    waiting = list(after)
    for old in before:
        new = next((one for one in waiting if one.kind == old.kind), None)
        if new is not None:
            waiting.remove(new)
        heard = word_difference(old.heard, new.heard if new is not None else "")
        pairs.append(RemarkPair(old, new, heard))
    pairs += [RemarkPair(None, new, word_difference("", new.heard)) for new in waiting]
    return pairs
