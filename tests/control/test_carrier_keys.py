"""Whose webhooks are taken: where carriers have keys, where none has, and where one is shut."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.doctor import examine
from control.server import Server
from control.settings import Settings
from tests.control.test_serve import NUMBER, SETTINGS, Served
from tests.support.postgres import fresh_database

FORM = {"CallSid": "CA1", "From": "+14155550111", "To": NUMBER}
EVENT = {
    "data": {
        "event_type": "call.initiated",
        "payload": {"call_control_id": "v3:1", "direction": "incoming", "to": NUMBER},
    }
}
AS_TWILIO: dict[str, str] = {}
AS_TELNYX = {"telnyx-signature-ed25519": "AAAA"}
FLAG = "VOICECORE_ALLOW_UNSIGNED_WEBHOOKS"


@asynccontextmanager
async def serving(url: str, tmp_path: Path, **settings: Any) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        given = Settings(database_url=url, **{**SETTINGS, **settings})
        server = await Server.open(given, tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(server.stop, 0)
        served = Served(server, port, session)
        await served.set_up()
        yield served


async def asked(served: Served, headers: dict[str, str], **sent: Any) -> tuple[int, str]:
    """The status and the error's code of a webhook that nobody signed."""
    path = f"http://127.0.0.1:{served.port}/webhooks/calls/inbound"
    async with served.session.post(path, headers=headers, **(sent or {"data": FORM})) as response:
        body = await response.text()
        return response.status, json.loads(body)["error"]["code"] if body[0] == "{" else body


@pytest.mark.parametrize(
    "keys",
    [
        {"twilio_auth_token": "a token"},
        {"twilio_auth_token": "", "telnyx_public_key": "a key"},
    ],
)
async def test_unsigned_ones_come_in_by_no_other_carrier(
    tmp_path: Path, keys: dict[str, str]
) -> None:
    """The caller says which carrier he is: one without a key lets nobody in beside one with it."""
    async with (
        fresh_database() as url,
        serving(url, tmp_path, allow_unsigned_webhooks=True, **keys) as served,
    ):
        for answer in (
            await asked(served, AS_TWILIO),
            await asked(served, AS_TELNYX),
            await asked(served, AS_TWILIO, json=EVENT),
        ):
            assert answer in ((403, "BAD_SIGNATURE"), (403, "CARRIER_NOT_SET_UP"))


async def test_unsigned_ones_come_in_where_no_carrier_has_a_key(tmp_path: Path) -> None:
    trial: dict[str, Any] = {"twilio_auth_token": "", "allow_unsigned_webhooks": True}
    async with fresh_database() as url, serving(url, tmp_path, **trial) as served:
        for headers in (AS_TWILIO, AS_TELNYX):
            status, document = await asked(served, headers)
            assert (status, "<Stream" in document) == (200, True)


@pytest.mark.parametrize(
    ("settings", "standing", "said"),
    [
        ({}, "warning", "anybody"),
        ({"twilio_auth_token": "1" * 32}, "wrong", "does nothing"),
        ({"telnyx_public_key": "A" * 43 + "="}, "wrong", "does nothing"),
    ],
)
async def test_doctor_tells_of_the_flag(
    tmp_path: Path, settings: dict[str, str], standing: str, said: str
) -> None:
    async with fresh_database() as url:
        for allowed in (False, True):
            given = Settings(allow_unsigned_webhooks=allowed, **settings)  # type: ignore[arg-type]
            told = {one.what: one for one in await examine(given, url, tmp_path, {}, ())}
            assert (FLAG in told) == allowed
    assert (told[FLAG].standing, said in told[FLAG].detail) == (standing, True)
