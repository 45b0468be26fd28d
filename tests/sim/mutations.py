"""The product, broken on purpose: ``python -m tests.sim.mutations`` shows that the simulation finds
each way of being wrong, under the number of its invariant, and after how many calls."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from media.carrier import Clear
from media.playout import Playout
from media.transport import Leg
from tests.sim.plan import call_seed
from tests.sim.run import run_call
from voicecore.hearing import Hearing
from voicecore.journal import Journal
from voicecore.saying import Saying
from voicecore.session import Session
from voicecore.turns.drafting import Drafting
from voicecore.turns.heard import SpokenText
from voicecore.turns.machine import TurnMachine
from voicecore.turns.speaking import Speaker
from voicecore.voicing import _Piece

SEED = 11
CALLS = 150
"""A mutation that lives through so many calls is not found."""

Made = Callable[..., Any]


class Mutation(msgspec.Struct, frozen=True):
    """``make`` gets what ``owner.name`` was and returns what it is to be; what is wrong then is
    ``invariant``."""

    title: str
    invariant: str
    owner: type
    name: str
    make: Callable[[Made], Made]

    @contextmanager
    def applied(self) -> Iterator[None]:
        original = getattr(self.owner, self.name)
        setattr(self.owner, self.name, self.make(original))
        try:
            yield
        finally:
            setattr(self.owner, self.name, original)


def _nothing(original: Made) -> Made:
    return lambda *args, **named: None


def _clears_and_goes_on(original: Made) -> Made:
    def clear(self: Any, now_ms: int, reply: int) -> Any:
        return self.played_ms(now_ms, reply), [Clear()]

    return clear


def _twice(original: Made) -> Made:
    def close(self: Any, reply: Any, cut_ms: Any, played_ms: int, why: str) -> None:
        original(self, reply, cut_ms, played_ms, why)
        if why == "interrupted":
            original(self, reply, cut_ms, played_ms, why)

    return close


def _never(original: Made) -> Made:
    def close(self: Any, reply: Any, cut_ms: Any, played_ms: int, why: str) -> None:
        if why == "interrupted":
            self.reply = None
        else:
            original(self, reply, cut_ms, played_ms, why)

    return close


def _later(original: Made) -> Made:
    return lambda self, now_ms, reply: original(self, now_ms + 700, reply)


def _skips(original: Made) -> Made:
    def resume(self: Any, reply: int, from_ms: int) -> None:
        original(self, reply, from_ms)
        state = self._replies.get(reply)
        if state is not None:
            state.take(1000 * self.audio.bytes_per_ms)

    return resume


def _takes_the_whole_text(original: Made) -> Made:
    def settle(self: Any, reply: Any, heard: str) -> None:
        original(self, reply, reply.spoken.text)

    return settle


def _one_timer(original: Made) -> Made:
    def arm(self: Any) -> None:
        if self._machine._speaker._count < 2:
            original(self)

    return arm


def _leaves_a_task(original: Made) -> Made:
    def release(self: Any) -> None:
        original(self)
        self._loop.create_task(asyncio.sleep(1000))

    return release


def _leaves_a_timer(original: Made) -> Made:
    def close(self: Any) -> None:
        original(self)
        self._leg.call_at(self._leg.now_ms() + 60_000, self._check_line)

    return close


def _leaves_the_line_a_timer(original: Made) -> Made:
    def hang_up(self: Any) -> None:
        original(self)
        self.call_at(self.now_ms() + 60_000, self._on_timer)

    return hang_up


def _loses_an_event(original: Made) -> Made:
    def put(self: Any, event: Any) -> None:
        if event.sequence != 5:
            original(self, event)

    return put


def _bills_twice(original: Made) -> Made:
    def bill(self: Any, reply: int, characters: int, cached_characters: int = 0) -> None:
        for _ in range(2):
            original(self, reply, characters, cached_characters)

    return bill


def _raises(original: Made) -> Made:
    def due(self: Any, *args: Any, **named: Any) -> None:
        raise ZeroDivisionError("a bug")

    return due


def _all_of_it(original: Made) -> Made:
    return lambda self, played_ms: self.text


MUTATIONS = (
    Mutation("the line is never cleared", "1", Leg, "clear", _nothing),
    Mutation("a clear forgets nothing", "2", Playout, "clear", _clears_and_goes_on),
    Mutation("an interrupted reply ends twice", "3", Speaker, "_close", _twice),
    Mutation("an interrupted reply never ends", "3", Speaker, "_close", _never),
    Mutation("a dropped draft is not told", "3", Drafting, "drop", _nothing),
    Mutation("a cut reply counts as heard whole", "4", SpokenText, "heard_text", _all_of_it),
    Mutation("the history keeps the whole text", "4", Speaker, "_settle", _takes_the_whole_text),
    Mutation("the playout is 0.7 s ahead of the truth", "4", Playout, "cut_ms", _later),
    Mutation("a resumed reply loses a second", "4", Playout, "resume", _skips),
    Mutation("a dropped voice goes on in the next reply", "1", _Piece, "drop", _nothing),
    Mutation("the machine's timer is forgotten", "5", Session, "_arm", _one_timer),
    Mutation("a task outlives the call", "6", Session, "_release", _leaves_a_task),
    Mutation("a timer outlives the call", "6", Hearing, "close", _leaves_a_timer),
    Mutation("a timer of the line does", "6", Leg, "hang_up", _leaves_the_line_a_timer),
    Mutation("nobody hangs up", "5", Leg, "hang_up", _nothing),
    Mutation("an event is lost", "7", Journal, "_put", _loses_an_event),
    Mutation("speech is billed twice", "7", Saying, "_bill", _bills_twice),
    Mutation("a rare path has a bug", "9", TurnMachine, "_say_goodbye", _raises),
)


def calls_until_found(mutation: Mutation) -> int | None:
    """After how many calls the mutation is found, under its number; None if it is not."""
    with mutation.applied():
        for number in range(CALLS):
            found = run_call(call_seed(SEED, number)).wrong
            if any(what.startswith(mutation.invariant) for what in found):
                return number + 1
    return None


def main() -> int:
    missed = 0
    began_s = time.perf_counter()
    for mutation in MUTATIONS:
        calls = calls_until_found(mutation)
        missed += calls is None
        told = f"found in call {calls}" if calls else f"NOT FOUND in {CALLS} calls"
        sys.stdout.write(f"invariant {mutation.invariant}: {mutation.title}: {told}\n")
    took_s = time.perf_counter() - began_s
    sys.stdout.write(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} found in {took_s:.0f} s\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
