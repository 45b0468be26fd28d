"""Child processes of a measurement: pinned to a core, bounded in time, ended by their id."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

END_TIMEOUT_S = 30.0


class ProcessFailed(Exception):
    """A child process did not do its work; the text has the end of what it wrote."""


class Child:
    """A running process whose output goes to a file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def finish(self, timeout_s: float) -> int:
        """Wait for its end.

        :raises ProcessFailed: it takes longer; it is ended then."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise self.failed(f"took longer than {timeout_s:.0f} s") from None

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def failed(self, what: str) -> ProcessFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ProcessFailed("\n    ".join([f"{self.name} {what}", *lines]))


@contextlib.contextmanager
def child(
    name: str,
    arguments: Sequence[str],
    *,
    folder: Path,
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
    nice: int = 0,
) -> Iterator[Child]:
    """Run this Python with arguments, on one core (None: any); ended on leaving.

    ``nice`` below 0 asks for priority over other processes and needs the right to."""

    def settle() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)

    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            preexec_fn=settle,
        )
    running = Child(name, process, log)
    try:
        yield running
    finally:
        running.end()


def sleep_while(children: Sequence[Child], seconds: float) -> None:
    """Wait, but not on when one of the processes has ended.

    :raises ProcessFailed: one ended."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        for running in children:
            if (status := running.exit_status()) is not None:
                raise running.failed(f"ended early with status {status}")
        time.sleep(min(left_s, 0.2))
