"""``voicecore demo``: a scripted caller telephones a local agent, on real speech."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from control.commands.call import write_wav
from control.commands.common import add_command
from control.demo.plan import DemoError, Question, faults, judge, load_questions
from control.demo.server import AnswerProcess, ServerFailed
from control.demo.show import Show, loading
from voicecore.adapters.registry import VendorConfigError, make_tts
from voicecore.call_files import EVENTS, RECORDING, TRANSCRIPT
from voicecore.journal import Event, read_events
from voicecore.phone.phone import RunOptions, RunResult, place_calls
from voicecore.phone.report import RunReport
from voicecore.phone.script import Script
from voicecore.phone.script_file import load_script
from voicecore.phone.setup import PhoneEvent
from voicecore.phone.sounds import Sounds
from voicecore.phone.speech import prepare_sounds
from voicecore.phone.yaml_reader import ScriptError
from voicecore.providers.errors import VendorError

FILES = Path(__file__).parents[2] / "examples" / "demo"
CALLS = "calls"
PHONE = "phone.wav"
"""The caller's own recording: what it said on the left, what it heard on the right."""
WATCH_EVERY_S = 0.1

_DESCRIPTION = """\
Let a scripted caller telephone an agent, on real speech and with models that run on this machine;
with a vendor in the cloud for each of DEEPGRAM_API_KEY, OPENAI_API_KEY and ELEVENLABS_API_KEY that
is set.

Exit status: 0 only if the agent understood and answered every question."""

CLOUD: Mapping[str, tuple[str, dict[str, Any]]] = {
    "DEEPGRAM_API_KEY": ("stt", {"vendor": "deepgram", "model": "nova-3"}),
    "OPENAI_API_KEY": (
        "llm",
        {
            "vendor": "openai",
            "model": "gpt-6-luna",
            "settings": {"reasoning_effort": "none"},
        },
    ),
    "ELEVENLABS_API_KEY": (
        "tts",
        {"vendor": "elevenlabs", "model": "eleven_flash_v2_5", "voice": "JBFqnCBsd6RMkjVDRZzb"},
    ),
}
"""The vendor that replaces a local one where its key is set."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "demo",
        summary="let a simulated caller talk to an agent, on real speech",
        description=_DESCRIPTION,
        examples="voicecore demo\nOPENAI_API_KEY=... voicecore demo --out /tmp/demo",
    )
    parser.add_argument(
        "--files",
        type=Path,
        default=FILES,
        metavar="DIR",
        help="where agent.yaml, caller.yaml and questions.yaml are (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("var/demo"),
        metavar="DIR",
        help="where the call leaves its files, in place of the last call's (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Exit status 0 only if the agent understood and answered every question."""
    console = Console(highlight=False)
    try:
        questions = load_questions(args.files / "questions.yaml")
        script = _script(args.files / "caller.yaml")
        _clear(args.out)
        agent_file = _agent_file(args.files / "agent.yaml", args.out, os.environ, console)
        return asyncio.run(_demo(args, console, agent_file, script, questions))
    except (DemoError, OSError) as error:
        console.print(f"the demonstration cannot be given: {error}")
    except ServerFailed as error:
        console.print(f"the server did not start: {error}")
        console.print(f"its log: {args.out / 'server.log'}")
    except (VendorError, VendorConfigError) as error:
        console.print(f"the caller has no voice: {error}")
        console.print("the local models are missing? `make setup` installs them")
    return 1


