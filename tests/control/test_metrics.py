"""What calls were like, as Prometheus gets it."""

import pytest
from msgspec import structs

from control.metrics import Metrics
from media.line_quality import LineQuality

QUALITY = LineQuality(
    inbound_gap_ms=120,
    inbound_unfilled_ms=1000,
    inbound_dropped_ms=40,
    inbound_late_frames=2,
    inbound_duplicate_frames=3,
    inbound_reordered_frames=4,
    inbound_bad_timestamps=5,
    outbound_gap_ms=600,
    outbound_late_ms_max=250,
)


def test_lines_are_summed_over_calls() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.on_event("line_quality", structs.asdict(QUALITY))
    metrics.on_event("line_quality", structs.asdict(LineQuality()))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"voicecore_{name}", labels)

    assert value("line_lost_seconds_total", cause="lost") == pytest.approx(2.24)
    assert value("line_lost_seconds_total", cause="too_fast") == pytest.approx(0.08)
    faults = ("late", "duplicate", "reordered", "bad_timestamp")
    assert [value("line_faults_total", fault=fault) for fault in faults] == [4, 6, 8, 10]
    assert value("playout_gap_seconds_total") == pytest.approx(1.2)
    assert value("playout_gap_longest_seconds_count") == 3
    assert value("playout_gap_longest_seconds_sum") == pytest.approx(0.5)
    assert b"voicecore_line_lost_seconds_total" in metrics.render()


def test_every_figure_of_a_line_is_counted() -> None:
    """A figure that nobody reads would change nothing here."""
    silent = metrics_of(LineQuality())
    for name in LineQuality.__struct_fields__:
        assert metrics_of(structs.replace(LineQuality(), **{name: 100})) != silent, name


def metrics_of(quality: LineQuality) -> list[str]:
    metrics = Metrics()
    metrics.on_event("line_quality", structs.asdict(quality))
    lines = metrics.render().decode().splitlines()
    return [line for line in lines if "_created" not in line]


class Sink:
    dropped, refused, waiting, spilled = 1, 2, 3, 4


def test_how_the_sink_stands_is_read_when_asked_for() -> None:
    metrics, sink = Metrics(), Sink()
    assert b"voicecore_sink" not in metrics.render()
    metrics.watch(sink)
    names = ("dropped_facts_total", "refused_facts_total", "waiting_facts", "spilled_files")

    def values() -> list[float | None]:
        return [metrics.registry.get_sample_value(f"voicecore_sink_{name}") for name in names]

    assert values() == [1, 2, 3, 4]
    sink.waiting = 0
    assert values() == [1, 2, 0, 4]
