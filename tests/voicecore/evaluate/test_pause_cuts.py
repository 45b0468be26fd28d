"""Pieces found again in a turn that was spoken whole."""

import numpy as np
import pytest

from voicecore.evaluate.pause_audio import RATE_HZ, Samples
from voicecore.evaluate.pause_cuts import cuts


def syllables(*pitches_hz: float, each_ms: int = 120) -> Samples:
    """Tones that swell and fade, each of its own pitch."""
    size = RATE_HZ * each_ms // 1000
    at_s = np.arange(size) / RATE_HZ
    swell = np.sin(np.pi * np.arange(size) / size)
    return np.concatenate([9000 * swell * np.sin(2 * np.pi * hz * at_s) for hz in pitches_hz])


FIRST, SECOND, THIRD = (300.0, 900.0, 500.0), (1500.0, 2400.0), (700.0, 3000.0, 1100.0)


def test_one_piece_is_not_cut() -> None:
    assert cuts([syllables(*FIRST)], syllables(*FIRST)) == ()


@pytest.mark.parametrize("faster", [1.0, 0.8, 1.25])
def test_pieces_are_found_though_said_at_another_pace(faster: float) -> None:
    each_ms = round(120 / faster)
    whole = syllables(*FIRST, *SECOND, *THIRD, each_ms=each_ms)
    found = cuts([syllables(*FIRST), syllables(*SECOND), syllables(*THIRD)], whole)
    wanted = (3 * each_ms, 5 * each_ms)
    assert [at * 1000 / RATE_HZ for at in found] == pytest.approx(wanted, abs=30)


def test_cuts_are_in_order_whatever_is_said() -> None:
    noise = np.random.default_rng(1).standard_normal(4000)
    found = cuts([syllables(400.0), syllables(800.0), syllables(1200.0)], noise)
    assert 0 < found[0] < found[1] < len(noise)
