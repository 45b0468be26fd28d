import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.agent_tools import call, http_tool, tools_of
from tests.support.refusing import refusing_port
from voicecore.tools import http
from voicecore.tools.http import MAX_BODY_BYTES, HttpToolRunner
from voicecore.tools.requests import HttpCall, ToolResult

TOKEN = 'token-5f0c"9'
SECRETS = {"TOKEN": TOKEN}


class Api:
    """A tool's server on loopback; remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{name:(?s:.*)}", self._handle)
        self.server = TestServer(app)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}{path}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, dict(request.headers), body))
        self.asked.set()
        handler = getattr(self, f"_{request.match_info['name'].split('/')[0]}")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _json(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"order": {"items": [{"name": "tea"}], "n": 2}, "big": "x" * 500})

    async def _text(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            body="ä is text".encode("latin-1"),
            headers={"Content-Type": "text/plain; charset=iso-8859-1"},
        )

    async def _empty(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def _error(self, request: web.Request) -> web.StreamResponse:
        said = request.headers.get("Authorization", "") + " failed " + "y" * 5000
        return web.Response(status=500, text=said)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(request.headers))

    async def _html(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="<p>log in</p>", content_type="text/html")

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x00\x01", content_type="application/octet-stream")

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text='{"a": ', content_type="application/json")

    async def _deep(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="[" * 100_000, content_type="application/json")

    async def _gzip(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=b"\x1f\x8b0000", headers=headers)

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"z" * 65_536)
        return response

    async def _exact(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="e" * MAX_BODY_BYTES)

    async def _silent(self, request: web.Request) -> web.StreamResponse:
        await self.release.wait()
        return web.Response(text="late")

    async def _stalls(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"beginning")
        await self.release.wait()
        return response

    async def _short(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return response

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        status = int(request.query["status"])
        return web.Response(status=status, headers={"Location": request.query["to"]})

    async def _loop(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/loop"})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    await api.server.start_server()
    yield api
    api.release.set()
    await api.server.close()


@pytest.fixture
async def runner() -> AsyncIterator[HttpToolRunner]:
    runner = HttpToolRunner(secrets=SECRETS, allow_private=True)
    await runner.start()
    yield runner
    await runner.stop()


def request(url: str, **fields: Any) -> HttpCall:
    headers = {"Authorization": "Bearer ${TOKEN}"}
    tool = http_tool(**{"url": url, "headers": headers, "method": "GET", **fields})
    found = tools_of(tool).validate(call("find", '{"id": "7"}'))
    assert isinstance(found, HttpCall), found
    return found


def detail(result: ToolResult) -> str:
    told = json.loads(result.text)
    assert told["error"] == result.error
    text: str = told["detail"]
    return text


async def test_json_answers(api: Api, runner: HttpToolRunner) -> None:
    result = await runner.run(request(api.url("/json"), method="POST"))
    assert (result.call_id, result.name, result.error) == ("c1", "find", "")
    assert json.loads(result.text)["order"]["n"] == 2
    method, path, headers, body = api.requests[0]
    assert (method, path, body) == ("POST", "/json", b'{"id":"7"}')
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"


async def test_result_paths(api: Api, runner: HttpToolRunner) -> None:
    for path, text in (("order.items.0.name", "tea"), ("order.n", "2"), ("order.items.0", None)):
        result = await runner.run(request(api.url("/json"), result_path=path))
        assert result.text == (text or '{"name":"tea"}')
    for path in ("order.x", "order.items.1", "order.items.-1", "order.n.x", "big.0"):
        result = await runner.run(request(api.url("/json"), result_path=path))
        assert result.error == "no_such_result"
        assert path in detail(result)


async def test_text_answers_and_empty_ones(api: Api, runner: HttpToolRunner) -> None:
    assert (await runner.run(request(api.url("/text")))).text == "ä is text"
    assert (await runner.run(request(api.url("/empty")))).text == '{"status":204}'


async def test_long_results_are_cut(api: Api, runner: HttpToolRunner) -> None:
    result = await runner.run(request(api.url("/json"), result_limit_bytes=100))
    assert result.error == ""
    assert result.text.endswith("bytes in all]")
    assert len(result.text) < 150


async def test_errors_of_the_server(api: Api, runner: HttpToolRunner) -> None:
    result = await runner.run(request(api.url("/error")))
    assert result.error == "http_status"
    assert detail(result).startswith(
        "the tool's server answered with status 500: Bearer *** failed"
    )
    assert len(result.text) < 800


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/html", "wrong_content_type"),
        ("/bytes", "wrong_content_type"),
        ("/broken", "bad_response"),
        ("/deep", "bad_response"),
        ("/gzip", "bad_response"),
        ("/short", "bad_response"),
        ("/huge", "result_too_large"),
        ("/loop", "redirect_refused"),
    ],
)
async def test_unusable_answers(api: Api, runner: HttpToolRunner, path: str, error: str) -> None:
    result = await runner.run(request(api.url(path)))
    assert result.error == error
    assert detail(result)


async def test_the_largest_answer_is_still_read(api: Api, runner: HttpToolRunner) -> None:
    result = await runner.run(request(api.url("/exact"), result_limit_bytes=131_072))
    assert result.error == ""
    assert f"{MAX_BODY_BYTES} bytes in all" in result.text


@pytest.mark.parametrize("path", ["/silent", "/stalls"])
async def test_one_deadline_for_everything(api: Api, runner: HttpToolRunner, path: str) -> None:
    result = await runner.run(request(api.url(path), timeout_ms=150))
    assert result.error == "timeout"
    assert "150 ms" in detail(result)


async def test_cancelling_a_run_ends_it(api: Api, runner: HttpToolRunner) -> None:
    task = asyncio.ensure_future(runner.run(request(api.url("/silent"))))
    async with asyncio.timeout(5):
        await api.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_server(runner: HttpToolRunner) -> None:
    with refusing_port() as port:
        result = await runner.run(request(f"http://127.0.0.1:{port}/x"))
    assert result.error == "connect_failed"


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (307, "POST", "POST", b'{"id":"7"}'),
        (308, "POST", "POST", b'{"id":"7"}'),
        (302, "GET", "GET", b""),
    ],
)
async def test_redirects_within_the_server(
    api: Api, runner: HttpToolRunner, status: int, method: str, then: str, body: bytes
) -> None:
    url = api.url(f"/redirect?status={status}&to=/json%3Fa=1")
    result = await runner.run(request(url, method=method))
    assert result.error == ""
    assert [each[0] for each in api.requests] == [method, then]
    assert api.requests[1][1] == "/json?a=1"
    assert api.requests[1][3] == body
    assert ("Content-Type" in api.requests[1][2]) == bool(body)


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.2:{port}/json",
        "http://localhost:{port}/json",
        "https://127.0.0.1:{port}/",
        "//evil.example/x",
        "http://user:pw@127.0.0.1:{port}/json",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:1/json",
        "http://[bad",
        "javascript:alert(1)",
    ],
)
async def test_redirects_to_elsewhere_are_refused(
    api: Api, runner: HttpToolRunner, to: str
) -> None:
    target = to.format(port=api.server.port).replace(":", "%3A").replace("/", "%2F")
    target = target.replace("[", "%5B").replace("@", "%40")
    result = await runner.run(request(api.url(f"/redirect?status=302&to={target}")))
    assert result.error in ("redirect_refused", "bad_response")
    assert len(api.requests) == 1


async def test_secrets_are_sent_but_never_shown(
    api: Api, runner: HttpToolRunner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = request(api.url("/echo"))
    result = await runner.run(made)
    assert json.loads(result.text)["Authorization"] == "Bearer ***"
    failing = await runner.run(request(api.url("/error")))
    shown = f"{made!r}{result!r}{failing!r}{runner!r}{caplog.text}"
    assert "token-5f0c" not in shown
    assert "token-5f0c" in api.requests[0][2]["Authorization"]


async def test_half_a_secret_is_not_shown_either(api: Api, runner: HttpToolRunner) -> None:
    whole = (await runner.run(request(api.url("/echo")))).text
    for limit in range(100, len(whole) + 10):
        result = await runner.run(request(api.url("/echo"), result_limit_bytes=limit))
        assert "token" not in result.text


async def test_each_is_lent_its_own_secrets(api: Api, runner: HttpToolRunner) -> None:
    first, second = runner.lending({"TOKEN": "first-one"}), runner.lending({"TOKEN": "second-one"})
    for lent in (first, second):
        result = await lent.run(request(api.url("/echo")))
        assert json.loads(result.text)["Authorization"] == "Bearer ***"
    sent = [headers["Authorization"] for _, _, headers, _ in api.requests]
    assert sent == ["Bearer first-one", "Bearer second-one"]
    nobodys = await runner.lending({}).run(request(api.url("/echo")))
    assert (nobodys.error, len(api.requests)) == ("secret_missing", 2)


async def test_a_missing_secret_sends_nothing(api: Api) -> None:
    runner = HttpToolRunner(secrets={}, allow_private=True)
    await runner.start()
    result = await runner.run(request(api.url("/json")))
    await runner.stop()
    assert result.error == "secret_missing"
    assert "TOKEN" in detail(result)
    assert api.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
async def test_private_addresses_are_refused(api: Api, host: str) -> None:
    runner = HttpToolRunner(secrets=SECRETS)
    await runner.start()
    result = await runner.run(request(f"http://{host}:{api.server.port}/json"))
    await runner.stop()
    assert result.error == "address_refused"
    assert api.requests == []


async def test_a_redirect_cannot_reach_a_private_address(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is made again for every hop: here the first hop is let through."""
    checked: list[str] = []

    def public_once(address: str) -> bool:
        checked.append(address)
        return len(checked) == 1

    monkeypatch.setattr(http, "is_public", public_once)
    runner = HttpToolRunner(secrets=SECRETS)
    await runner.start()
    result = await runner.run(request(api.url("/redirect?status=302&to=/json")))
    await runner.stop()
    assert result.error == "address_refused"
    assert len(api.requests) == 1


async def test_injection_through_arguments_stays_in_its_place(
    api: Api, runner: HttpToolRunner
) -> None:
    tool = http_tool(url=api.url("/json/{id}/end?k={id}"), method="GET")
    tools = tools_of(tool)
    for value in ("a/../../b", "x?y=1#z", "@evil.example", "a\r\nX: y", "%2e%2e", "é 日本"):
        found = tools.validate(call("find", json.dumps({"id": value})))
        if value == "a/../../b":
            assert not isinstance(found, HttpCall)
            continue
        assert isinstance(found, HttpCall)
        assert (await runner.run(found)).error == ""
        path = api.requests[-1][1]
        assert path.startswith("/json/")
        assert path.split("?")[0].endswith("/end")
        assert path.count("/") == 3
        assert "X" not in api.requests[-1][2]


async def test_a_runner_must_be_started_and_stops_twice() -> None:
    runner = HttpToolRunner(secrets=SECRETS, allow_private=True)
    with pytest.raises(RuntimeError):
        await runner.run(request("http://127.0.0.1:1/"))
    await runner.start()
    await runner.stop()
    await runner.stop()
