"""How long a caller waits for the first words: from the message that starts the stream to the
first byte of the greeting, at the carrier.

The calls come one after the other, over the wire, at first to a server that has nothing else to
do, then to one that holds conversations besides. The caller's own event loop is in the figure:
it is an upper bound. The agent's voice takes 100 ms to its first audio; what is measured is that
nobody waits for it.
"""

import asyncio
import shutil
import time
from pathlib import Path

import msgspec
from websockets.asyncio.client import connect

from benchmarks.bars import Bar, at_most, table
from benchmarks.callers import Phone
from benchmarks.figures import Spread, spread
from benchmarks.load import OTHER_SHARE_LIMIT, START_TIMEOUT_S
from benchmarks.machine import on_core, usage, window
from benchmarks.processes import ProcessFailed, child
from benchmarks.server import Server, has_media_port, serving, write_agent
from benchmarks.setting import Outcome, Setting, say
from media.phone.side import ServerAudio, StreamIds, StreamSpec
from media.phone.twilio_side import TwilioSide

CALLS = 200
QUICK_CALLS = 100
TALKING = 50
"""Conversations beside which calls are greeted in the second run."""
LIMIT_MS = 50.0
EVERY_S = 0.03
PATIENCE_S = 10.0


class Greeted(msgspec.Struct, frozen=True):
    """``beside``: how many conversations went on. ``other_share``: of the server's core, in
    other hands."""

    beside: int
    first_byte_ms: Spread
    other_share: float


def measure(setting: Setting) -> Outcome:
    folder = setting.sub("run")
    agent = write_agent(folder, recording=False)
    calls = QUICK_CALLS if setting.quick else CALLS
    try:
        with serving(
            agent, folder, core=setting.cores.server, media_port=has_media_port(), nice=setting.nice
        ) as server:
            runs = (_greeted(setting, server, calls, 0), _beside(setting, server, calls, folder))
    finally:
        shutil.rmtree(folder / "calls", ignore_errors=True)
    say("\n" + _show(runs))
    return Outcome(tuple(map(_bar, runs)), {"runs": msgspec.to_builtins(runs)})


def _beside(setting: Setting, server: Server, calls: int, folder: Path) -> Greeted:
    """:raises ProcessFailed: the conversations did not come about."""
    arguments = Phone().arguments(
        server.url, folder, calls=TALKING, ramp_per_s=50, talk_s=START_TIMEOUT_S
    )
    with child("phone", arguments, folder=folder, core=setting.cores.callers, nice=setting.nice):
        server.wait_for_calls(TALKING, START_TIMEOUT_S)
        return _greeted(setting, server, calls, TALKING)


def _greeted(setting: Setting, server: Server, calls: int, beside: int) -> Greeted:
    before = usage(server.pid, setting.cores.server)
    with on_core(setting.cores.callers):
        waits_ms = asyncio.run(greeting_waits_ms(server.url, calls))
    core = window(before, usage(server.pid, setting.cores.server))
    return Greeted(beside, spread(waits_ms), core.other_share + core.steal_share)


async def greeting_waits_ms(url: str, calls: int) -> list[float]:
    """Call so often, hang up after the first audio; the time to it, for each call.

    :raises ProcessFailed: a call was not greeted."""
    waits_ms = []
    for number in range(calls):
        waits_ms.append(await _greeting_wait_ms(url, number))
        await asyncio.sleep(EVERY_S)
    return waits_ms


async def _greeting_wait_ms(url: str, number: int) -> float:
    side = TwilioSide(
        StreamSpec(StreamIds(f"MZ{number:032}", f"CA{number:032}", f"AC{number:032}"))
    )
    try:
        async with asyncio.timeout(PATIENCE_S), connect(url, compression=None) as socket:
            await socket.send(side.connected().decode())
            start = side.start().decode()
            began_ns = time.perf_counter_ns()
            await socket.send(start)
            while not isinstance(side.receive(_bytes(await socket.recv())), ServerAudio):
                pass
            wait_ms = (time.perf_counter_ns() - began_ns) / 1e6
            await socket.send(side.stop().decode())
            return wait_ms
    except (OSError, TimeoutError) as error:
        raise ProcessFailed(f"call {number} was not greeted: {error!r}") from error


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _show(runs: tuple[Greeted, ...]) -> str:
    rows = [("start to first byte, ms", "p50", "p99", "max", "calls")]
    for run in runs:
        value = run.first_byte_ms
        figures = (f"{value.p50:.2f}", f"{value.p99:.2f}", f"{value.max:.2f}", str(value.n))
        rows.append((f"beside {run.beside} conversations", *figures))
    return table(rows)


def _bar(run: Greeted) -> Bar:
    return at_most(
        f"greeting: from stream start to its first byte beside {run.beside} conversations, p99",
        run.first_byte_ms.p99,
        LIMIT_MS,
        "ms",
        disturbed=run.other_share > OTHER_SHARE_LIMIT,
        baseline=f"median {run.first_byte_ms.p50:.1f} ms; the agent's voice takes 100 ms",
    )
