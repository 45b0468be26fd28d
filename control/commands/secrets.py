"""``voicecore secrets rotate`` and ``new-key``: see their help."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from control.commands.common import add_command
from control.commands.database import add_data_dir, with_database
from control.settings import Settings

if TYPE_CHECKING:
    from control.secret_keys import LockedKeys, SecretKeys

_DESCRIPTION = """\
rotate: encrypt the keys of all stored secrets with the newest of the server's keys. Where the keys
are in the data directory's secret.keys it gets a new one first; running servers find it by
themselves. Where they are in VOICECORE_SECRET_KEYS: add a new one (secrets new-key) at the end and
restart every server, put it first and restart them again, then rotate. Keys that are not needed
any more are kept for backups of the database: --drop-old takes them out of secret.keys, unless a
secret still needs one. One rotation of a data directory waits a minute for another.

new-key: print a new key for VOICECORE_SECRET_KEYS.

Exit status: 0 when it is done, 1 when the database or the keys cannot be used, 2 when a setting is
wrong."""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "secrets",
        summary="rotate the keys that secrets are encrypted with",
        description=_DESCRIPTION,
        examples="voicecore secrets rotate\nvoicecore secrets new-key",
    )
    parser.add_argument("what", choices=("rotate", "new-key"), help="what to do")
    parser.add_argument(
        "--drop-old", action="store_true", help="take the old keys out of secret.keys"
    )
    add_data_dir(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from control.secret_keys import new_entry

    if args.what == "new-key":
        print(new_entry(datetime.now(UTC)))
        return 0

    async def work(settings: Settings, url: str, data_dir: Path) -> int:
        from control.secret_keys import SecretKeysError
        from control.vault import secret_keys

        keys = secret_keys(settings, data_dir)
        if args.drop_old and keys.file is None:
            print("--drop-old: the keys are not in a file of ours", file=sys.stderr)
            return 2
        try:
            return await rotate_keys(url, keys, drop_old=args.drop_old)
        except SecretKeysError as error:
            print(f"the keys cannot be used: {error}", file=sys.stderr)
            return 1

    return with_database(args, work)


async def rotate_keys(url: str, keys: "SecretKeys", *, drop_old: bool) -> int:
    """:raises SecretKeysError: the file of keys cannot be used."""
    from control.db.migrate import migrate

    now = datetime.now(UTC)
    await migrate(url)
    if keys.file is None:
        return await _rotate(url, keys, None)
    # To the end: another rotation must not drop the key that this one wraps with.
    with await asyncio.to_thread(keys.lock) as file:
        file.make(now)
        file.add(now)
        return await _rotate(url, keys, file if drop_old else None)


async def _rotate(url: str, keys: "SecretKeys", dropping: "LockedKeys | None") -> int:
    """:param dropping: the file that old keys are to be taken out of.
    :raises SecretKeysError: the keys cannot be used, or not be dropped."""
    from control.auth.envelopes import SealError
    from control.db import secrets
    from control.db.database import PLATFORM, Database
    from control.vault import rotate

    keyring = keys.keyring()
    if keyring is None:
        print("there are no keys: set VOICECORE_SECRET_KEYS", file=sys.stderr)
        return 1
    database = await Database.open(url, connections=1)
    try:
        async with database.transaction(PLATFORM) as db:
            changed, kept = await rotate(db, keyring)
        async with database.reading(PLATFORM) as db:
            in_use = await secrets.key_ids(db)
    except SealError as error:
        print(f"nothing was changed, a secret does not open: {error}", file=sys.stderr)
        return 1
    finally:
        await database.close()
    print(f"{changed} secrets rewrapped with {keyring.current}, {kept} were already")
    old = ", ".join(keyring.ids[1:])
    if old and dropping is not None:
        dropping.keep_only(keyring.current, in_use)
        print(f"dropped: {old}")
    elif old:
        print(f"not needed any more, but for backups of before: {old}")
    return 0
