"""What `voicecore serve` says when it starts, and when it cannot."""

import asyncio
import base64
import json
import os
import socket
import sys
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from control.commands import serve
from control.db.database import PLATFORM, Database
from control.mail import Mail
from control.server import DatabaseAway, Server
from control.settings import Settings
from tests.control.test_doctor_secrets import KEYS, store
from tests.control.test_serve import SETTINGS
from tests.support.postgres import fresh_database

OTHER_KEYS = "other:" + base64.b64encode(bytes(32)).decode()


async def printed(*options: str, **environ: str) -> tuple[int | None, list[dict[str, Any]], str]:
    """Of `voicecore serve`: its exit status, its log and what else it said."""
    return await printed_by("serve", *options, **environ)


async def printed_by(
    command: str, *options: str, **environ: str
) -> tuple[int | None, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control.cli", command, "--json", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )
    said = (await process.communicate())[0].decode().splitlines()
    logs = [json.loads(line) for line in said if line.startswith("{")]
    return process.returncode, logs, "\n".join(line for line in said if not line.startswith("{"))


async def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, logs, rest = await printed("--port", port, "--data-dir", str(tmp_path))
    assert (status, rest) == (1, "")
    (told,) = logs
    assert (told["event"], "--port" in told["hint"]) == ("cannot listen", True)
    assert os.listdir(tmp_path) == []


async def test_a_misspelt_setting_is_told_beside_a_wrong_one(tmp_path: Path) -> None:
    status, logs, rest = await printed(
        *("--data-dir", str(tmp_path)),
        VOICECORE_PUBLIK_URL="https://voice.example.com",
        VOICECORE_DRAIN_TIMEOUT_S="soon",
    )
    assert (status, rest) == (2, "VOICECORE_DRAIN_TIMEOUT_S: must be a number")
    (told,) = logs
    assert told["variable"] == "VOICECORE_PUBLIK_URL"
    assert told["hint"] == "did you mean VOICECORE_PUBLIC_URL"


async def test_the_engine_alone_tells_a_misspelt_setting_too(tmp_path: Path) -> None:
    missing = str(tmp_path / "agent.yaml")
    status, logs, rest = await printed_by("answer", missing, VOICECORE_STREM_SECRET="hunter2")
    assert (status, missing in rest) == (2, True)
    (told,) = logs
    assert told["hint"] == "did you mean VOICECORE_STREAM_SECRET"
    assert "hunter2" not in repr(logs)


async def test_a_database_that_is_away_is_named(tmp_path: Path) -> None:
    url = "postgresql://nobody:hunter2@127.0.0.1:9/none"
    async with AsyncExitStack() as stack:
        with pytest.raises(DatabaseAway) as caught:
            await Server.open(Settings(database_url=url, **SETTINGS), tmp_path, stack)
    said = str(caught.value)
    assert said.startswith("127.0.0.1:9/none: ")
    assert "VOICECORE_DATABASE_URL" in said
    assert "nobody" not in said
    assert "hunter2" not in said


async def opened(url: str, data_dir: Path, keys: str) -> list[dict[str, Any]]:
    """What the log says of a server that is opened, and looks twice at what is stored."""
    settings = Settings(database_url=url, secret_keys=keys, **SETTINGS)
    with structlog.testing.capture_logs() as logs:
        async with AsyncExitStack() as stack:
            server = await serve._opened(Namespace(data_dir=data_dir), settings, stack)
            assert server is not None
            async with server.plane.db.reading(PLATFORM) as db:
                await server.plane.vault.look(db)
    return [log for log in logs if log["log_level"] in ("warning", "error")]


async def test_secrets_whose_key_is_gone_are_told_once(tmp_path: Path) -> None:
    async with fresh_database() as url:
        await store(url, OPENAI_API_KEY="one", TWILIO_AUTH_TOKEN="two")
        shut = await opened(url, tmp_path, OTHER_KEYS)
        assert await opened(url, tmp_path, f"{OTHER_KEYS},{KEYS}") == []
    (told,) = [log for log in shut if log.get("code") == "secrets_shut"]
    assert told["log_level"] == "warning"
    assert told["detail"] == "some of 2 stored do not open"
    assert told["hint"] == "Bring the keys back that they were encrypted with: here"
    assert len(shut) == 3, "and each by itself"


async def test_links_in_mails_lead_to_where_the_server_listens(tmp_path: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "public_url"}
    async with fresh_database() as url, AsyncExitStack() as stack:
        server = await Server.open(Settings(database_url=url, **settings), tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        assert server.plane.portal.url == f"http://127.0.0.1:{port}"
        await server.stop(0)


async def test_the_log_says_where_a_mail_is_and_not_what_is_in_it(tmp_path: Path) -> None:
    async with fresh_database() as url, AsyncExitStack() as stack:
        plane = (await Server.open(Settings(database_url=url), tmp_path, stack)).plane
        with structlog.testing.capture_logs() as logs:
            plane.mailer.send(Mail("me@example.com", "A subject", "hunter2"))
            await plane.mailer.flush()
    (told,) = [log for log in logs if "file" in log]
    (mail,) = os.listdir(tmp_path / "outbox")
    assert told["file"] == str(tmp_path / "outbox" / mail)
    for part in ("hunter2", "me@example.com", "A subject"):
        assert part not in repr(logs)


class CancelledOnce:
    """A connection at which one statement is cancelled, though it has its effect."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.said: list[str] = []

    def is_closed(self) -> bool:
        return False

    async def execute(self, statement: str) -> None:
        self.said.append(statement.partition(";")[0])
        if self.said[-1] == self.at:
            raise asyncio.CancelledError


class Pool:
    def __init__(self, connection: CancelledOnce) -> None:
        self._connection = connection

    def acquire(self, timeout: float) -> "Pool":
        return self

    async def __aenter__(self) -> CancelledOnce:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("at", ["BEGIN", "COMMIT"])
async def test_no_connection_goes_back_in_a_transaction(at: str) -> None:
    """Else the pool complains when the server is stopped just then."""
    connection = CancelledOnce(at)
    database = Database(Pool(connection))  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        async with database.transaction(PLATFORM):
            pass
    assert connection.said[-2:] == [at, "ROLLBACK"]
