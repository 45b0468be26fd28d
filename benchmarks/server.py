"""The server under measurement, as a process on a core of its own."""

import contextlib
import importlib.util
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from benchmarks.instrumented import CALLBACKS_VARIABLE, ServerSamples
from benchmarks.processes import Child, ProcessFailed, child

READY_TIMEOUT_S = 60.0
MAX_CALLS = 2000

AGENT = """\
# Vendors that take exactly as long as they say, all of it after the turn was decided, and an
# endpointing delay of 200 ms.
name: bench
instructions: Say what the script says.
greeting: Hello, how can I help?
stt: {{vendor: scripted}}
llm: {{vendor: scripted}}
tts: {{vendor: scripted}}
turn_taking:
  endpointing: {{min_silence_ms: 200}}
  preemptive: {{enabled: false}}
recording: {recording}
"""


class Server:
    """A running ``voicecore answer``. ``url`` is its Twilio stream on the listener measured,
    ``calls_dir`` has the calls' files. ``samples`` is there once it has ended."""

    def __init__(
        self, process: Child, url: str, http_url: str, calls_dir: Path, samples_path: Path
    ) -> None:
        self.process = process
        self.url = url
        self.calls_dir = calls_dir
        self._http_url = http_url
        self._samples_path = samples_path

    @property
    def pid(self) -> int:
        return self.process.pid

    def live_calls(self) -> int:
        """:raises ProcessFailed: it does not say."""
        try:
            with urllib.request.urlopen(self._http_url + "/readyz", timeout=10) as response:
                return int(json.load(response)["calls"])
        except (OSError, ValueError, KeyError) as error:
            raise self.process.failed(f"does not answer: {error}") from error

    def wait_for_calls(self, count: int, timeout_s: float) -> None:
        """Until so many calls are live.

        :raises ProcessFailed: there are fewer after that time."""
        until_s = time.monotonic() + timeout_s
        while (live := self.live_calls()) < count:
            if time.monotonic() > until_s:
                raise ProcessFailed(f"{live} of {count} calls after {timeout_s:.0f} s")
            time.sleep(0.1)

    def end(self) -> ServerSamples:
        """Stop it and read what its stopwatch saw.

        :raises ProcessFailed: it left nothing."""
        self.process.end()
        try:
            return msgspec.json.decode(self._samples_path.read_bytes(), type=ServerSamples)
        except (OSError, msgspec.DecodeError) as error:
            raise self.process.failed(f"left no samples: {error}") from error


def has_media_port() -> bool:
    """Whether the extra ``density`` is installed: a media listener on a port of its own."""
    return importlib.util.find_spec("picows") is not None


def write_agent(folder: Path, *, recording: bool) -> Path:
    path = folder / "agent.yaml"
    path.write_text(AGENT.format(recording="true" if recording else "false"))
    return path


@contextlib.contextmanager
def serving(
    agent: Path,
    folder: Path,
    *,
    core: int | None,
    media_port: bool,
    nice: int = 0,
    ready_timeout_s: float = READY_TIMEOUT_S,
    time_callbacks: bool = False,
) -> Iterator[Server]:
    """``voicecore answer AGENT`` on free loopback ports, ready for calls; ended on leaving.
    ``time_callbacks``: on a slower event loop that shows each callback's time.

    :raises ProcessFailed: it does not get ready."""
    samples_path, calls_dir = folder / "samples.json", folder / "calls"
    arguments = ["-m", "benchmarks.instrumented", str(samples_path), "answer", str(agent)]
    arguments += ["--port", "0", "--json", "--calls-dir", str(calls_dir)]
    if media_port:
        arguments += ["--media-port", "0"]
    environment = {
        "VOICECORE_MAX_CALLS": str(MAX_CALLS),
        "VOICECORE_STREAM_SECRET": "",
        "VOICECORE_TWILIO_AUTH_TOKEN": "",
        "VOICECORE_DRAIN_TIMEOUT_S": "0",
        # The callers ask the same all the time, and the answers' vendors are to be measured.
        "VOICECORE_SPEECH_CACHE_MB": "0",
        CALLBACKS_VARIABLE: "1" if time_callbacks else "",
    }
    with child(
        "server", arguments, folder=folder, core=core, environment=environment, nice=nice
    ) as process:
        urls = _urls(process, ready_timeout_s)
        url = urls["media port" if media_port else "ready"]
        http_url = "http://" + urlsplit(urls["ready"]).netloc
        yield Server(process, url, http_url, calls_dir, samples_path)


@contextlib.contextmanager
def serving_bare(folder: Path, *, core: int | None, nice: int = 0) -> Iterator[Server]:
    """The baseline: the same conversation without an engine (``benchmarks.bare``).

    :raises ProcessFailed: it does not get ready."""
    samples_path = folder / "samples.json"
    arguments = ["-m", "benchmarks.bare", str(samples_path)]
    with child("server", arguments, folder=folder, core=core, nice=nice) as process:
        urls = _urls(process, READY_TIMEOUT_S)
        http_url = "http://" + urlsplit(urls["ready"]).netloc
        yield Server(process, urls["media port"], http_url, folder / "calls", samples_path)


def _urls(process: Child, timeout_s: float) -> dict[str, str]:
    """Wait until the server is ready; the URLs that it logs, by the log's event."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        events = _events(process.log)
        if "ready" in events:
            return {name: str(entry.get("url", "")) for name, entry in events.items()}
        if (status := process.exit_status()) is not None:
            raise process.failed(f"ended with status {status} before it was ready")
        time.sleep(0.05)
    raise ProcessFailed(f"the server was not ready within {timeout_s:.0f} s")


def _events(log: Path) -> dict[str, dict[str, object]]:
    """The last log line of each event; what is no JSON is left out."""
    events: dict[str, dict[str, object]] = {}
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and "event" in entry:
                events[str(entry["event"])] = entry
    return events
