"""``voicecore evaluate AGENT.yaml``: plays scenes to an agent and scores what the caller heard."""

import argparse
import asyncio
import gc
import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from control.clock import MonotonicClock
from control.collector import Collector
from control.commands.common import add_command, new_event_loop, whole_number
from control.commands.evaluate_pauses import (
    NO_PAUSES,
    PAUSES,
    measure_pauses,
    with_pauses,
)
from control.logs import configure_logs
from control.media_server import MediaServer
from control.settings import Settings, read_secrets
from media.audio.format import MULAW_8K
from voicecore.adapters.registry import VendorConfigError
from voicecore.agents.load import AgentFileError, load_agent
from voicecore.answering import AnsweringAgent
from voicecore.evaluate.figures import figures
from voicecore.evaluate.play import Play, prepare_play
from voicecore.evaluate.results import RESULTS, Results, read_results, write_results
from voicecore.evaluate.run import OnPlayed, Place, Played, play_all
from voicecore.evaluate.scene import Scene, Suite
from voicecore.evaluate.scene_file import SETS, load_scenes, load_suite, set_names
from voicecore.evaluate.speech import prepare_speech, texts_of
from voicecore.evaluate.tables import figures_table, summary
from voicecore.prepare import prepare
from voicecore.providers.errors import VendorError
from voicecore.tools.http import HttpToolRunner
from voicecore.yaml_lines import YamlFileError

REPORT = "voicecore.evaluate.report"

_DESCRIPTION = """\
Telephone an agent as many callers would: they ask, interrupt, murmur, cough, talk to others, halt
in the middle of a number. Scores what each of them heard, and when. Takes some minutes.

Exit status: 0 when all scenes were played, 1 when that failed, or with --require when a figure
missed its bar, 2 when the command line, the agent or a scene is wrong."""

_EXAMPLES = """\
voicecore evaluate agent.yaml
voicecore evaluate agent.yaml --quick
voicecore evaluate agent.yaml --only interruptions --out /tmp/evaluate
voicecore evaluate agent.yaml --scenes ./my-scenes --require
"""


class _UsageError(Exception):
    """The command line, or what it names, is wrong."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "evaluate",
        summary="score an agent in conversations with simulated callers",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("agent", type=Path, metavar="AGENT.yaml", help="who is called: an agent file")
    add(
        "--out",
        type=Path,
        default=Path("var/evaluate/last"),
        metavar="DIR",
        help="where the results are left, in place of the last ones (default: %(default)s)",
    )
    add(
        "--scenes",
        default="all",
        metavar="DIR|SET",
        help=f"a directory of scene files, or a set: all, {', '.join(set_names())} "
        "(default: %(default)s)",
    )
    add("--jobs", type=whole_number(1, 32), metavar="N", help="calls at a time (default: 2)")
    add(
        "--seed",
        type=whole_number(0, 2**31),
        default=1,
        metavar="N",
        help="of the noise on the lines (default: %(default)s)",
    )
    add("--only", metavar="GROUP", help="only the scenes of a group, or the scene of that id")
    add("--quick", action="store_true", help="only the scenes marked as quick: two minutes")
    add(
        "--cache",
        type=Path,
        default=Path("var/evaluate/cache"),
        metavar="DIR",
        help="where the callers' spoken sentences are kept (default: %(default)s)",
    )
    add("--baseline", type=Path, metavar="DIR", help="compare with these earlier results")
    add("--require", action="store_true", help="exit with 1 when a figure misses its bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Play and score; the exit status is described in the help."""
    configure_logs(json=False, level="error")
    sys.setswitchinterval(0.001)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    try:
        suite = _suite(args)
        baseline = _baseline(args.baseline)
        secrets = read_secrets()
        answering = prepare(load_agent(args.agent, secrets=secrets), secrets)
        _clear(args.out)
        played: list[Played] = []
        stopped = bool(suite.scenes) and _play(
            _evaluate(args, suite, answering, secrets, console, played)
        )
        pauses = NO_PAUSES if stopped else measure_pauses(args, secrets, console)
    except (_UsageError, YamlFileError, AgentFileError, VendorConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    except VendorError as error:
        print(f"a voice or a vendor cannot be used: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot evaluate: {error}", file=sys.stderr)
        return 1
    order = {scene.id: place for place, scene in enumerate(suite.scenes)}
    played.sort(key=lambda one: order[one.result.id])
    results = with_pauses(_results(args, suite, answering, played, baseline), pauses)
    write_results(args.out, results)
    console.print(figures_table(results))
    console.print(summary(results))
    _write_report(args.out)
    console.print(f"results: {args.out / RESULTS}")
    if stopped:
        print(f"stopped: {len(played)} of {len(suite.scenes)} scenes", file=sys.stderr)
        return 130
    missed = [figure for figure in results.figures if figure.met is False]
    return 1 if args.require and missed else 0


def _play(evaluation: Coroutine[Any, Any, None]) -> bool:
    """True: it was interrupted; what has been played until then counts."""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(evaluation)
    except KeyboardInterrupt:
        return True
    return False


def _suite(args: argparse.Namespace) -> Suite:
    suite = _named_scenes(args.scenes)
    scenes = suite.scenes
    if args.only == PAUSES:
        return Suite(suite.name, ())
    if args.only is not None:
        scenes = tuple(scene for scene in scenes if args.only in (scene.group, scene.id))
        if not scenes:
            groups = ", ".join(sorted({scene.group for scene in suite.scenes}))
            raise _UsageError(f"--only: there is no group or scene {args.only!r}; groups: {groups}")
    if args.quick:
        scenes = tuple(scene for scene in scenes if scene.quick)
        if not scenes:
            raise _UsageError("--quick: none of the scenes is marked `quick: true`")
    return Suite(suite.name, scenes)


def _named_scenes(name: str) -> Suite:
    if name == "all":
        return load_suite(SETS, "voicecore")
    if name in set_names():
        return Suite(name, load_scenes(SETS / f"{name}.yaml"))
    folder = Path(name)
    if folder.is_dir():
        return load_suite(folder, folder.resolve().name)
    if folder.is_file():
        return Suite(folder.stem, load_scenes(folder))
    known = ", ".join(("all", *set_names()))
    raise _UsageError(f"--scenes: {name} is neither a directory nor a file nor one of: {known}")


def _baseline(folder: Path | None) -> Mapping[str, float] | None:
    if folder is None:
        return None
    try:
        found = read_results(folder)
    except (OSError, msgspec.DecodeError) as error:
        raise _UsageError(f"--baseline: there are no results in {folder}: {error}") from None
    return {figure.name: figure.value for figure in found.figures if figure.value is not None}


def _clear(out: Path) -> None:
    """Leave nothing of an earlier evaluation that could be taken for this one's; touch nothing
    else."""
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULTS).unlink(missing_ok=True)
    for name in ("calls", "scenes", PAUSES):
        if (out / name).exists():
            shutil.rmtree(out / name)


