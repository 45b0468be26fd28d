"""``voicecore seed demo``: see its help."""

import argparse
from pathlib import Path

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings

_DESCRIPTION = """\
Make a person, a workspace, an agent on local models that is live, and a number for it; prints how
to log in. May be repeated: it then makes what is missing, and a new password.

Exit status: 0 when it is there, 1 when the database cannot be used, 2 when a setting is wrong."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "seed",
        summary="make a demo workspace with a working agent",
        description=_DESCRIPTION,
        examples="voicecore seed demo",
    )
    parser.add_argument("what", choices=("demo",), help="what to make")
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.db.seeding import seed_demo

        return await seed_demo(url)

    return with_database(args, work)