def _clear(out: Path) -> None:
    """Leave nothing of an earlier demonstration that could be taken for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (RECORDING, TRANSCRIPT, EVENTS, PHONE):
        (out / name).unlink(missing_ok=True)
    if (out / CALLS).exists():
        shutil.rmtree(out / CALLS)


def _script(path: Path) -> Script:
    try:
        return load_script(path.read_text(), folder=str(path.parent))
    except ScriptError as error:
        raise DemoError(f"{path}: {error}") from error


async def _demo(
    args: argparse.Namespace,
    console: Console,
    agent_file: Path,
    script: Script,
    questions: tuple[Question, ...],
) -> int:
    out: Path = args.out
    show = Show(console)
    server = AnswerProcess(agent_file, out / CALLS, out / "server.log")
    try:
        with loading(console, "loading the caller's voice") as progress:
            sounds = await _caller_sounds(script, progress)
            progress("starting the server")
            url = await server.start(progress)
        console.print(f"calling {url}\n")
        async with watching(_watch(out / CALLS, show)):
            result = await _call(url, script, sounds, show)
            await server.stop()
    finally:
        await server.stop()
    events = _collect(out)
    write_wav(out / PHONE, script, result)
    return _report(args.out, show, console, questions, events, result.report)


@asynccontextmanager
async def watching(watch: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``watch`` meanwhile. If it fails, the body is cancelled and the failure raised."""
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(watch)
        yield
        watcher.cancel()


def _agent_file(source: Path, out: Path, env: Mapping[str, str], console: Console) -> Path:
    """The demonstration's agent, with a vendor in the cloud for each key that is set."""
    agent = yaml.safe_load(source.read_text())
    for key, (kind, vendor) in CLOUD.items():
        if env.get(key):
            agent[kind] = vendor
            console.print(f"{key} is set: {kind} by {vendor['vendor']}")
    copy = out / "agent.yaml"
    copy.write_text(yaml.safe_dump(agent, sort_keys=False))
    return copy


async def _caller_sounds(script: Script, progress: Callable[[str], None]) -> Sounds:
    """Everything that the caller will say, spoken before the call, so that the machine is free
    for the agent."""
    assert script.voice is not None
    tts = make_tts(script.voice, os.environ)
    try:
        await tts.start()
        progress("speaking the caller's lines")
        return await prepare_sounds(script, tts)
    finally:
        await tts.stop()


async def _call(url: str, script: Script, sounds: Sounds, show: Show) -> RunResult:
    def on_event(event: PhoneEvent) -> None:
        if event.kind == "say_started":
            show.caller_says(event.at_ms, event.text)

    options = RunOptions(call_id="demo", keep_audio=True)
    return await place_calls(url, script, sounds=sounds, options=options, on_event=on_event)


async def _watch(calls_dir: Path, show: Show) -> None:
    """Show the server's events as they reach its journal."""
    shown = 0
    while True:
        for event in _events(calls_dir)[shown:]:
            shown += 1
            show.event(event.type, event.at_ms, event.data)
        await asyncio.sleep(WATCH_EVERY_S)


def _events(calls_dir: Path) -> list[Event]:
    for file in calls_dir.glob(f"*/{EVENTS}"):
        return read_events(file.read_bytes())
    return []


def _collect(out: Path) -> list[Event]:
    """Lay copies of the call's files side by side in the output directory; they stay where the
    server's log says they are."""
    for name in (RECORDING, TRANSCRIPT, EVENTS):
        for file in (out / CALLS).glob(f"*/{name}"):
            shutil.copy2(file, out / name)
    path = out / EVENTS
    return read_events(path.read_bytes()) if path.exists() else []


def _report(
    out: Path,
    show: Show,
    console: Console,
    questions: tuple[Question, ...],
    events: list[Event],
    report: RunReport,
) -> int:
    facts = [(event.type, event.data) for event in events]
    wrong = faults(judge(questions, facts), facts, report)
    console.print()
    show.latencies([event.data for event in events if event.type == "turn_latency"])
    if report.reply_latency_ms.p50 is not None:
        console.print(
            f"the caller heard the answer after {report.reply_latency_ms.p50:.0f} ms (median)"
        )
    names = ", ".join((RECORDING, PHONE, TRANSCRIPT, EVENTS))
    console.print(f"left in {out}/: {names}, server.log")
    for fault in wrong:
        console.print(Text(fault, style="red"))
    console.print("the demonstration failed" if wrong else "the agent understood and answered")
    sys.stdout.flush()
    return 1 if wrong else 0
