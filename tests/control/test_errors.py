"""Every error in the one form, on both listeners, and what a server that takes no calls says."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import aiohttp
import pytest
import structlog

from control.http.errors import Refusal
from control.settings import Settings
from media.transport import Connection
from tests.support.answering import Server, answering
from tests.support.listeners import listeners
from tests.support.media_client import stream
from tests.support.waiting import until

FAST = {"vendor": "scripted", "settings": {"first_audio_ms": 0, "chunk_interval_ms": 0}}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Answer:
    """A response whose body is an error in the one form, or none."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.headers = headers
        assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-Id"])
        self.code = ""
        if status >= 400:
            assert headers["Content-Type"] == "application/json; charset=utf-8"
            assert set(body) == {"error"}
            assert set(body["error"]) == {"code", "message", "request_id"}
            assert body["error"]["message"]
            assert body["error"]["request_id"] == headers["X-Request-Id"]
            self.code = body["error"]["code"]


async def ask(base: str, method: str, path: str, **options: Any) -> Answer:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{base}{path}", **options) as got,
    ):
        body = await got.json() if got.status >= 400 else None
        return Answer(got.status, got.headers, body)


@asynccontextmanager
async def serving(
    tmp_path: Path, listener: str = "http", **settings: Any
) -> AsyncIterator[tuple[Server, str]]:
    """A server, and the base URL of the listener."""
    async with answering(tmp_path, Settings(**settings), tts=FAST) as server:
        port = server.port
        if listener == "media":
            port = await server.media.listen_for_media("127.0.0.1", 0)
        yield server, f"http://127.0.0.1:{port}"


