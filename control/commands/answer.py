"""``voicecore answer AGENT.yaml``: the media engine alone, one agent, no database."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog
from aiohttp import web

from control.clock import MonotonicClock
from control.http.media_app import media_app
from control.http.media_entrance import MediaEntrance
from control.logs import configure_logs
from control.metrics import Metrics
from control.settings import Settings, read_secrets, read_settings
from media.audio.format import MULAW_8K
from media.transport import Leg
from voicecore.adapters.registry import VendorConfigError
from voicecore.agents.load import AgentFileError, load_agent
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecords
from voicecore.calls import Calls
from voicecore.prepare import prepare
from voicecore.providers.errors import VendorError
from voicecore.session import Session
from voicecore.tools.http import HttpToolRunner

log = structlog.get_logger("control.answer")


def add_parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        "answer", help="answer calls with the agent in a file", description=__doc__
    )
    parser.add_argument("agent", type=Path, metavar="AGENT.yaml")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8765, help="port; 0 takes a free one")
    parser.add_argument(
        "--media-port",
        type=int,
        metavar="PORT",
        help="take media streams on this port too, at less CPU a call (needs picows)",
    )
    parser.add_argument(
        "--calls-dir",
        type=Path,
        default=Path("var/calls"),
        help="where each call leaves its recording, transcript and events",
    )
    parser.add_argument("--no-files", action="store_true", help="leave nothing on disk")
    parser.add_argument("--json", action="store_true", help="log JSON lines")
    parser.add_argument(
        "--allow-private-tools",
        action="store_true",
        help="let HTTP tools call private and loopback addresses",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Answer until a signal ends it."""
    configure_logs(json=args.json)
    settings, secrets = read_settings(), read_secrets()
    try:
        agent = load_agent(args.agent, secrets=secrets)
        answering = prepare(agent, secrets)
    except (AgentFileError, VendorConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.Runner(loop_factory=_new_loop).run(_serve(args, settings, secrets, answering))


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


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
    clock = MonotonicClock(asyncio.get_running_loop())
    metrics = Metrics()
    records = CallRecords(
        None if args.no_files else args.calls_dir,
        clock=clock,
        observer=metrics.on_event,
        on_damage=lambda damage: log.error(
            "a call's file is damaged", code=damage.code, detail=damage.detail
        ),
    )

    def answer(leg: Leg) -> Session:
        record = records.open(leg.started, record_audio=agent.conduct.record)
        return Session(leg, agent, record, http_tools)

    def ended(session: Session) -> None:
        started = session.leg.started
        log.info("call ended", call_id=started.call_id, reason=session.ended_reason)

    calls = Calls(answer, limit=settings.max_calls, on_ended=ended)
    entrance = MediaEntrance(calls, settings, metrics, clock, carrier_options={})
    runner = web.AppRunner(media_app(entrance), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, args.host, args.port, backlog=1024).start()
    port = runner.addresses[0][1]
    media_port = None
    try:
        log.info("loading", agent=agent.conduct.name, port=port)
        await agent.start(MULAW_8K, lambda step: log.info("loading", step=step))
        # What is loaded lives for ever: the collector need not look at it during calls.
        gc.collect()
        gc.freeze()
        entrance.ready = True
        if args.media_port is not None:
            media_port = await _open_media_port(entrance, args.host, args.media_port)
        log.info("ready", url=f"ws://{args.host}:{port}/media/twilio", port=port)
        await _until_signal()
        entrance.ready = False
        log.info("draining", calls=len(calls), timeout_s=settings.drain_timeout_s)
        await calls.drain(settings.drain_timeout_s)
    except VendorError as error:
        log.error("not ready", vendor=error.vendor, code=error.code, detail=error.detail)
        return 1
    finally:
        if media_port is not None:
            media_port.close()
        await runner.cleanup()
        await records.close()
    return 0


async def _open_media_port(entrance: MediaEntrance, host: str, port: int) -> asyncio.Server:
    # picows is an extra of its own.
    from control.http.media_port import open_media_port

    server = await open_media_port(entrance, host, port)
    bound = server.sockets[0].getsockname()[1]
    log.info("media port", url=f"ws://{host}:{bound}/media/twilio", port=bound)
    return server


async def _until_signal() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
