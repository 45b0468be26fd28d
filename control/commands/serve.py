"""``voicecore serve``: API, webhooks and media on one port."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from control.commands.answer import raise_open_files_limit
from control.commands.common import add_command, new_event_loop, whole_number
from control.http.listening import try_listening
from control.logs import configure_logs
from control.settings import Settings, SettingsError, read_settings
from control.stray_settings import warn_of_strays

if TYPE_CHECKING:
    from control.server import Server

log = structlog.get_logger("control.serve")

_DESCRIPTION = """\
The whole server: both APIs, carriers' webhooks and media streams on one port. Without
VOICECORE_DATABASE_URL it starts a PostgreSQL of its own in the data directory. Runs until it is
interrupted; calls that go on then have VOICECORE_DRAIN_TIMEOUT_S seconds to end.

Each server has a data directory of its own: one that is another server's is refused. The other
commands may work beside a server.

Exit status: 0 after an interruption, 1 when it cannot listen, or the database or the data directory
cannot be used, 2 when the command line or a setting is wrong."""

_EXAMPLES = """\
voicecore serve
voicecore serve --host 0.0.0.0 --port 8080 --data-dir /var/lib/voicecore --json
VOICECORE_DATABASE_URL=postgresql://... voicecore serve
"""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "serve",
        summary="the whole server: APIs, webhooks and media",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=whole_number(0, 65535),
        default=8080,
        help="port to listen on; 0 takes a free one (default: %(default)s)",
    )
    add(
        "--data-dir",
        type=Path,
        default=Path("var"),
        metavar="DIR",
        help="where the database, calls' files and mails are (default: %(default)s)",
    )
    add("--json", action="store_true", help="log lines of JSON")
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    configure_logs(json=args.json)
    sys.setswitchinterval(0.001)  # see `voicecore answer`
    raise_open_files_limit()
    try:
        warn_of_strays(os.environ)
        settings = read_settings()
        args.data_dir.mkdir(parents=True, exist_ok=True)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"--data-dir {args.data_dir}: {error.strerror}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(args, settings))


async def _serve(args: argparse.Namespace, settings: Settings) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        await try_listening(args.host, args.port)  # before anything is started or migrated
    except OSError as error:
        return _cannot_listen(error)
    async with AsyncExitStack() as stack:
        server = await _opened(args, settings, stack)
        if server is None:
            return 1
        try:
            port = await _listening(server, args, stopping)
        except OSError as error:
            return _cannot_listen(error)
        if port is None:
            return 0
        log.info("ready", url=f"http://{args.host}:{port}", docs=f"http://{args.host}:{port}/docs")
        await stopping.wait()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)  # the second one does not wait for calls
        log.info("draining", calls=len(server.calls.calls), timeout_s=settings.drain_timeout_s)
        await server.stop(settings.drain_timeout_s)
    return 0


async def _listening(
    server: "Server", args: argparse.Namespace, stopping: asyncio.Event
) -> int | None:
    """The port; None where it is told to stop while agents are being loaded.

    :raises OSError: it cannot be listened on."""
    listening = asyncio.create_task(server.listen(args.host, args.port))
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((listening, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if listening.done():
        return listening.result()
    log.info("stopping before agents are loaded")
    listening.cancel()
    await asyncio.wait([listening])
    await server.stop(0)
    return None


def _cannot_listen(error: OSError) -> int:
    log.error("cannot listen", detail=str(error), hint="choose another with --port")
    return 1


async def _opened(
    args: argparse.Namespace, settings: Settings, stack: AsyncExitStack
) -> "Server | None":
    """None: it cannot start, and the log says why."""
    from control.db.migrate import MigrationError
    from control.doctor_secrets import warn_of_shut
    from control.secret_keys import SecretKeysError
    from control.server import DatabaseAway, DataDirTaken, Server

    data_dir = args.data_dir.resolve()
    try:
        server = await Server.open(settings, data_dir, stack)
        await warn_of_shut(settings, data_dir, server.plane.db)
        return server
    except DataDirTaken as error:
        hint = "end that server, or give this one a directory of its own with --data-dir"
        log.error("the data directory is in use", detail=str(error), hint=hint)
    except SecretKeysError as error:
        log.error("the keys of secrets cannot be used", detail=str(error))
    except (DatabaseAway, MigrationError) as error:
        log.error("the database cannot be used", detail=str(error))
    except OSError as error:
        log.error("the data directory cannot be used", detail=str(error))
    return None
