"""``voicecore migrate``: see its help."""

import argparse
from pathlib import Path

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings

_DESCRIPTION = """\
Apply the migrations that are missing, as voicecore serve does when it starts. With --finish also
take away what only the version before used: once no process of that version is left, or else its
requests fail. Processes that are connected to the database are known by their application_name,
"voicecore/0009" with the newest migration that they know: while an older one is, --finish refuses.

A migration waits 3 seconds for a table that is in use, as by pg_dump or an idle transaction, since
whoever else wants the table waits behind it; it is tried 6 times within a minute, and then the
sessions in the way are named. Of several processes one migrates; the others wait up to 5 minutes.

Exit status: 0 when the database is up to date, 1 when it cannot be used, 2 when a setting is
wrong."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "migrate",
        summary="bring the database up to date",
        description=_DESCRIPTION,
        examples="voicecore migrate\nvoicecore migrate --finish",
    )
    parser.add_argument("--finish", action="store_true", help="apply the second halves too")
    parser.add_argument(
        "--force",
        action="store_true",
        help="with --finish: although processes of an earlier version are connected, which fail",
    )
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.db.migrate import migrate

        applied = await migrate(url, finish=args.finish, force=args.force)
        print("\n".join(applied) or "the database is up to date")
        return 0

    return with_database(args, work)
