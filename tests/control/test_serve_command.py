"""``voicecore serve`` and its data directory, which is one server's at a time."""

import asyncio
import fcntl
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from control import cli
from control.server import DataDirTaken, Server
from control.settings import Settings
from tests.control.test_serve import SETTINGS
from tests.support.postgres import fresh_database


async def test_a_data_directory_is_one_servers(tmp_path: Path) -> None:
    """The second one would take the first one's live calls for left behind, and its facts."""
    async with fresh_database() as url:
        settings = Settings(database_url=url, **SETTINGS)
        async with AsyncExitStack() as stack:
            await Server.open(settings, tmp_path, stack)
            for _ in range(2):
                async with AsyncExitStack() as second:
                    with pytest.raises(DataDirTaken, match=f"{tmp_path} is another server's"):
                        await Server.open(settings, tmp_path, second)
            async with AsyncExitStack() as elsewhere:
                await Server.open(settings, tmp_path / "another", elsewhere)
        async with AsyncExitStack() as stack:
            await Server.open(settings, tmp_path, stack)  # the first one is gone


async def test_other_commands_work_beside_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ("admin", "create", "--email", "boss@example.com", "--password", "Boss-Pass-1")
    async with fresh_database() as url, AsyncExitStack() as stack:
        await Server.open(Settings(database_url=url, **SETTINGS), tmp_path, stack)
        monkeypatch.setenv("VOICECORE_DATABASE_URL", url)
        for command in (("migrate",), create, ("seed", "demo")):
            words = [*command, "--data-dir", str(tmp_path)]
            assert await asyncio.to_thread(cli.main, words) == 0, capsys.readouterr()


async def test_the_command_says_who_has_the_directory(tmp_path: Path) -> None:
    with (tmp_path / "server.lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        options = ("--port", "0", "--json", "--data-dir", str(tmp_path))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control.cli", "serve", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
    assert process.returncode == 1, printed
    said = json.loads(printed.splitlines()[-1])
    assert said["detail"] == f"{tmp_path} is another server's (process 4711)"
    assert "--data-dir" in said["hint"]
    assert not (tmp_path / "postgres").exists()
