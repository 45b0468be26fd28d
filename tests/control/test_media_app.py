"""The HTTP side over real sockets: health, answer documents, who is let in."""

import asyncio
import socket
import xml.etree.ElementTree as ElementTree
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from control.settings import Settings
from tests.support.answering import Server, answering
from tests.support.media_client import refused, stream, twilio_signature
from tests.support.waiting import until

AUTH_TOKEN = "an auth token"
PUBLIC = "https://voice.example.com"
TELNYX_START = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "stream-1",
    "start": {
        "call_control_id": "call-1",
        "from": "+15550100",
        "to": "+15550101",
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
    },
}


def settings(**fields: Any) -> Settings:
    return Settings(**fields)


def serving(tmp_path: Path, given: Settings | None = None) -> AbstractAsyncContextManager[Server]:
    """A server whose voice takes no time."""
    tts = {"vendor": "scripted", "settings": {"first_audio_ms": 0, "chunk_interval_ms": 0}}
    return answering(tmp_path, given, tts=tts)


async def get(server: Server, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(f"{server.http}{path}") as answer:
        return answer.status, await answer.text()


async def post(
    server: Server, path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.http}{path}", data=form, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


class TestHealth:
    async def test_health_readiness_and_metrics(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            assert (await get(server, "/healthz"))[0] == 200
            assert (await get(server, "/readyz"))[0] == 200
            status, metrics = await get(server, "/metrics")
            assert status == 200
            assert "voicecore_calls_live 0.0" in metrics
            server.media.entrance.ready = False
            assert (await get(server, "/readyz"))[0] == 503
            assert (await get(server, "/healthz"))[0] == 200

    async def test_live_calls_are_counted(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server, stream(server.url()) as call:
            await call.start()
            await call.until_audio()
            assert "voicecore_calls_live 1.0" in (await get(server, "/metrics"))[1]
            assert '"calls": 1' in (await get(server, "/readyz"))[1]

    async def test_a_server_that_drains_is_not_ready(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            await server.media.calls.drain(0)
            assert (await get(server, "/readyz"))[0] == 503
            assert await refused(server.url()) == 503


class TestAnswer:
    async def test_document_without_signatures(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(public_url=f"{PUBLIC}/")) as server:
            status, body = await post(server, "/answer/twilio", {"CallSid": "CA1"})
        assert status == 200
        found = ElementTree.fromstring(body).find("./Connect/Stream")
        assert found is not None
        assert found.get("url") == "wss://voice.example.com/media/twilio"
        assert not found.findall("Parameter")

    async def test_streams_come_to_the_process_that_answers(self, tmp_path: Path) -> None:
        own = "https://voice-3.example.com"
        form = {"CallSid": "CA1"}
        given = settings(public_url=PUBLIC, streams_url=own, twilio_auth_token=AUTH_TOKEN)
        signature = twilio_signature(AUTH_TOKEN, f"{PUBLIC}/answer/twilio", form)
        async with serving(tmp_path, given) as server:
            headers = {"X-Twilio-Signature": signature}
            status, body = await post(server, "/answer/twilio", form, headers)
            assert status == 200
            assert "wss://voice-3.example.com/media/twilio" in body
            for signed, expected in (("wss://voice-3.example.com", 101), (PUBLIC, 403)):
                signature = twilio_signature(AUTH_TOKEN, f"{signed}/media/twilio")
                came = await refused(server.url(), {"X-Twilio-Signature": signature})
                assert came == expected

    async def test_a_genuine_request_is_answered(self, tmp_path: Path) -> None:
        form = {"CallSid": "CA1", "From": "+15550100"}
        signature = twilio_signature(AUTH_TOKEN, f"{PUBLIC}/answer/twilio", form)
        given = settings(public_url=PUBLIC, twilio_auth_token=AUTH_TOKEN)
        async with serving(tmp_path, given) as server:
            headers = {"X-Twilio-Signature": signature}
            assert (await post(server, "/answer/twilio", form, headers))[0] == 200

    @pytest.mark.parametrize("signature", [None, "", "AAAA", "\u00e9"])
    async def test_any_other_is_refused(self, tmp_path: Path, signature: str | None) -> None:
        given = settings(public_url=PUBLIC, twilio_auth_token=AUTH_TOKEN)
        headers = {} if signature is None else {"X-Twilio-Signature": signature}
        async with serving(tmp_path, given) as server:
            with structlog.testing.capture_logs() as logs:
                status, body = await post(server, "/answer/twilio", {"CallSid": "CA1"}, headers)
            metrics = (await get(server, "/metrics"))[1]
        assert status == 403
        assert '"BAD_SIGNATURE"' in body
        assert [log["code"] for log in logs] == ["bad_signature"]
        assert 'voicecore_streams_refused_total{code="bad_signature"} 1.0' in metrics

    async def test_a_changed_form_is_refused(self, tmp_path: Path) -> None:
        signature = twilio_signature(AUTH_TOKEN, f"{PUBLIC}/answer/twilio", {"CallSid": "CA1"})
        given = settings(public_url=PUBLIC, twilio_auth_token=AUTH_TOKEN)
        async with serving(tmp_path, given) as server:
            headers = {"X-Twilio-Signature": signature}
            assert (await post(server, "/answer/twilio", {"CallSid": "CA2"}, headers))[0] == 403

    async def test_a_huge_form_is_refused(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            assert (await post(server, "/answer/twilio", {"x": "y" * 100_000}))[0] == 413

    @pytest.mark.parametrize(
        ("head", "rest"),
        [
            ("Content-Length: 60000", b""),
            ("Content-Length: 60000", b"x" * 100),
            ("Transfer-Encoding: chunked", b"5\r\nab"),
        ],
    )
    async def test_half_a_form_is_the_peers_fault(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, head: str, rest: bytes
    ) -> None:
        async with serving(tmp_path) as server:
            port = int(server.http.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"POST /answer/twilio HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n".encode() + rest
            )
            writer.write_eof()
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()
            assert (await get(server, "/healthz"))[0] == 200
        assert not [record for record in caplog.records if record.exc_info]

    async def test_half_a_form_is_not_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("control.http.media_app.BODY_TIMEOUT_S", 0.05)
        monkeypatch.setattr("control.http.http_port.LINGER_S", 0.05)
        async with serving(tmp_path) as server:
            port = int(server.http.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /answer/twilio HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
            async with asyncio.timeout(5):
                assert b" 408 " in await reader.readline()
            writer.close()

    @pytest.mark.parametrize("host", ["a b", '"><Dial>', "", "[", "x" * 3000, "x/y?z"])
    async def test_a_host_that_is_none_is_the_peers_fault(self, tmp_path: Path, host: str) -> None:
        async with serving(tmp_path) as server:
            headers = {"Host": host}
            status, body = await post(server, "/answer/twilio", {"CallSid": "CA1"}, headers)
        assert status in (200, 400)
        if status == 200:
            document = ElementTree.fromstring(body)
            assert [element.tag for element in document.iter()] == ["Response", "Connect", "Stream"]

    async def test_unknown_paths_and_methods(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            assert (await get(server, "/answer/twilio"))[0] == 405
            assert (await get(server, "/media/other"))[0] == 404
            assert (await get(server, "/media/twilio"))[0] == 426, "no upgrade"


class TestUpgrade:
    async def test_signed_upgrades_only(self, tmp_path: Path) -> None:
        given = settings(public_url=PUBLIC, twilio_auth_token=AUTH_TOKEN)
        genuine = twilio_signature(AUTH_TOKEN, "wss://voice.example.com/media/twilio")
        other = twilio_signature("another token", "wss://voice.example.com/media/twilio")
        async with serving(tmp_path, given) as server:
            assert await refused(server.url()) == 403
            assert await refused(server.url(), {"X-Twilio-Signature": other}) == 403
            assert await refused(server.url(), {"X-Twilio-Signature": "AAAA"}) == 403
            async with stream(server.url(), {"X-Twilio-Signature": genuine}) as call:
                await call.start()
                await call.until_audio()

    async def test_a_server_that_is_not_ready_takes_nobody(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            server.media.entrance.ready = False
            assert await refused(server.url()) == 503
            metrics = (await get(server, "/metrics"))[1]
        assert 'voicecore_streams_refused_total{code="not_ready"} 1.0' in metrics

    async def test_a_full_server_takes_nobody(self, tmp_path: Path) -> None:
        async with (
            serving(tmp_path, settings(max_calls=1)) as server,
            stream(server.url()) as call,
        ):
            async with stream(server.url()) as late:
                await call.start()
                await call.until_audio()
                assert await refused(server.url()) == 503
                await late.start(1)
                assert await late.closed() == 1008
            await call.say({"event": "stop"})
            assert await call.closed() == 1000
            await until(lambda: not len(server.media.calls))
            assert await refused(server.url()) == 101


class TestCallLog:
    async def test_a_call_is_logged_from_start_to_end(self, tmp_path: Path) -> None:
        with structlog.testing.capture_logs() as logs:
            async with serving(tmp_path) as server, stream(server.url("telnyx")) as call:
                await call.socket.send_json(TELNYX_START)
                await call.until_audio()
                await call.say({"event": "stop"})
                await call.closed()
                await until(lambda: not len(server.media.calls))
        assert [log["event"] for log in logs] == ["call started", "call ended"]
        ended = logs[1]
        for log in logs:
            assert (log["call_id"], log["carrier"]) == ("call-1", "telnyx")
        assert ended["reason"] == "caller_hangup"
        assert 0 <= ended["duration_ms"] < 60_000
        assert ended["files"] == str(server.call_dirs()[0])
        assert "+1555" not in str(logs), "numbers are nobody's business"

    async def test_without_files_none_are_named(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as server:
            server.media._calls_dir = None
            with structlog.testing.capture_logs() as logs:
                async with stream(server.url()) as call:
                    await call.start()
                    await call.until_audio()
                await until(lambda: not len(server.media.calls))
        assert "files" not in logs[-1]


class TestTokens:
    async def test_a_token_is_good_for_one_stream(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(stream_secret="a secret")) as server:
            token = server.media.entrance.mint()["token"]
            async with stream(server.url()) as first, stream(server.url()) as second:
                await first.start(token=token)
                await first.until_audio()
                with structlog.testing.capture_logs() as logs:
                    await second.start(1, token=token)
                    assert await second.closed() == 1008
                assert [log["code"] for log in logs] == ["bad_token"]
                await first.media()
                assert not first.socket.closed

    @pytest.mark.parametrize("token", [None, "", "1.2.3", "\u00e9", "9999999999.00.00"])
    async def test_without_one_nobody_is_answered(self, tmp_path: Path, token: str | None) -> None:
        async with (
            serving(tmp_path, settings(stream_secret="a secret")) as server,
            stream(server.url()) as call,
        ):
            await call.start(**({} if token is None else {"token": token}))
            assert await call.closed() == 1008
            assert not server.call_dirs()

    @pytest.mark.parametrize("path", ["/%ff", "/%ED%A0%80", "/a/b", "/x?y=z"])
    async def test_odd_paths_are_refused(self, tmp_path: Path, path: str) -> None:
        async with serving(tmp_path, settings(stream_secret="a secret")) as server:
            if await refused(server.url() + path) == 404:
                return
            async with stream(server.url() + path) as call:
                await call.start()
                assert await call.closed() == 1008


class TestWaiting:
    async def test_connections_that_say_nothing_are_bounded(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(max_waiting=5)) as server:
            async with AsyncExitStack() as stack:
                logs = stack.enter_context(structlog.testing.capture_logs())
                silent = [await stack.enter_async_context(stream(server.url())) for _ in range(5)]
                call = await stack.enter_async_context(stream(server.url()))
                assert await silent[0].closed() == 1002, "the longest silent one made room"
                assert server.media.entrance.waiting == 5
                await call.start()
                await call.until_audio()
                assert server.media.entrance.waiting == 4, "a call does not wait"
                for _ in range(3):
                    await stack.enter_async_context(stream(server.url()))
                for one in silent[:3]:
                    await one.closed()
                told = [log["event"] for log in logs if log["log_level"] == "warning"]
                assert told == ["silent connections closed"], "one line for a crowd"
            await until(lambda: server.media.entrance.waiting == 0)

    async def test_a_rush_is_bounded_too(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(max_waiting=5)) as server:
            statuses: list[int] = []
            release = asyncio.Event()

            async def come(http: aiohttp.ClientSession) -> None:
                try:
                    async with http.ws_connect(server.url()):
                        statuses.append(101)
                        await release.wait()
                except aiohttp.WSServerHandshakeError as error:
                    statuses.append(error.status)

            connector = aiohttp.TCPConnector(limit=0)
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                asyncio.TaskGroup() as tasks,
            ):
                for _ in range(60):
                    tasks.create_task(come(http))
                await until(lambda: len(statuses) == 60)
                assert statuses.count(101) == 60
                await until(lambda: server.media.entrance.waiting == 5)
                release.set()
            await until(lambda: server.media.entrance.waiting == 0)

    async def test_those_that_leave_make_room(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(max_waiting=1)) as server:
            for _ in range(3):
                async with stream(server.url()):
                    await until(lambda: server.media.entrance.waiting == 1)
                await until(lambda: server.media.entrance.waiting == 0)
            assert 'code="too_many_waiting"} 0.0' in (await get(server, "/metrics"))[1]

    async def test_a_socket_that_breaks_makes_room(self, tmp_path: Path) -> None:
        async with serving(tmp_path, settings(max_waiting=1)) as server:
            with structlog.testing.capture_logs() as logs:
                with socket.create_connection(("127.0.0.1", server.port)) as raw:
                    raw.sendall(
                        b"GET /media/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                    )
                    await until(lambda: server.media.entrance.waiting == 1)
                await until(lambda: server.media.entrance.waiting == 0)
            assert [log["code"] for log in logs] == ["closed_before_start"]
            async with stream(server.url()) as call:
                await call.start()
                await call.until_audio()
