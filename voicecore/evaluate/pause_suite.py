"""The turns of the pause sweep: what callers say, where they pause, and for how long. Pure.

The lengths follow real ones: of the pauses within turns that eot-bench counts (200 ms to 5 s,
real calls in English), 55.6% are longer than 300 ms, 21.7% than 600, 10% than 1000 and 5% than
1600; read off the silence-only baseline of github.com/livekit/eot-bench. A power law
``P(pause > x) = (200 ms / x) ** 1.3`` gives 59, 24, 12 and 7%; up to ``LONGEST_MS`` it is drawn
from. One pause in eight is shorter than 200 ms, and can cut nobody off.
"""

import math
import random
import re
from collections.abc import Sequence
from importlib import resources

import msgspec

SHORTEST_MS, COUNTED_MS, LONGEST_MS = 100, 200, 2500
_TAIL = 1.3
_SHORT_SHARE = 0.125
_LINE = re.compile(r"([a-z]+): (.+)")


class PausedTurn(msgspec.Struct, frozen=True):
    """A turn of a caller, in the pieces between its pauses. ``number`` counts turns from 0."""

    number: int
    kind: str
    pieces: tuple[str, ...]
    pauses_ms: tuple[int, ...]
    """One less than there are pieces."""

    @property
    def text(self) -> str:
        return " ".join(self.pieces)


def load_turns(seed: int, *, limit: int | None = None) -> tuple[PausedTurn, ...]:
    """All turns of ``pauses.txt``, or ``limit`` of them spread over all kinds, with pauses drawn
    from the seed."""
    text = resources.files("voicecore.evaluate").joinpath("pauses.txt").read_text("utf-8")
    lines = read_lines(text)
    if limit is not None and limit < len(lines):
        lines = [lines[place * len(lines) // limit] for place in range(limit)]
    pauses = draw_pauses(sum(len(pieces) - 1 for _, pieces in lines), seed)
    turns: list[PausedTurn] = []
    drawn = 0
    for number, (kind, pieces) in enumerate(lines):
        own = pauses[drawn : drawn + len(pieces) - 1]
        drawn += len(own)
        turns.append(PausedTurn(number, kind, pieces, own))
    return tuple(turns)


def read_lines(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and pieces of each turn in a file's text.

    :raises ValueError: a line is none."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        pieces = tuple(piece.strip() for piece in parts[2].split(" / ")) if parts else ()
        if parts is None or not all(pieces):
            raise ValueError(f"not a turn: {line!r}")
        found.append((parts[1], pieces))
    return found


def draw_pauses(count: int, seed: int) -> tuple[int, ...]:
    """So many lengths in random order. They are drawn one from each of ``count`` equal parts of
    the distribution, so that a small sample has its shape too."""
    rng = random.Random(seed)
    shorts = round(count * _SHORT_SHARE)
    places = [(index + rng.random()) / shorts for index in range(shorts)]
    drawn = [SHORTEST_MS + round(place * (COUNTED_MS - SHORTEST_MS - 1)) for place in places]
    counted = count - shorts
    drawn += [_pause_ms((index + rng.random()) / counted) for index in range(counted)]
    rng.shuffle(drawn)
    return tuple(drawn)


def share_longer(pauses_ms: Sequence[int], than_ms: int) -> float:
    """Of the pauses that count, how many are longer."""
    counted = [pause for pause in pauses_ms if pause >= COUNTED_MS]
    return sum(pause > than_ms for pause in counted) / max(len(counted), 1)


def _pause_ms(place: float) -> int:
    """The length below which the share ``place`` of the pauses lies."""
    beyond = float((COUNTED_MS / LONGEST_MS) ** _TAIL)
    return round(COUNTED_MS * math.pow(1 - place * (1 - beyond), -1 / _TAIL))
