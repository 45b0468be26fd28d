"""What the engine adds to its vendors' delays: from the decision that the caller has finished
to the first byte of the answer.

The vendors are scripted: their delays are known from the agent file. What is left of
``turn_latency`` events after subtracting them is the engine, plus the lateness of the scripted
vendors' own timers, which run in the same loop.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bars import Bar, at_most, table
from benchmarks.callers import Phone
from benchmarks.figures import Spread, scripted_delay_ms, spread
from benchmarks.load import Load, Talking, run_load
from benchmarks.processes import ProcessFailed
from benchmarks.server import has_media_port, serving, write_agent
from benchmarks.setting import Outcome, Setting, say
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.adapters.scripted_tts import ScriptedTts
from voicecore.agents.load import load_agent
from voicecore.journal import read_events

CALLS = 100
LIMIT_MS = 15.0
STAGES = ("turn_decided", "llm_first_token", "first_sentence", "tts_first_audio", "first_byte")


class ScriptedDelays(msgspec.Struct, frozen=True):
    """What the agent file says that its vendors take, by the stage that ends there."""

    llm_first_token: float
    first_sentence: float
    tts_first_audio: float
    first_byte: float = 0.0

    @property
    def total_ms(self) -> float:
        return self.llm_first_token + self.first_sentence + self.tts_first_audio


def measure(setting: Setting) -> Outcome:
    folder = setting.sub(f"engine-{CALLS}")
    agent = write_agent(folder, recording=False)
    delays = scripted_delays(agent)
    say(f"  the agent file's vendors take {delays.total_ms:.0f} ms from decision to first audio")
    talking = Talking(window_s=8.0 if setting.quick else 20.0, nice=setting.nice)
    with serving(
        agent, folder, core=setting.cores.server, media_port=has_media_port(), nice=setting.nice
    ) as server:
        load = run_load(server, Phone(), folder, setting.cores, talking, CALLS)
        turns = list(read_turns(server.calls_dir))
    added = spread(added_ms(turn, delays) for turn in turns)
    stages = {name: spread(stage_ms(turns, name, delays)) for name in STAGES[1:]}
    shutil.rmtree(folder / "calls", ignore_errors=True)
    if not added.n:
        raise ProcessFailed(f"none of {len(turns)} turns has a first byte")
    say("\n" + _show(added, stages))
    figures = {
        "delays": msgspec.to_builtins(delays),
        "added_ms": msgspec.to_builtins(added),
        "stages_ms": msgspec.to_builtins(stages),
        "load": msgspec.to_builtins(load),
    }
    return Outcome((_bar(added, load, delays),), figures)


def scripted_delays(agent_file: Path) -> ScriptedDelays:
    """Exactly what the scripted vendors of an agent file take.

    :raises ValueError: the agent's vendors are others, or its replies differ in it."""
    agent = load_agent(agent_file, secrets={})
    configs = {kind: agent.vendor(kind)[0] for kind in ("llm", "tts")}
    if any(config.vendor != "scripted" for config in configs.values()):
        raise ValueError("only scripted vendors have known delays")
    llm = ScriptedLlm(configs["llm"], {}).settings
    tts = ScriptedTts(configs["tts"], {}).settings
    totals = {
        scripted_delay_ms(
            reply,
            first_token_ms=llm.first_token_ms,
            token_interval_ms=llm.token_interval_ms,
            first_audio_ms=tts.first_audio_ms,
        )
        for reply in llm.replies
    }
    if len(totals) != 1:
        raise ValueError(f"the replies' first sentences come after different times: {totals}")
    sentence_ms = totals.pop() - llm.first_token_ms - tts.first_audio_ms
    return ScriptedDelays(llm.first_token_ms, sentence_ms, tts.first_audio_ms)


def read_turns(calls_dir: Path) -> Iterable[Mapping[str, Any]]:
    """The ``turn_latency`` events that every call below the folder left."""
    for path in sorted(calls_dir.glob("*/events.jsonl")):
        for event in read_events(path.read_bytes()):
            if event.type == "turn_latency" and "first_byte" in event.data:
                yield event.data


def added_ms(turn: Mapping[str, Any], delays: ScriptedDelays) -> float:
    """What the engine added in one turn."""
    return float(turn["first_byte"] - turn["turn_decided"] - delays.total_ms)


def stage_ms(
    turns: Iterable[Mapping[str, Any]], stage: str, delays: ScriptedDelays
) -> Iterable[float]:
    """What was added between a stage and the one before it."""
    before = STAGES[STAGES.index(stage) - 1]
    scripted_ms = getattr(delays, stage)
    return [turn[stage] - turn[before] - scripted_ms for turn in turns if stage in turn]


def _show(added: Spread, stages: Mapping[str, Spread]) -> str:
    rows = [("added, ms", "p50", "p99", "max", "turns")]
    for name, value in (*stages.items(), ("decision to first byte", added)):
        label = f"  up to {name}" if name in stages else name
        figures = (f"{value.p50:.0f}", f"{value.p99:.0f}", f"{value.max:.0f}", str(value.n))
        rows.append((label, *figures))
    return table(rows)


def _bar(added: Spread, load: Load, delays: ScriptedDelays) -> Bar:
    name = f"engine, {CALLS} calls: decision to first byte less the vendors' delays, p99"
    return at_most(
        name,
        added.p99,
        LIMIT_MS,
        "ms",
        disturbed=load.disturbed or load.void,
        baseline=f"median {added.p50:.0f} ms beside {delays.total_ms:.0f} ms of the vendors; "
        "Pipecat 12 ms, LiveKit 17 ms (median, 4-30 calls)",
    )
