"""Full collections happen between calls, not during them."""

import gc
from collections.abc import Iterator

import pytest

from control.collector import CALLS_BETWEEN, Collector


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations collected during the test."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(2)

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_is_loaded_is_left_out_for_good(collections: list[int]) -> None:
    Collector().settle()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[2] > 100_000


def test_it_collects_when_nobody_is_talking(collections: list[int]) -> None:
    Collector().call_ended(live_calls=0)
    assert collections == [2]


def test_during_calls_it_waits(collections: list[int]) -> None:
    collector = Collector()
    for _ in range(CALLS_BETWEEN - 1):
        collector.call_ended(live_calls=100)
    assert collections == []
    collector.call_ended(live_calls=100)
    assert collections == [2]
