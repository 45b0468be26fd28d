"""Runs pip and says how far it is: a line that changes on a terminal, a few lines elsewhere.

    python scripts/install.py "step 1 of 2: packages" install -e .

What comes after the title is pip's. Everything pip wrote is shown if it fails."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

QUIET_S = 5.0
"""How long nothing is printed off a terminal."""
TICK_S = 0.5


class Progress:
    """What pip is at, from the lines that it writes."""

    def __init__(self) -> None:
        self.packages: set[str] = set()
        self.doing = "starting pip"

    def read(self, line: str) -> None:
        words = line.split()
        match words:
            case ["Collecting", name, *_]:
                self.packages.add(name)
                self.doing = f"packages found: {len(self.packages)}"
            case ["Downloading", file, *_]:
                name = file.rpartition("/")[2].partition("-")[0]
                self.doing = f"packages found: {len(self.packages)}, downloading {name}"
            case ["Building", *_]:
                self.doing = "building"
            case ["Installing", "collected", "packages:", *_]:
                count = line.count(",") + 1
                self.doing = f"unpacking {count} package{'s' if count > 1 else ''}"


class Printer:
    """Prints what has changed: at once on a terminal, at most every ``QUIET_S`` elsewhere."""

    def __init__(self, out: TextIO, title: str, clock: Callable[[], float]) -> None:
        self._out = out
        self._title = title
        self._clock = clock
        self._began = clock()
        self._shown_at = float("-inf")
        self._live = out.isatty()

    def show(self, doing: str, *, last: bool = False) -> None:
        now = self._clock()
        if not self._live and not last and now - self._shown_at < QUIET_S:
            return
        self._shown_at = now
        text = f"{self._title}: {doing} ({now - self._began:.0f} s)"
        if self._live:
            self._out.write(f"\r\033[K{text[:99]}" + ("\n" if last else ""))
        else:
            self._out.write(f"{text}\n")
        self._out.flush()


def run(command: list[str], printer: Printer) -> int:
    """Run a pip; returns its exit status."""
    progress, written = Progress(), list[str]()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    over = threading.Event()

    def tick() -> None:
        while not over.wait(TICK_S):
            printer.show(progress.doing)

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        for line in process.stdout:
            written.append(line)
            progress.read(line)
        status = process.wait()
    finally:
        over.set()
        ticking.join()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    printer.show("done" if status == 0 else "failed", last=True)
    if status:
        sys.stderr.writelines(written)
    return status


def main() -> int:
    title, *arguments = sys.argv[1:]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return run([*pip, "--progress-bar", "off"], Printer(sys.stdout, title, time.monotonic))


if __name__ == "__main__":
    sys.exit(main())
