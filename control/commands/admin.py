"""``voicecore admin create``: see its help."""

import argparse
import getpass
import os
import sys
from pathlib import Path

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings

_DESCRIPTION = """\
Make an admin of the platform, who can log in at POST /admin/auth/login. The password comes from
--password, from VOICECORE_ADMIN_PASSWORD, or is asked for.

Exit status: 0 when he was made, 1 when there is one with this e-mail or the database cannot be
used, 2 when the password is too weak or a setting is wrong."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "admin",
        summary="make an admin of the platform",
        description=_DESCRIPTION,
        examples="voicecore admin create --email you@example.com --role owner",
    )
    parser.add_argument("what", choices=("create",), help="what to do")
    parser.add_argument("--email", required=True, help="what he logs in with")
    parser.add_argument("--password", default=None, help="(default: see above)")
    parser.add_argument("--name", help="(default: the e-mail's first part)")
    roles = ("owner", "support", "finance", "read-only")
    parser.add_argument(
        "--role", choices=roles, default="owner", help="what he may do (default: %(default)s)"
    )
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from pydantic import TypeAdapter, ValidationError

    from control.api.shapes import Email
    from control.auth.passwords import weakness

    password = args.password or os.environ.get("VOICECORE_ADMIN_PASSWORD", "")
    if not password:
        if not sys.stdin.isatty():
            print("no password: --password or VOICECORE_ADMIN_PASSWORD", file=sys.stderr)
            return 2
        password = getpass.getpass("password: ")
    if problem := weakness(password):
        print(f"the password {problem}", file=sys.stderr)
        return 2

    try:
        TypeAdapter(Email).validate_python(args.email)
    except ValidationError:
        print(f"--email {args.email}: this is no e-mail address", file=sys.stderr)
        return 2

    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.db.seeding import create_admin

        return await create_admin(url, args.email, args.name, args.role, password)

    return with_database(args, work)
