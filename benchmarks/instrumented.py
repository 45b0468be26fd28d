"""The server that is measured: ``voicecore`` itself, with a stopwatch in its event loop.

    python -m benchmarks.instrumented OUT.json answer agent.yaml --port 0

Everything after the first argument goes to the ``voicecore`` command. Three things are added
from outside: a timer of 10 ms (what a paced frame would suffer), the lateness of every chunk of
outgoing audio against its own deadline, and the moments at which streams joined. Together they
take under 0.5 % of a core at 200 calls. They are written to ``OUT.json`` when the server ends.

With ``BENCHMARK_CALLBACKS=1`` the server runs on asyncio's own event loop instead of uvloop, and
every single callback is timed: slower, but it shows which piece of work holds the loop longest.
"""

import asyncio
import gc
import os
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.machine import fixed_work
from control import cli
from control.clock import MonotonicClock
from media.transport import Connection

EVERY_S = 0.01
CALIBRATE_EVERY = 10
SAMPLES_LIMIT = 4_000_000
CALLBACKS_VARIABLE = "BENCHMARK_CALLBACKS"
SLOW_MS = 0.5
"""Shorter callbacks are only counted."""


class ServerSamples(msgspec.Struct, frozen=True):
    """Times in seconds of the machine's monotonic clock, which all processes share.

    ``ticks_*``: the 10 ms timer, how late it ran and how much CPU time the loop's thread used
    since the one before. ``frames_*``: outgoing chunks by when they were due, and how late they
    left. ``work_*``: the fixed work's CPU time while the calls went on. ``gc_*``: pauses of the
    garbage collector. ``slow_*``: callbacks that used over ``SLOW_MS`` of CPU time."""

    ticks_at_s: list[float]
    ticks_late_ms: list[float]
    ticks_cpu_ms: list[float]
    frames_due_s: list[float]
    frames_late_ms: list[float]
    work_at_s: list[float]
    work_us: list[float]
    joins_at_s: list[float]
    gc_at_s: list[float]
    gc_ms: list[float]
    slow_at_s: list[float]
    slow_ms: list[float]
    slow_names: list[str]


class Stopwatch:
    """Collects samples in flat arrays: nothing for the garbage collector to look at."""

    def __init__(self) -> None:
        fields = [name for name in ServerSamples.__struct_fields__ if name != "slow_names"]
        self._arrays = {name: array("d") for name in fields}
        self._slow_names: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due_s = 0.0
        self._cpu_ns = 0
        self._count = 0
        self._gc_began_s = 0.0

    def samples(self) -> ServerSamples:
        values = {name: values.tolist() for name, values in self._arrays.items()}
        return ServerSamples(**values, slow_names=self._slow_names)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arm()
        gc.callbacks.append(self._collecting)

    def joined(self) -> None:
        self._put("joins_at_s", time.monotonic())

    def frame(self, due_ms: int) -> None:
        """An outgoing chunk's timer fires now."""
        now_s = time.monotonic()
        self._put("frames_due_s", due_ms / 1000)
        self._put("frames_late_ms", max(now_s * 1000 - due_ms, 0.0))

    def slow(self, handle: asyncio.Handle, cpu_ms: float) -> None:
        """A callback has held the loop."""
        if len(self._slow_names) < SAMPLES_LIMIT:
            self._put("slow_at_s", time.monotonic())
            self._put("slow_ms", cpu_ms)
            self._slow_names.append(repr(handle)[:200])

    def _arm(self) -> None:
        if self._loop is not None:
            self._due_s = time.monotonic() + EVERY_S
            self._loop.call_later(EVERY_S, self._tick)

    def _tick(self) -> None:
        now_s, cpu_ns = time.monotonic(), time.thread_time_ns()
        self._put("ticks_at_s", now_s)
        self._put("ticks_late_ms", max(now_s - self._due_s, 0.0) * 1000)
        self._put("ticks_cpu_ms", (cpu_ns - self._cpu_ns) / 1e6)
        self._cpu_ns = cpu_ns
        self._count += 1
        if self._count % CALIBRATE_EVERY == 0:
            began_ns = time.thread_time_ns()
            for _ in range(5):
                fixed_work()
            self._put("work_at_s", now_s)
            self._put("work_us", (time.thread_time_ns() - began_ns) / 5000)
        self._arm()

    def _collecting(self, phase: str, _: dict[str, Any]) -> None:
        now_s = time.monotonic()
        if phase == "start":
            self._gc_began_s = now_s
        else:
            self._put("gc_at_s", self._gc_began_s)
            self._put("gc_ms", (now_s - self._gc_began_s) * 1000)

    def _put(self, name: str, value: float) -> None:
        values = self._arrays[name]
        if len(values) < SAMPLES_LIMIT:
            values.append(value)


def instrument(stopwatch: Stopwatch) -> None:
    """Put the stopwatch where loops, timers and connections are made."""
    new_event_loop = uvloop.new_event_loop
    call_at = MonotonicClock.call_at
    connection = Connection.__init__

    def new_loop() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = new_event_loop()
        loop.call_soon(stopwatch.start, loop)
        return loop

    def timed_call_at(
        self: MonotonicClock, at_ms: int, callback: Callable[[], None]
    ) -> asyncio.TimerHandle:
        # Only playout timers are the leg's own; the session's go through the same clock.
        if getattr(callback, "__qualname__", "") != "Leg._on_timer":
            return call_at(self, at_ms, callback)

        def fire() -> None:
            stopwatch.frame(at_ms)
            callback()

        return call_at(self, at_ms, fire)

    def connected(self: Connection, *args: Any, **kwargs: Any) -> None:
        stopwatch.joined()
        connection(self, *args, **kwargs)

    setattr(uvloop, "new_event_loop", new_loop)  # noqa: B010 - mypy forbids assignment
    setattr(MonotonicClock, "call_at", timed_call_at)  # noqa: B010
    setattr(Connection, "__init__", connected)  # noqa: B010


def time_callbacks(stopwatch: Stopwatch) -> None:
    """Run on asyncio's loop, whose callbacks can be timed."""
    run = asyncio.Handle._run

    def timed_run(self: asyncio.Handle) -> None:
        began_ns = time.thread_time_ns()
        run(self)
        cpu_ms = (time.thread_time_ns() - began_ns) / 1e6
        if cpu_ms >= SLOW_MS:
            stopwatch.slow(self, cpu_ms)

    setattr(asyncio.Handle, "_run", timed_run)  # noqa: B010
    setattr(uvloop, "new_event_loop", asyncio.new_event_loop)  # noqa: B010


def main(arguments: list[str]) -> int:
    out, *command = arguments
    stopwatch = Stopwatch()
    if os.environ.pop(CALLBACKS_VARIABLE, ""):
        time_callbacks(stopwatch)
    instrument(stopwatch)
    try:
        return cli.main(command)
    finally:
        Path(out).write_bytes(msgspec.json.encode(stopwatch.samples()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
