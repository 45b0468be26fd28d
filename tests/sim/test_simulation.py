"""The simulation itself: it finds what it is there to find, and repeats itself exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import known
from tests.sim.known import KnownFinding, known_finding
from tests.sim.mutations import MUTATIONS, Mutation, calls_until_found
from tests.sim.plan import call_seed, draw_plan
from tests.sim.run import run_call
from tests.sim.seeds import known_seeds
from tests.sim.tally import WILD_CALLS, Tally
from tests.sim.trace import Trace

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


# What the invariants see: each way of breaking the product is found, under its number.


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.title)
def test_a_broken_product_is_found(mutation: Mutation) -> None:
    assert calls_until_found(mutation) is not None


def test_a_known_finding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = KnownFinding("late", lambda plan, what: what.startswith("5: ") and "late" in what)
    monkeypatch.setattr(known, "KNOWN", (finding,))
    plan = draw_plan(1)
    assert known_finding(plan, "5: it came late") == "late"
    assert known_finding(plan, "5: nothing happens") is None


def test_a_run_tells_what_its_calls_went_through() -> None:
    tally = Tally()
    for number in range(3):
        tally.count(run_call(call_seed(SEED, number)))
    assert tally.calls == 3
    assert not tally.missing, "three calls need not have everything"
    tally.calls, tally.cpu_s = WILD_CALLS, 1.0
    assert "stall in mid-sentence" in tally.missing
    assert "never happened: " in tally.summary(1.0)
