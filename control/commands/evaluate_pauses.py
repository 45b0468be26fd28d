"""The pause sweep's part of ``voicecore evaluate``: answers its calls with agents of this
process."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from control.clock import MonotonicClock
from control.commands.common import new_event_loop
from control.media_server import MediaServer
from control.settings import Settings
from media.audio.format import MULAW_8K
from voicecore.agents.load import load_agent
from voicecore.evaluate.pauses import GROUP, PauseResults, run_pauses
from voicecore.evaluate.results import Results
from voicecore.prepare import prepare
from voicecore.tools.http import HttpToolRunner

PAUSES = GROUP
NO_PAUSES = PauseResults((), ())


def with_pauses(results: Results, pauses: PauseResults) -> Results:
    """The results of the scenes and of the sweep; of the sweep alone where no scene was played."""
    figures = results.figures if results.scenes else ()
    return msgspec.structs.replace(
        results,
        scenes=(*results.scenes, *pauses.scenes),
        figures=(*figures, *pauses.figures),
    )


def measure_pauses(
    args: argparse.Namespace, secrets: Mapping[str, str], console: Console
) -> PauseResults:
    """Run the sweep where the command line asks for it: with ``--only pauses``, and among
    everything.

    :raises YamlFileError, VendorConfigError, VendorError, OSError: it cannot be done."""
    everything = args.only is None and args.scenes == "all" and not args.quick
    if args.only != GROUP and not everything:
        return NO_PAUSES
    sweep = run_pauses(
        args.agent,
        args.out,
        lambda agent, calls: _serve(agent, calls, secrets),
        secrets=secrets,
        seed=args.seed,
        jobs=args.jobs or 2,
        quick=args.quick,
        progress=lambda step: console.print(step, markup=False),
    )
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(sweep)
    except KeyboardInterrupt:  # what the scenes found is not to be lost
        console.print("pauses: stopped, no figures")
        return NO_PAUSES


@contextlib.asynccontextmanager
async def _serve(
    agent_file: Path, calls_dir: Path, secrets: Mapping[str, str]
) -> AsyncIterator[str]:
    agent = prepare(load_agent(agent_file, secrets=secrets), secrets)
    http_tools = HttpToolRunner(secrets=secrets, allow_private=False)
    await http_tools.start()
    server = MediaServer(
        agent,
        Settings.model_construct(),
        http_tools,
        MonotonicClock(asyncio.get_running_loop()),
        calls_dir=calls_dir,
    )
    try:
        port = await server.listen("127.0.0.1", 0)
        await agent.start(MULAW_8K, lambda step: None)
        server.ready()
        yield f"ws://127.0.0.1:{port}/media/twilio"
    finally:
        await server.stop(10.0)
        await http_tools.stop()
        await agent.stop()
