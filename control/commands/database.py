"""What commands share that work on the database."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from control.settings import Settings, SettingsError, read_settings

Work = Callable[[Settings, str, Path], Awaitable[int]]
"""What a command does with the settings, the database's URL and the data directory."""


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("var"),
        metavar="DIR",
        help="where the embedded database is, if VOICECORE_DATABASE_URL is not set "
        "(default: %(default)s)",
    )


def with_database(args: argparse.Namespace, work: Work) -> int:
    """Do the work on the configured database, or on the embedded one, which is started for it
    where it does not run. Says what is wrong, and returns the exit status."""
    from control.db.migrate import MigrationError
    from control.logs import configure_logs
    from control.server import DatabaseAway

    configure_logs(json=False, level="warning")
    try:
        settings = read_settings()
        args.data_dir.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_with_database(args, settings, work))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (DatabaseAway, MigrationError, OSError) as error:
        print(f"the database cannot be used: {error}", file=sys.stderr)
        return 1


async def _with_database(args: argparse.Namespace, settings: Settings, work: Work) -> int:
    import asyncpg

    from control.db.place import why_away
    from control.server import DatabaseAway, database_url

    data_dir = args.data_dir.resolve()
    async with AsyncExitStack() as stack:
        configured = bool(settings.database_url.get_secret_value())
        made = not configured and not (data_dir / "postgres" / "PG_VERSION").exists()
        url = await database_url(settings, data_dir, stack)
        if made:  # where a mistyped --data-dir would otherwise go unnoticed
            print(f"made a new database in {data_dir}", file=sys.stderr)
        try:
            return await work(settings, url, data_dir)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseAway(why_away(error, url, configured=configured)) from error
