"""``voicecore replay CALL_DIR``: a recorded call held once more, with other settings or vendors."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from control.commands.common import add_command
from control.logs import configure_logs
from control.settings import read_secrets
from voicecore.agents.load import AgentFileError, load_agent_with
from voicecore.agents.model import Agent
from voicecore.call_files import EVENTS
from voicecore.prepare import conduct_of
from voicecore.replay.difference import difference
from voicecore.replay.errors import ReplayError
from voicecore.replay.outcome import outcome_of
from voicecore.replay.recorded import read_call
from voicecore.replay.report import CallReport, Failed, Summary
from voicecore.replay.run import Sources, replay_call
from voicecore.replay.tables import call_table, summary_table
from voicecore.yaml_lines import FieldPath, YamlFileError, parse_yaml, undotted

_SOURCES = ("recorded", "agent")

_DESCRIPTION = """\
Hold recorded calls once more, on virtual time, with an agent file as it is now or with some of its
fields set otherwise, and show what differs: turns, latency, what the caller heard.

Each vendor's part is either what the call recorded or what the agent file's own vendor makes of it
now. With recorded vendors nothing is loaded or connected, no key is needed, and the same input
gives the same output. No tool is ever called: results are the recorded ones.

Exit status: 0 when every call was replayed, whatever differs; 1 when one could not be; 2 when the
command line or the agent is wrong."""

_EXAMPLES = """\
voicecore replay var/calls/CALL --agent agent.yaml
voicecore replay var/calls --agent agent.yaml --set turn_taking.endpointing.min_silence_ms=300
voicecore replay var/calls/CALL --agent agent.yaml --stt agent --out /tmp/again
voicecore replay var/calls --agent agent.yaml --json
"""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "replay",
        summary="hold recorded calls once more and show what differs",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add(
        "calls",
        nargs="+",
        type=Path,
        metavar="CALL_DIR",
        help="what a call left, or a directory of such directories",
    )
    add("--agent", type=Path, metavar="AGENT.yaml", help="who answers this time (required)")
    add(
        "--set",
        action="append",
        metavar="FIELD=VALUE",
        help="set a field of the agent file, as in turn_taking.vad.stop_ms=150; may be repeated",
    )
    for kind, what in (("stt", "hears"), ("llm", "thinks"), ("tts", "speaks")):
        add(
            f"--{kind}",
            choices=_SOURCES,
            default="recorded",
            help=f"who {what}: the recorded call or the agent's vendor (default: %(default)s)",
        )
    add("--out", type=Path, metavar="DIR", help="leave each new call's files in a directory here")
    add("--json", action="store_true", help="a line of JSON for each call, and one for all")
    return parser


def run(args: argparse.Namespace) -> int:
    """Replay every call; exit status as in the description."""
    try:
        recorded, agent = _agents(args)
    except (AgentFileError, _UsageError) as error:
        print(error, file=sys.stderr)
        return 2
    calls = list(_call_dirs(args.calls))
    if not calls:
        print(f"no calls in {', '.join(map(str, args.calls))}", file=sys.stderr)
        return 2
    configure_logs(json=False, level="ERROR")
    shown = _Shown(args, many=len(calls) > 1)
    summary = Summary()
    for number, call in enumerate(calls, 1):
        shown.progress(number, len(calls), call)
        try:
            report = _replay(args, call, recorded, agent)
        except ReplayError as error:
            failed = Failed(str(call), error.code, error.detail)
            summary.add_failed(failed)
            shown.failed(failed)
        else:
            summary.add(report)
            shown.call(report)
    shown.all(summary)
    return 1 if summary.failed else 0


class _UsageError(Exception):
    """The command line is wrong."""


def _agents(args: argparse.Namespace) -> tuple[Agent, Agent]:
    """The agent as the file has it, and as it is to be."""
    if args.agent is None:
        raise _UsageError(
            "--agent AGENT.yaml is required: a call's files have the agent's name, not its settings"
        )
    changes = dict(_change(text) for text in args.set or ())
    return load_agent_with(args.agent, {}), load_agent_with(args.agent, changes)


def _change(text: str) -> tuple[FieldPath, Any]:
    name, equals, value = text.partition("=")
    path = undotted(name.strip())
    if not equals or not path:
        raise _UsageError(f"--set {text}: expected FIELD=VALUE, as in turn_taking.vad.stop_ms=150")
    try:
        return path, parse_yaml(f"value: {value}", "--set").value["value"]
    except YamlFileError as error:
        raise _UsageError(f"--set {name}: {error.problems[0].detail}") from None


def _call_dirs(paths: list[Path]) -> Iterator[Path]:
    """Directories of calls: those given, and those in directories given that are none."""
    for path in paths:
        inside = [] if (path / EVENTS).exists() or not path.is_dir() else sorted(path.iterdir())
        found = [one for one in inside if (one / EVENTS).exists()]
        yield from found if inside else [path]


def _replay(args: argparse.Namespace, path: Path, recorded: Agent, agent: Agent) -> CallReport:
    call = read_call(path)
    secrets: Mapping[str, str] = read_secrets()
    replayed = replay_call(
        call,
        agent,
        recorded=conduct_of(recorded, vendor_ends_turns=False, vendor_marks_ends=True),
        sources=Sources(args.stt, args.llm, args.tts),
        secrets=secrets,
        out=args.out / path.resolve().name if args.out is not None else None,
    )
    found = difference(outcome_of(call.facts), outcome_of(replayed.facts))
    return CallReport(str(path), found, replayed.assumptions, replayed.notes)


class _Shown:
    """What appears on the terminal."""

    def __init__(self, args: argparse.Namespace, *, many: bool) -> None:
        self._json = args.json
        self._many = many
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=120)

    def progress(self, number: int, count: int, call: Path) -> None:
        if self._many and sys.stderr.isatty():
            print(f"\r\x1b[K{number}/{count} {call.name}", end="", file=sys.stderr, flush=True)

    def call(self, report: CallReport) -> None:
        if self._json:
            _print_json({"type": "call", **report.to_data()})
        elif not self._many or report.difference.differs:
            self._console.print(call_table(report))

    def failed(self, failed: Failed) -> None:
        if self._json:
            data = {"call": failed.call, "code": failed.code, "detail": failed.detail}
            _print_json({"type": "failed", **data})
        else:
            print(f"{failed.call}: {failed.code}: {failed.detail}", file=sys.stderr)

    def all(self, summary: Summary) -> None:
        if self._many and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self._json:
            _print_json({"type": "summary", **summary.to_data()})
        elif self._many:
            self._console.print(summary_table(summary))
        sys.stdout.flush()


def _print_json(data: Mapping[str, Any]) -> None:
    print(json.dumps(data, ensure_ascii=False))