class TestForm:
    async def test_a_success_has_an_id_too(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as (_, base):
            first, second = [await ask(base, "GET", "/healthz") for _ in range(2)]
        assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]

    @listeners
    async def test_an_unknown_path(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (_, base):
            for path in ("/", "/media/nobody", "/nothing"):
                answer = await ask(base, "GET", path)
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_a_wrong_method(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as (_, base):
            answer = await ask(base, "GET", "/answer/twilio")
            assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
            assert answer.headers["Allow"] == "POST"

    async def test_a_body_too_large(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as (_, base):
            answer = await ask(base, "POST", "/answer/twilio", data=b"x" * 100_000)
        assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")

    @listeners
    @pytest.mark.parametrize("headers", [{}, {"Connection": "Upgrade", "Upgrade": "h2c"}])
    async def test_a_media_path_without_an_upgrade(
        self, tmp_path: Path, listener: str, headers: dict[str, str]
    ) -> None:
        async with serving(tmp_path, listener) as (_, base):
            answer = await ask(base, "GET", "/media/twilio", headers=headers)
        assert (answer.status, answer.code) == (426, "UPGRADE_REQUIRED")
        assert answer.headers["Upgrade"] == "websocket"

    @pytest.mark.parametrize(
        "wrong", [{"Sec-WebSocket-Version": "99"}, {"Sec-WebSocket-Key": "short"}]
    )
    async def test_a_wrong_handshake(self, tmp_path: Path, wrong: dict[str, str]) -> None:
        async with serving(tmp_path) as (_, base):
            answer = await ask(base, "GET", "/media/twilio", headers={**UPGRADE, **wrong})
        assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_every_code_is_in_capitals() -> None:
    """Of HTTP answers; logs and metrics call them by the same words in small letters."""
    found = {
        value
        for package in ("control.http", "control.api")
        for module in walk_packages(import_module(package).__path__, f"{package}.")
        for value in vars(import_module(module.name)).values()
        if isinstance(value, Refusal)
    }
    assert len(found) > 30
    for refusal in found:
        assert re.fullmatch(r"[A-Z][A-Z_]+", refusal.code), refusal
        assert refusal.label == refusal.code.lower()
        assert refusal.message[0].isupper(), refusal


class TestBugs:
    @listeners
    async def test_a_bug_is_logged_and_not_told(
        self, tmp_path: Path, listener: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bug = RuntimeError("the key is 1234")

        def fails(*_: Any) -> None:
            raise bug

        async with serving(tmp_path, listener) as (server, base):
            monkeypatch.setattr(server.media.entrance, "refuses", fails)
            with structlog.testing.capture_logs() as logs:
                answer = await ask(base, "GET", "/media/twilio/a-token", headers=UPGRADE)
        assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
        (log,) = logs
        assert log["log_level"] == "error"
        assert log["exc_info"] is bug
        assert log["request_id"] == answer.headers["X-Request-Id"]
        assert "a-token" not in str(log)

    @listeners
    async def test_a_bug_after_the_upgrade_closes_the_socket(
        self,
        tmp_path: Path,
        listener: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async with serving(tmp_path, listener) as (server, base):
            url = f"{base}/media/twilio".replace("http", "ws", 1)
            with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
                patch.setattr(server.media.entrance, "connect", lambda *_, **__: 1 / 0)
                await self.until_closed(url)
            async with stream(url) as neighbour:
                await neighbour.start()
                await neighbour.until_audio()
        assert [log["event"] for log in logs] == ["stream failed by a bug"]
        assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
        assert re.fullmatch(r"[0-9a-f]{16}", logs[0]["request_id"])
        assert not caplog.records, "once is enough"

    async def until_closed(self, url: str) -> None:
        async with stream(url) as culprit:
            assert await culprit.closed() == 1011

    @listeners
    @pytest.mark.parametrize("begun", [False, True])
    async def test_a_bug_in_a_message_closes_that_socket_alone(
        self, tmp_path: Path, listener: str, begun: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = Connection.message

        def message(self: Connection, data: bytes) -> None:
            if b"a bug" in data:
                raise ZeroDivisionError
            original(self, data)

        monkeypatch.setattr(Connection, "message", message)
        async with serving(tmp_path, listener) as (server, base):
            url = f"{base}/media/twilio".replace("http", "ws", 1)
            async with stream(url) as neighbour, stream(url) as culprit:
                await neighbour.start()
                await neighbour.until_audio()
                if begun:
                    await culprit.start(1)
                    await culprit.until_audio()
                with structlog.testing.capture_logs() as logs:
                    await culprit.say({"event": "a bug"})
                    assert await culprit.closed() == 1011
                    await until(lambda: len(server.media.calls) == 1)
                await neighbour.media()
                assert not neighbour.socket.closed
        (error,) = [log for log in logs if log["log_level"] == "error"]
        assert error["event"] == "stream failed by a bug"
        assert isinstance(error["exc_info"], ZeroDivisionError)
        (closed,) = [log for log in logs if log["event"] == "stream closed"]
        assert closed["code"] == "internal_error"
        assert ("call_id" in closed) is begun
        ended = [log["reason"] for log in logs if log["event"] == "call ended"]
        assert ended == (["internal_error"] if begun else [])


class TestNoCallsAreTaken:
    async def refusals(self, server: Server, base: str, *, answer: bool) -> set[str]:
        """The code of an upgrade and of a webhook, which is one and the same."""
        asked = [await ask(base, "GET", "/media/twilio", headers=UPGRADE)]
        if answer:
            asked += [await ask(base, "POST", f"/answer/{name}") for name in ("twilio", "telnyx")]
        assert {one.status for one in asked} == {503}
        assert all(int(one.headers["Retry-After"]) > 0 for one in asked)
        return {one.code for one in asked}

    @listeners
    async def test_loading(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (server, base):
            server.media.entrance.ready = False
            with structlog.testing.capture_logs() as logs:
                codes = await self.refusals(server, base, answer=listener == "http")
        assert codes == {"NOT_READY"}
        assert {log["code"] for log in logs} == {"not_ready"}

    @listeners
    async def test_draining(self, tmp_path: Path, listener: str) -> None:
        async with serving(tmp_path, listener) as (server, base):
            async with stream(server.url()) as call:
                await call.start()
                await call.until_audio()
                stopping = asyncio.create_task(server.media.stop(60))
                await asyncio.sleep(0)
                codes = await self.refusals(server, base, answer=listener == "http")
                assert not call.socket.closed
                await call.say({"event": "stop"})
            await stopping
        assert codes == {"DRAINING"}

    @listeners
    async def test_full(self, tmp_path: Path, listener: str) -> None:
        async with (
            serving(tmp_path, listener, max_calls=1) as (server, base),
            stream(server.url()) as call,
        ):
            await call.start()
            await call.until_audio()
            assert await self.refusals(server, base, answer=listener == "http") == {"BUSY"}
