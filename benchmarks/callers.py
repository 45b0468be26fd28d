"""Who calls: our own telephone, or another load generator over the same protocol."""

from pathlib import Path
from typing import Any, Protocol

import msgspec

SEND_LATE_LIMIT_MS = 5.0
"""Callers later than this (p99) with their own frames were the bottleneck, not the server."""
CHUNK_MS = 60
"""Length of the server's media messages, an agent file's ``playout.chunk_ms``."""

_WORDS = "one two three four five six seven eight nine ten eleven twelve"
_WORDS += " thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"

CONVERSATION = f"""\
carrier: twilio
voice: {{vendor: scripted}}
noise_dbfs: -60
wait_timeout_ms: 30000
steps:
  - wait: agent_finished
  - loop_s: 60
    steps:
      - say: {_WORDS}
      - interrupt: {{say: {_WORDS}, after_ms: 700, timeout_ms: 30000}}
      - wait: agent_finished
      - say: {_WORDS}
      - wait: agent_finished
      - say: {_WORDS}
      - wait: agent_finished
"""
"""Utterances of two seconds, a tenth of a second a word; every fourth interrupts the agent
0.7 s into its answer."""

SHORT_CALL = """\
carrier: twilio
noise_dbfs: -60
wait_timeout_ms: 30000
steps:
  - wait: agent_finished
  - hang_up: {}
"""


class CallersReport(msgspec.Struct, frozen=True):
    """What the callers measured; times in milliseconds, None where a generator does not say.

    ``late_at_ear_p99_ms``: audio that came after the caller's playout buffer had run dry.
    ``late_on_wire_p99_ms``: time between two messages of a reply beyond the first's duration.
    ``send_late_p99_ms`` and ``core_share`` are the generator's own."""

    send_late_p99_ms: float
    core_share: float
    late_at_ear_p99_ms: float
    late_on_wire_p99_ms: float | None
    reply_p50_ms: float | None
    reply_p99_ms: float | None
    interruption_p50_ms: float | None
    interruption_p99_ms: float | None
    turns: int
    missing_replies: int
    failed_calls: int

    @property
    def is_bottleneck(self) -> bool:
        return self.send_late_p99_ms >= SEND_LATE_LIMIT_MS


class Callers(Protocol):
    """A load generator."""

    name: str

    def arguments(
        self, url: str, folder: Path, *, calls: int, ramp_per_s: float, talk_s: float
    ) -> list[str]:
        """Python arguments of a process that makes the calls, lets them talk for ``talk_s``
        once all are connected, hangs up and ends. It writes its report into the folder."""

    def report(self, folder: Path) -> CallersReport:
        """:raises OSError, KeyError, TypeError, ValueError: the report is missing or odd."""


class Phone:
    """``voicecore call``."""

    name = "phone"

    def __init__(self, script: str = CONVERSATION, *, once: bool = False) -> None:
        """``once``: each call does the script's steps and ends, however long all may talk."""
        self._script = script
        self._once = once

    def arguments(
        self, url: str, folder: Path, *, calls: int, ramp_per_s: float, talk_s: float
    ) -> list[str]:
        script = folder / "caller.yaml"
        script.write_text(self._script)
        arguments = ["-m", "control.cli", "call", url, "--script", str(script)]
        arguments += ["--calls", str(calls), "--ramp", str(ramp_per_s)]
        arguments += ["--json", str(folder / "phone.json")]
        if not self._once:
            arguments += ["--duration", f"{calls / ramp_per_s + talk_s:.1f}"]
        return arguments

    def report(self, folder: Path) -> CallersReport:
        return phone_report(msgspec.json.decode((folder / "phone.json").read_bytes()))


class LoadGenerator:
    """A script that takes ``--url --calls --duration --warmup --ramp --out`` and reports as
    JSON ``send_late``, ``late_play``, ``gap_excess``, ``reply`` and ``barge_clear``."""

    name = "loadgen"

    def __init__(self, path: Path) -> None:
        self._path = path

    def arguments(
        self, url: str, folder: Path, *, calls: int, ramp_per_s: float, talk_s: float
    ) -> list[str]:
        return [
            *(str(self._path), "--url", url, "--calls", str(calls), "--ramp", str(ramp_per_s)),
            *("--warmup", "2", "--duration", f"{max(talk_s - 2, 1):.1f}"),
            *("--out", str(folder / "loadgen.json"), "--label", "bench"),
        ]

    def report(self, folder: Path) -> CallersReport:
        return loadgen_report(msgspec.json.decode((folder / "loadgen.json").read_bytes()))


def phone_report(found: dict[str, Any]) -> CallersReport:
    frames = max(found["agent_audio_ms"] // CHUNK_MS, 1)
    few_late = found["late_frames"] < 0.01 * frames
    return CallersReport(
        send_late_p99_ms=found["send_late_ms"]["p99"] or 0.0,
        core_share=found["phone_cpu_cores"],
        late_at_ear_p99_ms=0.0 if few_late else found["late_frame_ms"]["p99"],
        late_on_wire_p99_ms=None,
        reply_p50_ms=found["reply_latency_ms"]["p50"],
        reply_p99_ms=found["reply_latency_ms"]["p99"],
        interruption_p50_ms=found["interruption_to_silence_ms"]["p50"],
        interruption_p99_ms=found["interruption_to_silence_ms"]["p99"],
        turns=found["turns"],
        missing_replies=found["missing_replies"],
        failed_calls=found["failed"],
    )


def loadgen_report(found: dict[str, Any]) -> CallersReport:
    def figure(name: str, percent: str) -> float | None:
        values = found[name]
        return None if values is None else float(values[percent])

    counts = found["counts"]
    return CallersReport(
        send_late_p99_ms=figure("send_late", "p99") or 0.0,
        core_share=found["loadgen_cpu"],
        late_at_ear_p99_ms=figure("late_play", "p99") or 0.0,
        late_on_wire_p99_ms=figure("gap_excess", "p99"),
        reply_p50_ms=figure("reply", "p50"),
        reply_p99_ms=figure("reply", "p99"),
        interruption_p50_ms=figure("barge_clear", "p50"),
        interruption_p99_ms=figure("barge_clear", "p99"),
        turns=counts["turns"],
        missing_replies=counts["missing_replies"],
        failed_calls=counts["connect_fail"] + counts["closed_early"],
    )
