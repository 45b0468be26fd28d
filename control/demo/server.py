"""The demonstration's server: a ``voicecore answer`` process and what it reports."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0


class ServerFailed(Exception):
    """The server did not come up; the text is its own last word."""


class AnswerProcess:
    """A server of its own on a free port, for one demonstration."""

    def __init__(self, agent_file: Path, calls_dir: Path, log_file: Path) -> None:
        self._agent_file = agent_file
        self._calls_dir = calls_dir
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._follower: asyncio.Task[None] | None = None

    async def start(self, progress: Callable[[str], None]) -> str:
        """Start it and wait until it is ready; returns the URL to call.

        :raises ServerFailed: it ended, or took too long."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control.cli", "answer", str(self._agent_file)),
            *("--port", "0", "--calls-dir", str(self._calls_dir), "--json"),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "VOICECORE_DRAIN_TIMEOUT_S": "2"},
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self._until_ready(progress)
        except TimeoutError:
            raise ServerFailed("the server did not become ready in time") from None

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._follower is not None:
            await self._follower

    async def _until_ready(self, progress: Callable[[str], None]) -> str:
        assert self._process is not None
        lines = self._process.stderr
        assert lines is not None
        last = ""
        with self._log_file.open("w") as log:
            while line := (await lines.readline()).decode(errors="replace"):
                log.write(line)
                entry = _entry(line)
                last = entry.get("detail") or entry.get("event") or line.strip() or last
                if "step" in entry:
                    progress(entry["step"])
                if entry.get("event") == "ready":
                    self._follower = asyncio.create_task(self._follow(lines))
                    return entry["url"]
        raise ServerFailed(last)

    async def _follow(self, lines: asyncio.StreamReader) -> None:
        with self._log_file.open("a") as log:
            while line := await lines.readline():
                log.write(line.decode(errors="replace"))
                log.flush()


def _entry(line: str) -> dict[str, str]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
