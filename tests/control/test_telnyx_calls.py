"""Telnyx' two kinds of webhooks: TeXML's form, and Call Control's events, which are answered
through the REST API, here of a server of ours."""

import base64
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.server import Server
from control.settings import Settings
from tests.control.test_serve import NUMBER, SETTINGS, Served
from tests.support.ed25519 import sign
from tests.support.media_client import PATIENCE_S
from tests.support.postgres import fresh_database
from tests.support.waiting import until

SECRET = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw()
CALL = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
KEY = "an API key"


class Rest:
    """Telnyx' REST API, as far as calls are answered and rejected."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        self.asked.append((request.path, await request.json()))
        return web.json_response({"data": {"result": "ok"}}, status=self.status)


@asynccontextmanager
async def rest_api() -> AsyncIterator[Rest]:
    rest, app = Rest(), web.Application()
    app.router.add_post("/{path:.*}", rest.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield rest
    finally:
        await runner.cleanup()


@asynccontextmanager
async def telnyx(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Served, Rest]]:
    """A server whose numbers are Telnyx', with one live agent."""
    async with fresh_database() as url, rest_api() as rest, AsyncExitStack() as stack:
        given: dict[str, Any] = {
            **SETTINGS,
            "twilio_auth_token": "",
            "telnyx_public_key": base64.b64encode(PUBLIC).decode(),
            "telnyx_api_key": KEY,
            "telnyx_api_url": rest.url,
            **settings,
        }
        server = await Server.open(Settings(database_url=url, **given), tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(server.stop, 0)
        served = Served(server, port, session)
        await served.set_up()
        yield served, rest


def event(kind: str = "call.initiated", to: str = NUMBER, **payload: Any) -> bytes:
    facts = {
        "call_control_id": CALL,
        "direction": "incoming",
        "from": "+14155550111",
        "to": to,
        **payload,
    }
    data = {"record_type": "event", "event_type": kind, "id": "e-1", "payload": facts}
    return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()


async def post(
    served: Served, body: bytes, content_type: str = "application/json", *, signed: bool = True
) -> tuple[int, str]:
    """As Telnyx does: signed over the time and the body."""
    stamp = str(int(time.time()))
    signature = sign(SECRET, f"{stamp}|".encode() + body) if signed else bytes(64)
    headers = {
        "Content-Type": content_type,
        "telnyx-timestamp": stamp,
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
    }
    path = f"http://127.0.0.1:{served.port}/webhooks/calls/inbound"
    async with served.session.post(path, data=body, headers=headers) as response:
        return response.status, await response.text()


async def talk(served: Served, stream_url: str) -> None:
    """The stream comes to the URL that was given, and the agent is heard on it."""
    path = stream_url.removeprefix("wss://voice.example.com")
    url = f"ws://127.0.0.1:{served.port}{path}"
    start = {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "s-1",
        "start": {
            "call_control_id": CALL,
            "from": "+14155550111",
            "to": NUMBER,
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
    }
    async with served.session.ws_connect(url) as socket:
        await socket.send_str(json.dumps({"event": "connected", "version": "1.0.0"}))
        await socket.send_str(json.dumps(start))
        while True:
            message = await socket.receive(PATIENCE_S)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            if message.json()["event"] == "media":
                return


async def test_an_event_is_answered_through_the_rest_api(tmp_path: Path) -> None:
    async with telnyx(tmp_path) as (served, rest):
        assert (await post(served, event()))[0] == 200
        ((path, body),) = rest.asked
        assert path == f"/v2/calls/{CALL}/actions/answer"
        assert (body["command_id"], body["stream_bidirectional_codec"]) == ("answer-e-1", "PCMU")
        await talk(served, body["stream_url"])
        await until(lambda: not served.server.calls.live())
        await served.server.sink.flushed()
        (call,) = await served.rows("SELECT carrier, carrier_call_id, status FROM calls")
        assert tuple(call) == ("telnyx", CALL, "completed")


async def test_a_call_that_nobody_answers_is_rejected(tmp_path: Path) -> None:
    async with telnyx(tmp_path) as (served, rest):
        assert (await post(served, event(to="+14155550199")))[0] == 200
        ((path, body),) = rest.asked
        assert path == f"/v2/calls/{CALL}/actions/reject"
        assert body == {"cause": "CALL_REJECTED", "command_id": "reject-e-1"}


@pytest.mark.parametrize(
    "body",
    [
        event("call.hangup"),
        event("call.answered"),
        event(direction="outgoing"),
    ],
)
async def test_other_events_ask_for_nothing(tmp_path: Path, body: bytes) -> None:
    async with telnyx(tmp_path) as (served, rest):
        assert (await post(served, body))[0] == 200
        assert rest.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"data": 1}',
        b'{"data": {"payload": {}}}',
        event(to=NUMBER + "\0"),
        event(**{"from": "\0"}),
        event(call_control_id="v3:\0"),
        event(call_control_id=""),
        event(to="\ud800"),
    ],
)
async def test_what_is_no_event_is_refused(tmp_path: Path, body: bytes) -> None:
    async with telnyx(tmp_path) as (served, _):
        status, text = await post(served, body)
        assert (status, "BAD_WEBHOOK" in text) == (400, True)


async def test_who_does_not_sign_is_refused(tmp_path: Path) -> None:
    async with telnyx(tmp_path) as (served, rest):
        status, text = await post(served, event(), signed=False)
        assert (status, "BAD_SIGNATURE" in text, rest.asked) == (403, True, [])


async def test_telnyx_that_refuses_leaves_the_call_to_the_fallback(tmp_path: Path) -> None:
    async with telnyx(tmp_path) as (served, rest):
        rest.status = 422
        assert (await post(served, event()))[0] == 503


async def test_a_codec_that_cannot_be_asked_for(tmp_path: Path) -> None:
    async with telnyx(tmp_path, telnyx_outbound_codec="L16") as (served, rest):
        assert (await post(served, event()))[0] == 503
        assert rest.asked == []


async def test_texml_is_answered_with_a_document(tmp_path: Path) -> None:
    async with telnyx(tmp_path) as (served, rest):
        form = b"CallSid=v3%3Aabc&From=%2B14155550111&To=%2B14155550100"
        status, document = await post(served, form, "application/x-www-form-urlencoded")
        assert (status, rest.asked) == (200, [])
        match = re.search(r'<Stream url="([^"]+)"', document)
        assert match, document
        await talk(served, match[1])