async def _evaluate(
    args: argparse.Namespace,
    suite: Suite,
    agent: AnsweringAgent,
    secrets: Mapping[str, str],
    console: Console,
    played: list[Played],
) -> None:
    http_tools = HttpToolRunner(secrets=secrets, allow_private=False)
    greets = bool(agent.conduct.turns.greeting)
    plays = await _prepare_plays(args, suite.scenes, secrets, console, greets)
    await http_tools.start()
    try:
        await _with_server(args, plays, agent, http_tools, console, played)
    finally:
        await http_tools.stop()
        await agent.stop()


async def _prepare_plays(
    args: argparse.Namespace,
    scenes: Sequence[Scene],
    secrets: Mapping[str, str],
    console: Console,
    greets: bool,
) -> list[Play]:
    speech = await prepare_speech(texts_of(scenes), args.cache / "speech", secrets, console.print)
    return [prepare_play(scene, speech, args.seed, greets=greets) for scene in scenes]


async def _with_server(
    args: argparse.Namespace,
    plays: Sequence[Play],
    agent: AnsweringAgent,
    http_tools: HttpToolRunner,
    console: Console,
    played: list[Played],
) -> None:
    """The settings of a deployment (secrets, keys, limits) have no part in this."""
    collector = Collector()
    server = MediaServer(
        agent,
        Settings.model_construct(),
        http_tools,
        MonotonicClock(asyncio.get_running_loop()),
        calls_dir=args.out / "calls",
        on_call_ended=collector.call_ended,
    )
    try:
        port = await server.listen("127.0.0.1", 0)
        console.print(f"loading the agent {agent.conduct.name}")
        await agent.start(MULAW_8K, lambda step: None)
        gc.collect()
        collector.settle()
        server.ready()
        place = Place(
            url=f"ws://127.0.0.1:{port}/media/{{carrier}}",
            out=args.out,
            calls_dir=args.out / "calls",
            jobs=args.jobs or 2,
            seed=args.seed,
        )
        console.print(f"playing {len(plays)} scenes, {place.jobs} at a time")
        await play_all(plays, place, _progress(console, len(plays), played))
    finally:
        await server.stop(10.0)


def _progress(console: Console, total: int, played: list[Played]) -> OnPlayed:
    def show(outcome: Played, left: int, left_s: float) -> None:
        played.append(outcome)
        result = outcome.result
        mark = "void" if result.passed is None else "ok" if result.passed else "NOT OK"
        wrong = [judged for judged in result.judged if not judged.ok]
        reasons = (f"{one.what}: {one.detail.partition(' (server')[0]}" for one in wrong[:2])
        detail = result.void or "; ".join(reasons)
        rest = f"{left_s / 60:.0f} min left" if left_s > 90 else f"{left_s:.0f} s left"
        line = f"{total - left:4}/{total}  {rest:>11}  {mark:6}  {result.id}  {detail}"
        console.print(line.rstrip(), markup=False)

    return show


def _results(
    args: argparse.Namespace,
    suite: Suite,
    agent: AnsweringAgent,
    played: Sequence[Played],
    baseline: Mapping[str, float] | None,
) -> Results:
    verdicts = [(one.result.group, verdict) for one in played for verdict in one.verdicts]
    return Results(
        agent=agent.conduct.name,
        suite=suite.name,
        seed=args.seed,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        scenes=tuple(one.result for one in played),
        figures=figures(verdicts, baseline),
    )


def _machine() -> dict[str, Any]:
    pinned = hasattr(os, "sched_getaffinity")
    return {
        "cores": len(os.sched_getaffinity(0)) if pinned else os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _write_report(out: Path) -> None:
    if importlib.util.find_spec(REPORT) is not None:
        importlib.import_module(REPORT).write_report(out)
