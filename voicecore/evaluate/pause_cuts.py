"""Where in a turn that was spoken in one breath its pieces meet. Pure.

The voice says each piece by itself too. Both sayings are laid over one another, frame by frame,
so that they differ least (dynamic time warping), and the turn is cut where it is quietest near
the place that a piece's end falls on.
"""

from collections.abc import Sequence

import numpy as np

from voicecore.evaluate.pause_audio import RATE_HZ, Samples, dying_away, trimmed

_HOP = RATE_HZ // 100
_WINDOW = RATE_HZ // 40
_FFT = 256
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 200.0, 3600.0
_FLOOR = 1e3
_NEAR = RATE_HZ // 20


def cuts(pieces: Sequence[Samples], whole: Samples) -> tuple[int, ...]:
    """The samples of ``whole`` before which each piece but the first begins."""
    if len(pieces) < 2:
        return ()
    place = _overlay(_features(np.concatenate(pieces)), _features(whole))
    power = np.convolve(whole**2, np.ones(2 * _HOP), mode="same")
    found: list[int] = []
    ended = 0
    for piece in pieces[:-1]:
        ended += len(piece)
        middle = int(place[min(ended // _HOP, len(place) - 1)]) * _HOP + _WINDOW // 2
        begin = min(max(middle - _NEAR, found[-1] + 1 if found else 1), len(whole) - 1)
        near = power[begin : max(middle + _NEAR, begin + 1)]
        found.append(begin + int(np.argmin(near)))
    return tuple(found)


def in_pieces(pieces: Sequence[Samples], whole: Samples) -> list[Samples]:
    """The pieces as they sound in the whole, without the silence around them: all but the last
    die away as a voice does that halts."""
    parts = [trimmed(part) for part in np.split(whole, cuts(pieces, whole))]
    return [*map(dying_away, parts[:-1]), parts[-1]]


def _features(samples: Samples) -> Samples:
    """The logarithm of the power in each band, every 10 ms."""
    padded = np.pad(samples, (0, max(_WINDOW - len(samples), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), _FFT)) ** 2
    at = np.log(np.maximum(np.fft.rfftfreq(_FFT, 1 / RATE_HZ), 1.0))
    middles = np.linspace(np.log(_LOWEST_HZ), np.log(_HIGHEST_HZ), _BANDS)
    bands = np.exp(-0.5 * ((at[None] - middles[:, None]) / 0.1) ** 2)
    levels = np.log(power @ bands.T + _FLOOR)
    levels -= levels.mean(axis=0)
    return np.asarray(levels / (levels.std() + 1e-9), np.float64)


def _overlay(ours: Samples, theirs: Samples) -> Samples:
    """For each of our frames the frame of theirs that it lies on."""
    apart = np.sqrt(np.maximum(
        (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T, 0.0
    ))  # fmt: skip
    rows, columns = apart.shape
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):  # no cell of a diagonal depends on another
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        before = np.minimum(cost[row - 1, column - 1], cost[row - 1, column])
        cost[row, column] = apart[row - 1, column - 1] + np.minimum(before, cost[row, column - 1])
    place = np.zeros(rows)
    row_at, column_at = rows, columns
    while row_at and column_at:
        place[row_at - 1] = column_at - 1
        ways = ((row_at - 1, column_at - 1), (row_at - 1, column_at), (row_at, column_at - 1))
        row_at, column_at = min(ways, key=lambda way: cost[way])
    return place
