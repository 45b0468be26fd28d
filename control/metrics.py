"""Prometheus metrics: one histogram a stage, one observation a turn, never one a frame."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.01, 0.02, 0.035, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)


class Sink(Protocol):
    """Where what calls leave waits for the database."""

    dropped: int
    refused: int

    @property
    def waiting(self) -> int: ...

    @property
    def spilled(self) -> int: ...


class SinkMetrics(Collector):
    """Read from the sink when somebody asks for them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "voicecore_sink_waiting_facts",
            "What calls left, in memory on its way into the database.",
            self._sink.waiting,
        )
        yield GaugeMetricFamily(
            "voicecore_sink_spilled_files",
            "Files of what calls left, on disk until the database takes it.",
            self._sink.spilled,
        )
        yield CounterMetricFamily(
            "voicecore_sink_dropped_facts",
            "What calls left and neither the database nor the disk took: it is lost.",
            value=self._sink.dropped,
        )
        yield CounterMetricFamily(
            "voicecore_sink_refused_facts",
            "What calls left and the database never takes: it is in the spill's refused.txt.",
            value=self._sink.refused,
        )


class Metrics:
    """The process's metrics, fed with the events of its calls."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls_live = Gauge(
            "voicecore_calls_live", "Calls that are answered now.", registry=self.registry
        )
        self.calls_ended = Counter(
            "voicecore_calls_ended", "Calls over.", ["reason"], registry=self.registry
        )
        self.streams_refused = Counter(
            "voicecore_streams_refused", "Streams not answered.", ["code"], registry=self.registry
        )
        self.vendor_failures = Counter(
            "voicecore_vendor_failures", "Vendor errors.", ["kind", "code"], registry=self.registry
        )
        self.interruptions = Counter(
            "voicecore_interruptions", "Replies the caller interrupted.", registry=self.registry
        )
        self.drafts = Counter(
            "voicecore_drafts",
            "Answers begun before the turn was over: used, or why not.",
            ["outcome"],
            registry=self.registry,
        )
        self.drafts_wasted = Counter(
            "voicecore_drafts_wasted_characters",
            "What models wrote in answers that were not used.",
            registry=self.registry,
        )
        self.line_lost = Counter(
            "voicecore_line_lost_seconds",
            "Callers' audio that was lost on the way, or came too fast and was dropped.",
            ["cause"],
            registry=self.registry,
        )
        self.line_faults = Counter(
            "voicecore_line_faults",
            "Frames that came late, twice or out of order, and timestamps that made no sense.",
            ["fault"],
            registry=self.registry,
        )
        self.playout_gaps = Counter(
            "voicecore_playout_gap_seconds",
            "Silence within replies because their audio came too late.",
            registry=self.registry,
        )
        self.playout_gap_longest = Histogram(
            "voicecore_playout_gap_longest_seconds",
            "The longest such silence of each call.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.turn_stage = Histogram(
            "voicecore_turn_stage_seconds",
            "From the end of the caller's speech to each stage of the reply.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "voicecore_loop_lag_seconds",
            "How late the event loop ran a timer.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
            registry=self.registry,
        )

    def on_event(self, type: str, data: Mapping[str, Any]) -> None:
        """Count one event of a call."""
        if type == "turn_latency":
            for stage, after_ms in data.items():
                if stage not in ("reply", "speech_end"):
                    self.turn_stage.labels(stage).observe(max(after_ms, 0) / 1000)
        elif type == "vendor_failed":
            self.vendor_failures.labels(data["kind"], data["code"]).inc()
        elif type == "agent_turn" and data["ended"] == "interrupted":
            self.interruptions.inc()
        elif type == "draft_used":
            self.drafts.labels("used").inc()
        elif type == "draft_dropped":
            self.drafts.labels(data["reason"]).inc()
            self.drafts_wasted.inc(data["output_characters"])
        elif type == "line_quality":
            self._line_quality(data)
        elif type == "call_ended":
            self.calls_ended.labels(data["reason"]).inc()

    def _line_quality(self, data: Mapping[str, Any]) -> None:
        lost_ms = data["inbound_gap_ms"] + data["inbound_unfilled_ms"]
        self.line_lost.labels("lost").inc(lost_ms / 1000)
        self.line_lost.labels("too_fast").inc(data["inbound_dropped_ms"] / 1000)
        self.line_faults.labels("late").inc(data["inbound_late_frames"])
        self.line_faults.labels("duplicate").inc(data["inbound_duplicate_frames"])
        self.line_faults.labels("reordered").inc(data["inbound_reordered_frames"])
        self.line_faults.labels("bad_timestamp").inc(data["inbound_bad_timestamps"])
        self.playout_gaps.inc(data["outbound_gap_ms"] / 1000)
        self.playout_gap_longest.observe(data["outbound_late_ms_max"] / 1000)

    def watch(self, sink: Sink) -> None:
        """Show how the sink stands, too."""
        self.registry.register(SinkMetrics(sink))

    def render(self) -> bytes:
        return generate_latest(self.registry)
