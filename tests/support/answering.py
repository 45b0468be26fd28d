"""A real server with a scripted agent, on a free port of loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from control.clock import MonotonicClock
from control.media_server import MediaServer
from control.settings import Settings
from media.audio.format import MULAW_8K
from voicecore.adapters.scripted_tts import speech_like
from voicecore.agents.load import parse_agent
from voicecore.journal import Event, read_events
from voicecore.phone.phone import RunOptions, RunResult, place_calls
from voicecore.phone.script_file import load_script
from voicecore.prepare import prepare
from voicecore.tools.http import HttpToolRunner

SCRIPTED: dict[str, Any] = {
    "name": "test",
    "instructions": "Be brief.",
    "greeting": "Hello there.",
    "recording": True,
    "stt": {"vendor": "scripted", "settings": {"utterances": ["What are your hours?"]}},
    "llm": {"vendor": "scripted", "settings": {"first_token_ms": 20, "token_interval_ms": 2}},
    "tts": {"vendor": "scripted", "settings": {"first_audio_ms": 20}},
    "turn_taking": {"endpointing": {"min_silence_ms": 200}},
}


class Server:
    """A running server: where to call it, and what its calls left."""

    def __init__(self, media: MediaServer, port: int, calls_dir: Path) -> None:
        self.media = media
        self.port = port
        self.calls_dir = calls_dir

    def url(self, carrier: str = "twilio") -> str:
        return f"ws://127.0.0.1:{self.port}/media/{carrier}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call_dirs(self) -> list[Path]:
        return sorted(self.calls_dir.iterdir()) if self.calls_dir.exists() else []

    def events(self, call: int = 0) -> list[Event]:
        return read_events((self.call_dirs()[call] / "events.jsonl").read_bytes())

    def of(self, type_: str, call: int = 0) -> list[Any]:
        return [event.data for event in self.events(call) if event.type == type_]

    def transcript(self, call: int = 0) -> list[dict[str, Any]]:
        return msgspec.json.decode((self.call_dirs()[call] / "transcript.json").read_bytes())


@asynccontextmanager
async def answering(
    tmp_path: Path, settings: Settings | None = None, **agent_fields: Any
) -> AsyncIterator[Server]:
    """Serve the scripted agent with some fields changed. On leaving, the server has stopped and
    its files are written."""
    agent = prepare(parse_agent(yaml.safe_dump({**SCRIPTED, **agent_fields}), "agent.yaml"), {})
    tools = HttpToolRunner(secrets={}, allow_private=True)
    await tools.start()
    clock = MonotonicClock(asyncio.get_running_loop())
    calls_dir = tmp_path / "calls"
    media = MediaServer(agent, settings or Settings(), tools, clock, calls_dir=calls_dir)
    try:
        port = await media.listen("127.0.0.1", 0)
        await agent.start(MULAW_8K, lambda step: None)
        media.entrance.ready = True
        yield Server(media, port, calls_dir)
    finally:
        await media.stop(5.0)
        await agent.stop()
        await tools.stop()


async def call(
    server: Server, steps: list[Any], *, path: str | None = None, **options: Any
) -> RunResult:
    """Call the server with a script. ``options`` are the script's fields, and ``run``, the
    ``RunOptions``."""
    run = options.pop("run", RunOptions())
    script = load_script(yaml.safe_dump({"steps": steps, **options}), folder="/")
    url = server.url(script.carrier) if path is None else f"{server.url(script.carrier)}{path}"
    async with asyncio.timeout(60):
        return await place_calls(url, script, options=run)


def speech_file(folder: Path, duration_ms: int = 1200) -> str:
    """A file that a VAD takes for somebody speaking."""
    import soundfile

    path = folder / f"speech{duration_ms}.wav"
    samples: np.ndarray[Any, Any] = speech_like(8000, duration_ms, 5)
    soundfile.write(path, samples, 8000, subtype="PCM_16")
    return str(path)
