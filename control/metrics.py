"""Prometheus metrics: one histogram a stage, one observation a turn, never one a frame."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.02, 0.035, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)


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
        elif type == "call_ended":
            self.calls_ended.labels(data["reason"]).inc()

    def render(self) -> bytes:
        return generate_latest(self.registry)
