"""The ``voicecore`` command."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from control.commands import (
    admin,
    answer,
    call,
    demo,
    doctor,
    evaluate,
    migrate,
    replay,
    secrets,
    seed,
    serve,
)

COMMANDS = (
    *(answer, serve, doctor, migrate, admin, secrets),
    *(seed, call, demo, evaluate, replay),
)
"""Each has ``add_parser(subparsers)`` and ``run(args) -> int``."""

_EPILOG = """\
examples:
  voicecore demo
  voicecore answer agent.yaml
  voicecore serve
  voicecore call ws://127.0.0.1:8765/media/twilio --script caller.yaml
  voicecore evaluate agent.yaml
  voicecore replay var/calls --agent agent.yaml

voicecore COMMAND --help describes a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status 0 is success, 1 failure, 2 wrong usage."""
    args = make_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voicecore",
        description="A real-time voice media server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voicecore {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers).set_defaults(run=command.run)
    return parser


def _version() -> str:
    try:
        return version("voicecore")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
