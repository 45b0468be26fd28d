"""Whose webhooks are taken: where carriers have keys, where none has, and where one is shut."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import structlog

from control.db import secrets
from control.db.database import PLATFORM, Connection, Database, Row
from control.doctor import examine
from control.secret_keys import SecretKeys
from control.server import Server
from control.settings import Settings
from control.vault import Vault, rotate
from tests.control.test_doctor_secrets import KEYS, store
from tests.control.test_serve import NUMBER, SETTINGS, Served
from tests.control.test_starting import OTHER_KEYS
from tests.support.media_client import twilio_signature
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


@pytest.mark.parametrize(
    "settings", [{}, {"twilio_auth_token": "", "allow_unsigned_webhooks": True}]
)
async def test_a_stored_key_that_does_not_open_lets_nobody_in(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Nor does the environment's, which may be the one that was replaced because others know it."""
    async with fresh_database() as url:
        await store(url, TWILIO_AUTH_TOKEN="the new one")
        with structlog.testing.capture_logs() as logs:
            async with serving(url, tmp_path, secret_keys=OTHER_KEYS, **settings) as served:
                refused = (503, "CARRIER_KEY_SHUT")
                assert await asked(served, AS_TWILIO) == refused
                if settings:
                    assert await asked(served, AS_TELNYX) == refused
                assert (await served.webhook())[0] == 503
                path = f"ws://127.0.0.1:{served.port}/media/twilio"
                headers = {
                    "X-Twilio-Signature": twilio_signature(
                        str(SETTINGS["twilio_auth_token"]), "wss://voice.example.com/media/twilio"
                    )
                }
                with pytest.raises(aiohttp.WSServerHandshakeError) as no:
                    await served.session.ws_connect(path, headers=headers)
                assert no.value.status == 503
    (told,) = [log for log in logs if log.get("code") == "carrier_key_shut"]
    assert told["log_level"] == "error"
    assert "PUT /admin/secrets" in told["hint"]


async def test_another_carriers_webhooks_are_checked_as_before(tmp_path: Path) -> None:
    async with fresh_database() as url:
        await store(url, TELNYX_PUBLIC_KEY="the new one")
        async with serving(url, tmp_path, secret_keys=OTHER_KEYS) as served:
            status, document = await served.webhook()
            assert (status, "<Stream" in document) == (200, True)
            assert await asked(served, AS_TELNYX) == (503, "CARRIER_KEY_SHUT")


async def test_doctor_tells_of_a_carriers_key_that_does_not_open(tmp_path: Path) -> None:
    shut = Settings(secret_keys=OTHER_KEYS, allow_unsigned_webhooks=True)  # type: ignore[arg-type]
    async with fresh_database() as url:
        await store(url, TWILIO_AUTH_TOKEN="the new one")
        told = {one.what: one for one in await examine(shut, url, tmp_path, {}, ())}
    assert told["TWILIO_AUTH_TOKEN"].standing == "wrong"
    assert "CARRIER_KEY_SHUT" in told["TWILIO_AUTH_TOKEN"].detail
    assert told[FLAG].standing == "wrong"


async def test_a_rotation_between_rows_and_keys_shuts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows do not open with new keys: they are read again before anybody is refused."""
    both, new = f"{OTHER_KEYS},{KEYS}", OTHER_KEYS
    async with fresh_database() as url:
        await store(url, TWILIO_AUTH_TOKEN="the new one")
        database = await Database.open(url, connections=2)
        vault, read = Vault(Settings(), SecretKeys(new, None)), secrets.sealed
        rotated: list[int] = []

        async def read_before(db: Connection, workspace_id: UUID | None) -> Sequence[Row]:
            rows = await read(db, workspace_id)
            if not rotated:
                keyring = SecretKeys(both, None).keyring()
                assert keyring is not None
                async with database.transaction(PLATFORM) as other:
                    rotated.append((await rotate(other, keyring))[0])
            return rows

        monkeypatch.setattr(secrets, "sealed", read_before)
        with structlog.testing.capture_logs() as logs:
            async with database.reading(PLATFORM) as db:
                vault.take(await vault.look(db))
        await database.close()
    assert rotated == [1]
    assert (vault.signing_key("twilio"), logs) == ("the new one", [])
