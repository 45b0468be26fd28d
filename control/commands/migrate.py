"""``voicecore migrate``: see its help."""

import argparse
from pathlib import Path

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "migrate",
        summary="bring the database up to date",
        description="Apply the migrations that are missing. `voicecore serve` does so too when "
        "it starts. With --finish also take away what only the version before used: once no "
        "process of that version is left.",
        examples="voicecore migrate\nvoicecore migrate --finish",
    )
    parser.add_argument("--finish", action="store_true", help="apply the second halves too")
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.db.migrate import migrate

        applied = await migrate(url, finish=args.finish)
        print("\n".join(applied) or "the database is up to date")
        return 0

    return with_database(args, work)
