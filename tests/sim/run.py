"""One simulated call from its seed to its verdict."""

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

import msgspec
import structlog

from tests.sim.coverage import covered
from tests.sim.deepgram import NoNetwork
from tests.sim.known import known_finding
from tests.sim.plan import Plan, draw_plan
from tests.sim.timers import START_S, Stuck
from tests.sim.verdict import judge, judge_bill
from tests.sim.world import World

MAX_STEPS = 400_000
STALL_MS = 45_000
LEAVE_S = 6.0

Note = Callable[[float, int, str, bytes], None]
"""Called with the time, the caller's number, the way and the text."""


class Outcome(NamedTuple):
    """``wrong``: each begins with the number of the invariant that it breaks. ``known``: the
    names of known findings that were found besides."""

    seed: int
    wrong: tuple[str, ...]
    simulated_s: float
    steps: int
    reasons: tuple[str, ...]
    plan: str
    known: tuple[str, ...] = ()
    covered: tuple[str, ...] = ()
    """What happened, by the names of ``coverage``."""
    word_errors: tuple[int, ...] = ()


class _Caught:
    """Any error of the product or of the simulation itself is a finding, not the end."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> "_Caught":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        self.error = error
        return isinstance(error, Exception)


def run_call(seed: int, note: Note | None = None) -> Outcome:
    """Simulate the call of this seed."""
    return run_plan(draw_plan(seed), note)


def run_plan(plan: Plan, note: Note | None = None) -> Outcome:
    wrong: list[str] = []
    world: World | None = None
    with structlog.testing.capture_logs() as logs:
        with _Caught() as caught, NoNetwork():
            world = World(plan, note)
            _live(world, wrong)
        if caught.error is not None:
            wrong.append(f"9: {type(caught.error).__name__}: {caught.error}")
        if wrong and world is not None:
            with _Caught():
                world.loop.abandon()
    wrong += [f"9: logged: {log}" for log in logs if log["log_level"] in ("error", "critical")]
    known = {what: known_finding(plan, what) for what in wrong}
    return Outcome(
        plan.seed,
        tuple(what for what in wrong if known[what] is None),
        world.loop.now_s - START_S if world is not None else 0.0,
        world.timers.steps if world is not None else 0,
        tuple(world.ended) if world is not None else (),
        _summary(plan),
        tuple(dict.fromkeys(name for name in known.values() if name is not None)),
        tuple(sorted(covered(world))) if world is not None else (),
        tuple(error for line in world.lines for error in line.word_errors) if world else (),
    )


def _live(world: World, wrong: list[str]) -> None:
    plan, loop = world.plan, world.loop
    if world.note is not None:
        world.note(0, "=", msgspec.json.encode(plan))
    world.ring()
    if plan.neighbour_ms is not None:
        loop.call_later(plan.neighbour_ms / 1000, world.ring)
    if plan.drain_ms is not None:
        loop.call_later(plan.drain_ms / 1000, _drain, world)
    limit_s = START_S + _bound_s(plan)
    try:
        if not loop.run_until(lambda: _over(world), limit_s=limit_s, max_steps=MAX_STEPS):
            wrong.append(f"5: the call does not end by {loop.now_s - START_S:.1f} s")
    except Stuck as stuck:
        wrong.append(f"5: {stuck}")
    else:
        stopping = loop.create_task(world.spoken.stop())
        loop.run_until(lambda: False, limit_s=loop.now_s + LEAVE_S, max_steps=MAX_STEPS)
        stopping.result()
    for line in world.lines:
        wrong += judge(world, line, check_end=not wrong)
    if not wrong:
        wrong += judge_bill(world)


def _over(world: World) -> bool:
    """Whether every caller is gone and every call is over, or something is wrong already."""
    live = len(world.lines) < 1 + (world.plan.neighbour_ms is not None)
    for line in world.lines:
        session, phone = line.session, line.phone
        if session is not None:
            if session.wrong:
                return True
            if not session.ended_reason:
                live = True
                if phone.sounding:
                    session.last_progress_ms = session.leg.now_ms()
                elif session.leg.now_ms() - session.last_progress_ms > STALL_MS:
                    session.wrong.append(f"5: nothing happens after {session.last_progress_ms} ms")
        if not phone.over:
            live = True
    return not live and not world.calls


def _drain(world: World) -> None:
    world.loop.create_task(world.calls.drain(3.0, goodbye_s=5.0))


def _bound_s(plan: Plan) -> float:
    """The longest that this call may take: its own limit, and everybody's patience."""
    return 360.0 + sum(step.patience_ms + step.ms for step in plan.steps) / 1000


def _summary(plan: Plan) -> str:
    parts = [plan.carrier, plan.agent, plan.end, plan.net.marks]
    if plan.live is not None:
        live = plan.live
        fault = f"{live.connect} drop {live.drop_after_ms} deaf {live.deaf_after_ms}"
        return ", ".join([*parts, f"deepgram: {live.faulty} {fault} garbage {live.garbage}"])
    for kind, settings in (("stt", plan.stt), ("llm", plan.llm), ("tts", plan.tts)):
        if "faults" in settings:
            parts.append(f"{kind} {settings['faults']}")
    return ", ".join(parts)
