from pathlib import Path

import pytest

from voicecore.evaluate.results import (
    Bar,
    Figure,
    Judged,
    Results,
    SceneResult,
    bootstrap,
    quantile,
    read_results,
    wilson,
    write_results,
)


def test_wilson_interval() -> None:
    # 9 of 10: statsmodels' proportion_confint(9, 10, method="wilson").
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 0) is None
    low, high = wilson(30, 30) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.8865, 1.0), abs=1e-4)


def test_bootstrap_is_always_the_same() -> None:
    values = [100, 200, 300, 400, 1000]
    interval = bootstrap(values, None)
    assert interval == bootstrap(values, None)
    assert interval is not None
    assert 100 <= interval[0] < 400 < interval[1] <= 1000
    assert bootstrap([5], 0.5) is None


def test_quantile_is_a_value() -> None:
    assert [quantile([3, 1, 2], share) for share in (0.01, 0.5, 1.0)] == [1, 2, 3]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    scene = SceneResult(
        "a", "g", "A", False, None, {"yield_ms_max": 250.0},
        (Judged(5000, "interruption", False, "spoke on"),), "calls/x", "scenes/a/phone.wav",
    )  # fmt: skip
    figure = Figure("yield_rate", "R_Y", 0.9, "share", 10, (0.6, 0.98), Bar(at_least=0.97))
    results = Results("agent", "suite", 1, "2026-11-22T09:00:00+00:00", {}, (scene,), (figure,))
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results
    assert '"bar": {' in (tmp_path / "results.json").read_text()
