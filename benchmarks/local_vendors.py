"""A conversation with speech and language models on this machine: how long the caller waits.

One call at a time on all cores, as ``make demo`` has it: the server, its three models and the
caller share them. The caller's own voice is made before the call.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.bars import Bar, at_most, skipped, table, void
from benchmarks.engine import read_turns
from benchmarks.figures import median, spread
from benchmarks.processes import ProcessFailed, child
from benchmarks.server import Server, has_media_port, serving
from benchmarks.setting import ROOT, Outcome, Setting, say

DEMO = ROOT / "examples" / "demo"
NEEDED = ("moonshine_voice", "piper", "xllamacpp")
TURNS = 6
MOST_CALLS = 6
LIMIT_MS = 1500.0
LOADING_TIMEOUT_S = 180.0
CALL_TIMEOUT_S = 180.0
NAME = "local models: end of the caller's speech to the agent's first audio, median"


def measure(setting: Setting) -> Outcome:
    missing = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        why = f"the extra `local` is not installed: no {', '.join(missing)}"
        say(f"  skipped: {why}")
        return Outcome((skipped(NAME, LIMIT_MS, "ms", why),), {})
    folder = setting.sub("demo")
    wanted = 2 if setting.quick else TURNS
    with serving(
        DEMO / "agent.yaml",
        folder,
        core=None,
        media_port=has_media_port(),
        ready_timeout_s=LOADING_TIMEOUT_S,
    ) as server:
        turns = _talk(setting, server, wanted)
        server.process.end()
        stages = list(read_turns(server.calls_dir))
    say("\n" + _show(turns, stages))
    return Outcome((_bar(turns, wanted),), {"turns": list(turns), "stages": stages})


def _talk(setting: Setting, server: Server, wanted: int) -> list[Mapping[str, Any]]:
    """Call again and again until there are enough turns.

    :raises ProcessFailed: a call takes too long or leaves no report."""
    turns: list[Mapping[str, Any]] = []
    for number in range(MOST_CALLS):
        folder = setting.sub(f"call-{number}")
        report = folder / "phone.json"
        arguments = ["-m", "control.cli", "call", server.url, "--json", str(report)]
        arguments += ["--script", str(DEMO / "caller.yaml")]
        with child("phone", arguments, folder=folder) as phone:
            phone.finish(CALL_TIMEOUT_S)
            if not report.exists():
                raise phone.failed("left no report")
        found = msgspec.json.decode(report.read_bytes())
        new = [turn for call in found["call_reports"] for turn in call["turns"]]
        turns += new
        shown = ", ".join(_ms(turn["reply_latency_ms"]) for turn in new)
        say(f"  call {number + 1}: replies after {shown or 'no turns'}")
        if len(_answered(turns)) >= wanted:
            break
    if not turns:
        raise ProcessFailed("no call had a turn")
    return turns


def _answered(turns: Sequence[Mapping[str, Any]]) -> list[float]:
    return [turn["reply_latency_ms"] for turn in turns if turn["reply_latency_ms"] is not None]


def _show(turns: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> str:
    heard = spread(_answered(turns))
    rows = [("after the end of the caller's speech, ms", "p50", "max", "turns")]
    names = ("turn_decided", "stt_final", "llm_first_token", "first_sentence")
    for name in (*names, "tts_first_audio", "first_byte"):
        value = spread(turn[name] for turn in stages if name in turn)
        rows.append((f"  server: {name}", f"{value.p50:.0f}", f"{value.max:.0f}", str(value.n)))
    rows.append(("heard by the caller", f"{heard.p50:.0f}", f"{heard.max:.0f}", str(heard.n)))
    return table(rows)


def _bar(turns: Sequence[Mapping[str, Any]], wanted: int) -> Bar:
    answered = _answered(turns)
    if len(answered) < wanted:
        return void(NAME, LIMIT_MS, "ms", f"{len(answered)} of {len(turns)} turns were answered")
    return at_most(
        NAME,
        median(answered),
        LIMIT_MS,
        "ms",
        baseline=f"{len(answered)} of {len(turns)} turns; slowest {max(answered):.0f} ms",
    )


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} ms"
