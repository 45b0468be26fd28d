"""``voicecore demo``: a scripted caller telephones a local agent, on real speech."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from control.demo.plan import judge, load_questions
from control.demo.server import AnswerProcess, ServerFailed
from control.demo.show import Show
from voicecore.adapters.registry import VendorConfigError, make_tts
from voicecore.call_files import EVENTS, RECORDING, TRANSCRIPT
from voicecore.journal import Event, read_events
from voicecore.phone.phone import RunOptions, RunResult, place_calls
from voicecore.phone.script import Script
from voicecore.phone.script_file import load_script
from voicecore.phone.setup import PhoneEvent
from voicecore.phone.sounds import Sounds
from voicecore.phone.speech import prepare_sounds
from voicecore.providers.errors import VendorError

FILES = Path(__file__).parents[2] / "examples" / "demo"
WATCH_EVERY_S = 0.1

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
    parser = subparsers.add_parser(
        "demo", help="let a simulated caller talk to an agent, on real speech", description=__doc__
    )
    parser.add_argument("--files", type=Path, default=FILES, help="agent, caller and questions")
    parser.add_argument("--out", type=Path, default=Path("var/demo"), help="what the call leaves")
    return parser


def run(args: argparse.Namespace) -> int:
    """Exit status 0 only if the agent understood and answered every question."""
    console = Console(highlight=False)
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    agent_file = _agent_file(args.files / "agent.yaml", args.out, os.environ, console)
    script = load_script((args.files / "caller.yaml").read_text(), folder=str(args.files))
    try:
        return asyncio.run(_demo(args, console, agent_file, script))
    except ServerFailed as error:
        console.print(f"the server did not start: {error}")
        console.print(f"its log: {args.out / 'server.log'}")
    except (VendorError, VendorConfigError) as error:
        console.print(f"the caller has no voice: {error}")
        console.print("the local models are missing? `make setup` installs them")
    return 1


async def _demo(
    args: argparse.Namespace, console: Console, agent_file: Path, script: Script
) -> int:
    out: Path = args.out
    show = Show(console)
    server = AnswerProcess(agent_file, out / "calls", out / "server.log")
    try:
        with console.status("starting") as status:
            sounds = await _caller_sounds(script, status.update)
            url = await server.start(status.update)
        console.print(f"calling {url}\n")
        watcher = asyncio.create_task(_watch(out / "calls", show))
        try:
            result = await _call(url, script, sounds, show)
        finally:
            await server.stop()
            watcher.cancel()
    finally:
        await server.stop()
    events = _collect(out)
    return _report(args, console, show, events, result)


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


async def _caller_sounds(script: Script, progress: Any) -> Sounds:
    """Everything that the caller will say, spoken before the call, so that the machine is free
    for the agent."""
    progress("speaking the caller's lines")
    assert script.voice is not None
    tts = make_tts(script.voice, os.environ)
    try:
        await tts.start()
        return await prepare_sounds(script, tts)
    finally:
        await tts.stop()


async def _call(url: str, script: Script, sounds: Sounds, show: Show) -> RunResult:
    def on_event(event: PhoneEvent) -> None:
        if event.kind == "say_started":
            show.caller_says(event.at_ms, event.text)

    options = RunOptions(call_id="demo")
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
    """Lay the call's files side by side in the output directory."""
    for name in (RECORDING, TRANSCRIPT, EVENTS):
        for file in (out / "calls").glob(f"*/{name}"):
            file.replace(out / name)
    shutil.rmtree(out / "calls", ignore_errors=True)
    path = out / EVENTS
    return read_events(path.read_bytes()) if path.exists() else []


def _report(
    args: argparse.Namespace,
    console: Console,
    show: Show,
    events: list[Event],
    result: RunResult,
) -> int:
    verdicts = judge(
        load_questions(args.files / "questions.yaml"),
        [(event.type, event.data) for event in events],
    )
    interrupted = any(
        event.type == "agent_turn" and event.data["ended"] == "interrupted" for event in events
    )
    console.print()
    show.latencies([event.data for event in events if event.type == "turn_latency"])
    heard = result.report.reply_latency_ms
    if heard.p50 is not None:
        console.print(f"the caller heard the answer after {heard.p50:.0f} ms (median)")
    show.verdicts(verdicts)
    names = ", ".join((RECORDING, TRANSCRIPT, EVENTS))
    console.print(f"left in {args.out}/: {names}, server.log")
    good = all(verdict.ok for verdict in verdicts) and interrupted and not result.report.failed
    if not interrupted:
        console.print("the agent was not interrupted")
    console.print("the agent understood and answered" if good else "the demonstration failed")
    sys.stdout.flush()
    return 0 if good else 1
