"""``voicecore answer`` says what keeps it from starting, and what to do."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


async def answer(*argv: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control.cli", "answer", *argv),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "VOICECORE_PUBLIC_URL": ""},
    )
    async with asyncio.timeout(60):
        _, printed = await process.communicate()
    return process.returncode, printed.decode()


async def test_a_port_that_is_taken_is_told_with_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, printed = await answer(
            str(EXAMPLES / "scripted.yaml"), "--port", port, "--no-files", "--json"
        )
    assert status == 1
    (line,) = [line for line in printed.splitlines() if "cannot listen" in line]
    said = json.loads(line)
    assert port in said["detail"]
    assert "--port" in said["hint"]
