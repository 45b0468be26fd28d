"""The ``voicecore`` command."""

import argparse
import sys
from collections.abc import Sequence

from control.commands import answer, call, demo

COMMANDS = (answer, call, demo)
"""Each has ``add_parser(subparsers)`` and ``run(args) -> int``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status 0 is success, 1 failure, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="voicecore", description="A real-time voice media server."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers).set_defaults(run=command.run)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
