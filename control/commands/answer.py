"""``voicecore answer AGENT.yaml``: the media engine alone, one agent, no database."""

import argparse
import asyncio
import errno
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from control.clock import MonotonicClock
from control.collector import Collector
from control.commands.common import add_command, new_event_loop, whole_number
from control.logs import configure_logs
from control.media_server import MediaServer
from control.settings import Settings, SettingsError, read_secrets, read_settings
from control.stray_settings import warn_of_strays
from media.audio.format import MULAW_8K
from voicecore.adapters.registry import VendorConfigError
from voicecore.agents.load import AgentFileError, load_agent
from voicecore.answering import AnsweringAgent
from voicecore.prepare import prepare
from voicecore.providers.errors import VendorError
from voicecore.speech_cache import SpeechCache
from voicecore.tools.http import HttpToolRunner

LOADING_STOP_S = 5.0

log = structlog.get_logger("control.answer")

_DESCRIPTION = """\
Answer calls with the agent in a file: the media engine alone, one agent, no database. Runs until
it is interrupted; calls that go on then have VOICECORE_DRAIN_TIMEOUT_S seconds to end.

Exit status: 0 after an interruption, 1 when it cannot listen or a vendor cannot be used, 2 when
the command line, the agent or a setting is wrong."""

_EXAMPLES = """\
voicecore answer agent.yaml
voicecore answer agent.yaml --port 0 --calls-dir /tmp/calls
VOICECORE_STREAM_SECRET=... voicecore answer agent.yaml --host 0.0.0.0 --json
"""


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = add_command(
        subparsers,
        "answer",
        summary="answer calls with the agent in a file",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    port = whole_number(0, 65535)
    add("agent", type=Path, metavar="AGENT.yaml", help="who answers: an agent file")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=port,
        default=8765,
        help="port to listen on; 0 takes a free one (default: %(default)s)",
    )
    add(
        "--media-port",
        type=port,
        metavar="PORT",
        help="take media streams on this port too, at less CPU a call; needs picows "
        "(default: none)",
    )
    add(
        "--calls-dir",
        type=Path,
        default=Path("var/calls"),
        metavar="DIR",
        help="where each call leaves its recording, transcript and events (default: %(default)s)",
    )
    add("--no-files", action="store_true", help="leave nothing on disk")
    add("--json", action="store_true", help="log lines of JSON")
    add(
        "--allow-private-tools",
        action="store_true",
        help="let HTTP tools call private and loopback addresses",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Answer until a signal ends it."""
    configure_logs(json=args.json)
    # The disk's thread must not keep the frames waiting for the interpreter's lock for 5 ms.
    sys.setswitchinterval(0.001)
    raise_open_files_limit()
    try:
        warn_of_strays(os.environ)
        settings, secrets = read_settings(), read_secrets()
        agent = load_agent(args.agent, secrets=secrets)
        cache = SpeechCache(settings.speech_cache_mb * 2**20)
        answering = prepare(agent, secrets, cache)
        _make_calls_dir(args)
    except (SettingsError, AgentFileError, VendorConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(args, settings, secrets, answering))


def _make_calls_dir(args: argparse.Namespace) -> None:
    """:raises SettingsError: calls could leave nothing there."""
    if args.no_files:
        return
    try:
        args.calls_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--calls-dir {args.calls_dir}: {error.strerror}") from None


def _warn_if_open(args: argparse.Namespace, settings: Settings) -> None:
    if args.host not in ("127.0.0.1", "::1", "localhost") or settings.public_url:
        if not settings.stream_secret.get_secret_value():
            log.warning("anybody can talk to the agent: VOICECORE_STREAM_SECRET is not set")
        if not (settings.twilio_auth_token.get_secret_value() or settings.telnyx_public_key):
            log.warning("webhooks are not checked: no carrier's key is set")


def raise_open_files_limit() -> None:
    """A call is a file: take as many as the system allows this process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(
    args: argparse.Namespace,
    settings: Settings,
    secrets: Mapping[str, str],
    agent: AnsweringAgent,
) -> int:
    http_tools = HttpToolRunner(secrets=secrets, allow_private=args.allow_private_tools)
    await http_tools.start()
    try:
        return await _answer_calls(args, settings, agent, http_tools)
    finally:
        await http_tools.stop()
        await agent.stop()


async def _answer_calls(
    args: argparse.Namespace,
    settings: Settings,
    agent: AnsweringAgent,
    http_tools: HttpToolRunner,
) -> int:
    collector = Collector()
    server = MediaServer(
        agent,
        settings,
        http_tools,
        MonotonicClock(asyncio.get_running_loop()),
        calls_dir=None if args.no_files else args.calls_dir,
        on_call_ended=collector.call_ended,
    )
    drain_timeout_s = 0.0
    try:
        port = await server.listen(args.host, args.port)
        if args.media_port is not None:
            media_port = await server.listen_for_media(args.host, args.media_port)
            log.info("media port", url=f"ws://{args.host}:{media_port}/media/twilio")
        _warn_if_open(args, settings)
        log.info("loading", agent=agent.conduct.name, port=port)
        stopping = asyncio.create_task(_until_signal())
        if not await _load(agent, stopping):
            log.info("stopped while loading")
            return 0
        collector.settle()
        server.ready()
        log.info("ready", url=f"ws://{args.host}:{port}/media/twilio", port=port)
        await stopping
        drain_timeout_s = settings.drain_timeout_s
        log.info("draining", calls=len(server.calls), timeout_s=drain_timeout_s)
    except VendorError as error:
        log.error("not ready", vendor=error.vendor, code=error.code, detail=error.detail)
        return 1
    except (OSError, ModuleNotFoundError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        hint = {"hint": "choose another with --port (--media-port); 0 takes a free one"}
        log.error("cannot listen", detail=str(error), **(hint if taken else {}))
        return 1
    finally:
        await server.stop(drain_timeout_s)
    return 0


async def _load(agent: AnsweringAgent, stopping: asyncio.Task[None]) -> bool:
    """Make the agent ready to answer; False: we are to stop first.

    :raises VendorError: a vendor cannot work."""
    loading = asyncio.create_task(
        agent.start(MULAW_8K, lambda step: log.info("loading", step=step))
    )
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        loading.cancel()
        await asyncio.wait({loading}, timeout=LOADING_STOP_S)
        return False
    try:
        loading.result()
    except VendorError:
        stopping.cancel()
        raise
    return True


async def _until_signal() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in numbers:
        loop.remove_signal_handler(number)  # the second one does not wait for calls to end
