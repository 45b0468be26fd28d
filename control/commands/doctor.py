"""``voicecore doctor``: see its help."""

import argparse
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings

_DESCRIPTION = """\
Look at everything that a server needs and say what is missing or wrong: settings, the data
directory, the database and its migrations, the mail server, and each vendor's and carrier's key,
which is tried.

Exit status: 0 unless something is wrong; what is missing may be so on purpose."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "doctor",
        summary="tell what is missing or wrong",
        description=_DESCRIPTION,
        examples="voicecore doctor\nvoicecore doctor --data-dir /var/lib/voicecore",
    )
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Look, tell, and return 1 if something is wrong."""

    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.doctor import examine

        findings = await examine(settings, url, data_dir, os.environ)
        table = Table("what", "", "detail", box=None)
        colours = {"ok": "green", "missing": "yellow", "wrong": "red"}
        for one in findings:
            colour = colours[one.standing]
            table.add_row(one.what, f"[{colour}]{one.standing}[/]", one.detail)
        Console().print(table)
        return int(any(one.standing == "wrong" for one in findings))

    return with_database(args, work)
