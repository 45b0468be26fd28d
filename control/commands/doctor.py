"""``voicecore doctor``: see its help."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control.commands.common import add_command, whole_number
from control.commands.database import add_data_dir
from control.settings import Settings, SettingsError, read_settings

_DESCRIPTION = """\
Look at everything that a server needs and say what is missing or wrong, and what to do about it:
settings, the data directory, disk and open files, the port, the database and its migrations, the
mail server, models on this machine, the clock, and each vendor's and carrier's key, which is tried.
Nothing is started: a database of one's own is only looked at.

Exit status: 0 unless something is wrong; a warning may be so on purpose. 2 when a setting cannot be
read."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "doctor",
        summary="tell what is missing or wrong",
        description=_DESCRIPTION,
        examples="voicecore doctor\nvoicecore doctor --port 8443 --data-dir /var/lib/voicecore",
    )
    add_data_dir(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where the server is to listen (default: %(default)s)")
    add(
        "--port",
        type=whole_number(0, 65535),
        default=8080,
        help="at which port, which should be free (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Look, tell, and return 1 if something is wrong."""
    from control.logs import configure_logs

    configure_logs(json=False, level="warning")
    try:
        settings = read_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_tell(settings, args.data_dir.resolve(), (args.host, args.port)))


async def _tell(settings: Settings, data_dir: Path, address: tuple[str, int]) -> int:
    from control.doctor import examine

    url = settings.database_url.get_secret_value()
    findings = await examine(settings, url, data_dir, os.environ, address=address)
    table = Table("what", "", "detail", box=None)
    colours = {"ok": "green", "warning": "yellow", "wrong": "red"}
    for one in findings:
        told = escape(one.detail) + (f"\n[dim]{escape(one.advice)}[/]" if one.advice else "")
        table.add_row(one.what, f"[{colours[one.standing]}]{one.standing}[/]", told)
    Console().print(table)
    return int(any(one.standing == "wrong" for one in findings))
