"""What a measurement is given, and what it gives back."""

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bars import Bar
from benchmarks.machine import Cores

ROOT = Path(__file__).resolve().parents[1]


class Setting(msgspec.Struct, frozen=True):
    """``folder`` is the measurement's own. ``nice`` below 0 puts server and callers before
    other processes. ``loadgen``: another load generator, None without."""

    folder: Path
    cores: Cores
    quick: bool = False
    nice: int = 0
    loadgen: Path | None = None

    def sub(self, name: str) -> Path:
        """A folder for one run."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


class Outcome(msgspec.Struct, frozen=True):
    """A measurement's bars, and everything it measured, as JSON."""

    bars: tuple[Bar, ...]
    figures: dict[str, Any]


def say(text: str) -> None:
    """Show progress at once."""
    print(text, flush=True)
