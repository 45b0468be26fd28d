"""The pause sweep as a whole: speaks the turns, makes the calls, tries the policies, and leaves
figures, a curve and every wrong decision. ``docs/evaluate.md`` says what is measured.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from voicecore.agents.load import load_agent
from voicecore.evaluate.pause_agents import BASELINE_MS, write_agents
from voicecore.evaluate.pause_figures import (
    Sweeps,
    lateness_ms,
    pause_figures,
    wire_of_calls,
    wrong_decisions,
)
from voicecore.evaluate.pause_opinions import with_opinions
from voicecore.evaluate.pause_record import Serve, TakenCall, share_out, take_calls
from voicecore.evaluate.pause_replay import replay
from voicecore.evaluate.pause_speech import VOICES, speak_turns
from voicecore.evaluate.pause_suite import load_turns
from voicecore.evaluate.pause_sweep import bare_silence, judge, sweep, sweep_silence
from voicecore.evaluate.results import Figure, Judged, SceneResult, quantile
from voicecore.local.turn_end import TurnEndJudge
from voicecore.local.turn_end_file import TurnEndFile
from voicecore.prepare import prepare
from voicecore.turns.settings import TurnSettings

GROUP = "pauses"
QUICK_TURNS = 16
WIRED = ("configured", "silence")
"""The agents whose calls are compared as the caller heard them: the same calls of both."""
MOST_LATE_MS = 700
"""Where the texts of a call came later than this in the middle, the machine was too slow for the
speech-to-text, and the call says nothing of how long the agent takes. What the VAD and the
speech-to-text heard in it is as good as ever."""


class PauseResults(msgspec.Struct, frozen=True):
    """For ``results.json``."""

    scenes: tuple[SceneResult, ...]
    figures: tuple[Figure, ...]


async def run_pauses(
    agent_file: Path,
    out: Path,
    serve: Serve,
    *,
    secrets: Mapping[str, str],
    seed: int = 1,
    jobs: int = 1,
    quick: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> PauseResults:
    """Measure an agent's speech-to-text and turn-taking. Files go to ``out/pauses``. ``jobs``
    calls are made at a time; more than the machine's speech models bear falsifies everything.

    :raises YamlFileError, VendorError, OSError: the agent's file is wrong, a voice is not
        installed, files cannot be written."""
    folder = out / GROUP
    folder.mkdir(parents=True, exist_ok=True)
    agents = write_agents(agent_file, folder)
    agent = load_agent(agents["configured"], secrets=secrets)
    settings = prepare(agent, secrets).conduct.turns
    model = "" if settings.vendor_ends_turns else agent.turn_taking.endpointing.model
    progress("speaking the callers' turns")
    turns = load_turns(seed, limit=QUICK_TURNS if quick else None)
    audio = await speak_turns(turns)
    calls = share_out(turns, audio, len(VOICES))
    taken: dict[str, tuple[TakenCall, ...]] = {}
    for name, path in agents.items():
        (folder / name).mkdir(exist_ok=True)
        say = _prefixed(progress, name)
        taken[name] = await take_calls(calls, path, folder / name, serve, lanes=jobs, progress=say)
    progress("trying the policies")
    judge = await asyncio.to_thread(TurnEndFile, model) if model else None
    return await asyncio.to_thread(analyse, taken, settings, out, seed, judge)


def analyse(
    taken: Mapping[str, Sequence[TakenCall]],
    settings: TurnSettings,
    out: Path,
    seed: int,
    judge_of_sound: TurnEndJudge | None = None,
) -> PauseResults:
    """Everything after the calls: takes a minute and no time of the event loop.
    ``judge_of_sound`` is the model that the agent asks."""
    slow = {call.number for call in taken["recorded"] if void(call) is not None}
    recorded = [
        turn
        for call in taken["recorded"]
        for turn in (call.turns if judge_of_sound is None else with_opinions(call, judge_of_sound))
        if turn.whole
    ]
    timely = [turn for turn in recorded if turn.call not in slow]
    scenes = tuple(scene(name, call, out) for name in WIRED for call in taken[name])
    if not recorded:
        return PauseResults(scenes, ())
    decisions = replay(recorded, settings, by_vad=True)
    sweeps = Sweeps(
        configured=judge(replay(timely, settings), "as configured") if timely else None,
        configured_policy=judge(decisions, "as configured"),
        heard=sweep(timely, settings),
        heard_silence=sweep_silence(timely, settings),
        policy=sweep(recorded, settings, by_vad=True),
        policy_silence=sweep_silence(recorded, settings, by_vad=True),
        bare=bare_silence(recorded),
    )
    bad = {call.number for name in WIRED for call in taken[name] if void(call) is not None}
    wires = {
        name: wire_of_calls([call for call in taken[name] if call.number not in bad])
        for name in WIRED
    }
    figures = pause_figures(sweeps, wires["configured"], wires["silence"], recorded, seed)
    folder = out / GROUP
    _write(folder / "wrong.json", wrong_decisions(decisions))
    _write(folder / "sweeps.json", sweeps)
    _draw(sweeps, folder / "curve.png")
    return PauseResults(scenes, figures)


def void(call: TakenCall) -> str | None:
    """Why a call says nothing of the agent."""
    if call.failure:
        return call.failure
    late = [ms for turn in call.turns for ms in lateness_ms(turn)]
    if late and quantile(late, 0.5) > MOST_LATE_MS:
        middle = quantile(late, 0.5)
        return f"the machine was too slow: texts came {middle:.0f} ms after speech was over"
    return None


def scene(agent: str, call: TakenCall, out: Path) -> SceneResult:
    """One call as the phone heard it: each turn with whether the agent spoke into it."""
    judged: list[Judged] = []
    for turn in call.turns:
        inside = [ms for ms in call.answers_ms if turn.begin_ms <= ms < turn.end_ms]
        judged += [Judged(ms, "cut off", False, turn.text) for ms in inside]
        if not inside:
            judged.append(Judged(turn.end_ms, "let finish", True, turn.text))
    ok = sum(one.ok for one in judged)
    title = {
        "configured": "halting callers, the agent as configured",
        "silence": f"the same callers, turns ended by {BASELINE_MS} ms of silence alone",
    }[agent]
    return SceneResult(
        id=f"{GROUP}-{agent}-{call.number + 1}",
        group=GROUP,
        title=title,
        passed=None,
        void=void(call),
        figures={"turns": len(call.turns), "let_finish": ok, "cut_off": len(judged) - ok},
        judged=tuple(judged),
        call_dir=str(call.call_dir.relative_to(out)),
        phone_wav=str(call.phone_wav.relative_to(out)),
    )


def _prefixed(progress: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda step: progress(f"pauses, {name}: {step}")


def _draw(sweeps: Sweeps, png: Path) -> None:
    from voicecore.evaluate.pause_curve import draw_curves
    from voicecore.evaluate.pictures import pictures_available

    if pictures_available():
        draw_curves(sweeps, png)


def _write(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
