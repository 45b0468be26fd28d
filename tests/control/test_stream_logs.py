"""What the log says of streams and connections that are not answered."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from control.http.crowd_log import IN_FULL, WINDOW_MS, CrowdLog
from control.settings import Settings
from tests.support.answering import Server, answering
from tests.support.listeners import listeners
from tests.support.media_client import refused, stream
from tests.support.virtual_loop import VirtualClock, run_virtual
from tests.support.waiting import until

FAST = {"vendor": "scripted", "settings": {"first_audio_ms": 0, "chunk_interval_ms": 0}}


def serving(tmp_path: Path, **settings: Any) -> Any:
    return answering(tmp_path, Settings(**settings), tts=FAST)


async def url_of(server: Server, listener: str) -> str:
    port = server.port
    if listener == "media":
        port = await server.media.listen_for_media("127.0.0.1", 0)
    return f"ws://127.0.0.1:{port}/media/twilio"


class TestCrowdLog:
    def test_the_first_in_full_and_the_rest_counted(self) -> None:
        async def main() -> None:
            crowd = CrowdLog(VirtualClock(asyncio.get_running_loop()))
            for number in range(1000):
                crowd.warning("stream closed", "start_timeout", number=number)
            crowd.warning("stream closed", "bad_token", number=0)
            assert [log["number"] for log in logs] == [*range(IN_FULL), 0]
            await asyncio.sleep(WINDOW_MS / 1000 + 0.01)
            assert len(logs) == IN_FULL + 2, "a code that was told in full has no more"
            assert (logs[-1]["code"], logs[-1]["count"]) == ("start_timeout", 1000 - IN_FULL)
            assert logs[-1]["of"] == "stream closed"
            crowd.warning("stream closed", "start_timeout", number=7)
            assert logs[-1]["number"] == 7, "later ones are told anew"
            crowd.close()

        with structlog.testing.capture_logs() as logs:
            run_virtual(main)
        assert len(logs) == IN_FULL + 3

    def test_the_end_tells_what_was_left_out(self) -> None:
        async def main() -> None:
            crowd = CrowdLog(VirtualClock(asyncio.get_running_loop()))
            for _ in range(3):
                crowd.warning("silent connections closed", "x", in_full=1)
            crowd.close()
            crowd.close()

        with structlog.testing.capture_logs() as logs:
            run_virtual(main)
        assert [log.get("count") for log in logs] == [None, 2]


@listeners
async def test_a_crowd_of_streams_is_summarised(tmp_path: Path, listener: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(tmp_path) as server, AsyncExitStack() as stack:
            url = await url_of(server, listener)
            silent = [await stack.enter_async_context(stream(url)) for _ in range(IN_FULL + 5)]
            for connection in list(server.media.entrance._waiting):
                connection._start_timeout()
            for one in silent:
                assert await one.closed() == 1008
    assert [log["event"] for log in logs] == ["stream closed"] * IN_FULL + ["the same again"]
    assert {log["code"] for log in logs} == {"start_timeout"}
    assert logs[-1]["count"] == 5


async def test_connections_without_a_request_are_summarised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.http.http_port.HEAD_TIMEOUT_S", 0.1)
    with structlog.testing.capture_logs() as logs:
        async with serving(tmp_path) as server:
            peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
            async with asyncio.timeout(10):
                for reader, writer in peers:
                    assert await reader.read() == b""
                    writer.close()
    first, rest = logs
    assert (first["event"], first["code"]) == ("silent connections closed", "request_timeout")
    assert rest["count"] == 19


async def test_those_that_are_shed_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.http.http_port.MAX_NEWCOMERS", 2)
    with structlog.testing.capture_logs() as logs:
        async with serving(tmp_path) as server:
            peers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
            async with asyncio.timeout(10):
                assert await peers[0][0].read() == b""
            for _, writer in peers:
                writer.close()
    assert [(log["event"], log["code"]) for log in logs] == [
        ("silent connections closed", "too_many_waiting")
    ]


@listeners
async def test_a_fault_in_a_call_names_the_call(tmp_path: Path, listener: str) -> None:
    async with serving(tmp_path) as server, stream(await url_of(server, listener)) as call:
        await call.start(7)
        await call.until_audio()
        with structlog.testing.capture_logs() as logs:
            await call.socket.send_str("nonsense")
            assert await call.closed() == 1002
            await until(lambda: not len(server.media.calls))
    (closed,) = [log for log in logs if log["event"] == "stream closed"]
    assert closed["code"] == "malformed_message"
    assert closed["call_id"] == f"CA{7:032}"
    assert closed["stream_id"] == f"MZ{7:032}"


@pytest.mark.parametrize("why", ["missing", "forged", "used"])
async def test_why_a_token_is_bad_is_told(tmp_path: Path, why: str) -> None:
    async with serving(tmp_path, stream_secret="a secret") as server:
        token = server.media.entrance.mint()["token"]
        if why == "used":
            async with stream(server.url()) as first:
                await first.start(1, token=token)
                await first.until_audio()
        given = {"missing": "", "forged": token[:-4] + "beef", "used": token}[why]
        async with stream(server.url()) as call:
            with structlog.testing.capture_logs() as logs:
                await call.start(token=given)
                assert await call.closed() == 1008
        (closed,) = [log for log in logs if log["event"] == "stream closed"]
        assert (closed["code"], closed["detail"]) == ("bad_token", why)
        assert closed["call_id"] == f"CA{0:032}"
        assert token.rpartition(".")[2][:8] not in str(logs)


async def test_a_refused_request_can_be_found_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        server.media.entrance.ready = False
        with structlog.testing.capture_logs() as logs:
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{server.http}/answer/twilio") as answer,
            ):
                request_id = answer.headers["X-Request-Id"]
            assert await refused(server.url()) == 503
    assert [log["event"] for log in logs] == ["request refused"] * 2
    assert logs[0]["request_id"] == request_id
    assert logs[1]["request_id"] not in ("", request_id)
    assert {log["peer"] for log in logs} == {"127.0.0.1"}


async def test_loading_is_no_lag(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        lag = server.media.metrics.loop_lag

        def observed() -> float:
            (metric,) = lag.collect()
            return next(one.value for one in metric.samples if one.name.endswith("_count"))

        await asyncio.sleep(0.05)
        assert observed() == 0, "the agent is being loaded"
        server.media.ready()
        await until(lambda: observed() > 0)
