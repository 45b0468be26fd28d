"""The simulation itself: it finds what it is there to find, and repeats itself exactly."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media.carrier import Clear
from media.playout import Playout
from media.transport import Leg
from tests.sim import known
from tests.sim.known import KnownIssue, known_issue
from tests.sim.plan import call_seed, draw_plan
from tests.sim.run import run_call
from tests.sim.seeds import known_seeds
from tests.sim.trace import Trace
from voicecore.hearing import Hearing
from voicecore.journal import Journal
from voicecore.session import Session
from voicecore.turns.heard import SpokenText
from voicecore.turns.machine import TurnMachine
from voicecore.turns.speaking import Speaker

CALLS = 60
SEED = 11


@pytest.mark.parametrize("number", range(CALLS))
def test_a_call(number: int) -> None:
    assert run_call(call_seed(SEED, number)).wrong == ()


@pytest.mark.parametrize("seed", known_seeds())
def test_a_seed_that_failed_once(seed: int) -> None:
    assert run_call(seed).wrong == ()


def traces(seed: int, calls: int) -> str:
    digests = []
    for number in range(calls):
        trace = Trace()
        run_call(call_seed(seed, number), trace.note)
        digests.append(trace.digest)
    return " ".join(digests)


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    code = "from tests.sim.test_simulation import traces; print(traces(5, 20))"
    here = traces(5, 20)
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.split() == here.split()
    assert traces(6, 1) not in here, "another seed is another call"


def test_a_trace_tells_everything() -> None:
    trace = Trace()
    for number in range(5):
        run_call(call_seed(5, number), trace.note)
    ways = {line.split()[2] for line in trace.content.splitlines()}
    assert ways == {b"=", b">", b"<", b"!", b"~"}


def test_plans_differ_and_cover_what_there_is() -> None:
    plans = [draw_plan(call_seed(1, number)) for number in range(1000)]
    assert {plan.carrier for plan in plans} == {"twilio", "telnyx"}
    assert {plan.net.marks for plan in plans} == {"kept", "some_lost", "never", "shuffled"}
    assert {plan.end for plan in plans} == {"hangup", "drop", "vanish", "mute"}
    assert len({plan.agent for plan in plans}) == 6
    steps = {step.do for plan in plans for step in plan.steps}
    assert steps == {"listen", "over", "wait", "sound", "keys"}
    for kind in ("stt", "llm", "tts"):
        faults = {name for plan in plans for name in getattr(plan, kind).get("faults", ())}
        assert faults >= {"never_answers", "fail_at", "stall_after", "garbage", "delay_ms"}


# What the invariants see: each sabotage is found, under its number.


def _hears_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpokenText, "heard_text", lambda self, played_ms: self.text)


def _never_clears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Leg, "clear", lambda self, reply: None)


def _clears_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def clear(self: Playout, now_ms: int, reply: int) -> Any:
        return self.played_ms(now_ms, reply), [Clear()]

    monkeypatch.setattr(Playout, "clear", clear)


def _ends_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Speaker._close

    def close(self: Any, reply: Any, *args: Any) -> None:
        original(self, reply, *args)
        if args[-1] == "interrupted":
            original(self, reply, *args)

    monkeypatch.setattr(Speaker, "_close", close)


def _never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Speaker._close

    def close(self: Any, reply: Any, *args: Any) -> None:
        if args[-1] == "interrupted":
            self.reply = None
        else:
            original(self, reply, *args)

    monkeypatch.setattr(Speaker, "_close", close)


def _forgets_its_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Session._arm

    def arm(self: Any) -> None:
        if self._machine._speaker._count < 2:
            original(self)

    monkeypatch.setattr(Session, "_arm", arm)


def _leaves_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Session._release

    def release(self: Any) -> None:
        original(self)
        self._loop.create_task(asyncio.sleep(1000))

    monkeypatch.setattr(Session, "_release", release)


def _leaves_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Hearing.close

    def close(self: Any) -> None:
        original(self)
        self._leg.call_at(self._leg.now_ms() + 60_000, self._check_line)

    monkeypatch.setattr(Hearing, "close", close)


def _loses_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Journal._put

    def put(self: Any, event: Any) -> None:
        if event.sequence != 5:
            original(self, event)

    monkeypatch.setattr(Journal, "_put", put)


def _has_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def digits_done(self: Any, now_ms: int) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(TurnMachine, "_digits_done", digits_done)


@pytest.mark.parametrize(
    ("sabotage", "invariant"),
    [
        (_never_clears, "1"),
        (_clears_and_goes_on, "2"),
        (_ends_twice, "3"),
        (_never_ends, "3"),
        (_hears_everything, "4"),
        (_forgets_its_timer, "5"),
        (_leaves_a_task, "6"),
        (_leaves_a_timer, "6"),
        (_loses_an_event, "7"),
        (_has_a_bug, "9"),
    ],
)
def test_a_broken_product_is_found(
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Callable[[pytest.MonkeyPatch], None],
    invariant: str,
) -> None:
    sabotage(monkeypatch)
    found: set[str] = set()
    for number in range(40):
        found |= {what[0] for what in run_call(call_seed(SEED, number)).wrong}
        if invariant in found:
            return
    pytest.fail(f"only {sorted(found)} were found")


def test_a_known_issue_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    issue = KnownIssue("late", lambda plan, what: what.startswith("5: ") and "late" in what)
    monkeypatch.setattr(known, "KNOWN", (issue,))
    plan = draw_plan(1)
    assert known_issue(plan, "5: it came late") == "late"
    assert known_issue(plan, "5: nothing happens") is None
