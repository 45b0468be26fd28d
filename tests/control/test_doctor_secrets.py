"""``voicecore doctor`` and keys that are stored: they open, and they are tried."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import BasicAuth, web

from control.db.database import PLATFORM, Database
from control.doctor import examine
from control.findings import Finding, Key
from control.secret_keys import SecretKeys
from control.settings import Settings
from control.vault import Vault
from tests.support.postgres import fresh_database

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEYS = "here:" + base64.b64encode(bytes(range(32))).decode()
SID, TOKEN = "AC" + "0" * 32, "1" * 32


@asynccontextmanager
async def vendors() -> AsyncIterator[str]:
    """Twilio and another vendor, who each know one key."""

    async def account(request: web.Request) -> web.Response:
        sent = BasicAuth.decode(request.headers["Authorization"])
        known = (sent.login, sent.password) == (SID, TOKEN)
        return web.json_response({"sid": SID}, status=200 if known else 401)

    async def models(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Bearer stored"
        return web.Response(status=200 if known else 401)

    app = web.Application()
    app.router.add_get(f"/2010-04-01/Accounts/{SID}.json", account)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def store(url: str, **values: str) -> None:
    vault = Vault(Settings(), SecretKeys(KEYS, None))
    database = await Database.open(url, connections=1)
    async with database.transaction(PLATFORM) as db:
        for name, value in values.items():
            await vault.put(db, None, name, value, NOW, updated_by="me")
    await database.close()


async def look(url: str, data_dir: Path, *keys: Key, **settings: str) -> dict[str, Finding]:
    given = Settings.model_validate({"database_url": url, **settings})
    return {one.what: one for one in await examine(given, url, data_dir, {}, keys)}


@pytest.mark.parametrize(("token", "standing"), [(TOKEN, "ok"), ("2" * 32, "wrong")])
async def test_twilios_token_is_tried_with_the_accounts_id(
    tmp_path: Path, token: str, standing: str
) -> None:
    async with fresh_database() as url, vendors() as vendor:
        given = {"twilio_account_sid": SID, "twilio_api_url": vendor, "twilio_auth_token": token}
        found = await look(url, tmp_path, **given)
    assert found["VOICECORE_TWILIO_AUTH_TOKEN"].standing == standing


async def test_what_is_stored_is_what_is_tried(tmp_path: Path) -> None:
    async with fresh_database() as url, vendors() as vendor:
        await store(url, OPENAI_API_KEY="stored", TWILIO_AUTH_TOKEN=TOKEN, TELNYX_PUBLIC_KEY="no")
        found = await look(
            url,
            tmp_path,
            Key("OPENAI_API_KEY", f"{vendor}/v1/models"),
            secret_keys=KEYS,
            twilio_account_sid=SID,
            twilio_api_url=vendor,
            twilio_auth_token="3" * 32,
        )
    assert found["OPENAI_API_KEY"].standing == "ok"
    assert found["VOICECORE_TWILIO_AUTH_TOKEN"].standing == "ok"
    assert found["VOICECORE_TELNYX_PUBLIC_KEY"].standing == "wrong"
    assert found["secrets"].standing == "ok"
    assert found["secrets"].detail.startswith("3 stored")


async def test_secrets_whose_keys_are_gone(tmp_path: Path) -> None:
    other = "other:" + base64.b64encode(bytes(32)).decode()
    async with fresh_database() as url:
        assert (await look(url, tmp_path))["secrets"].standing == "warning"
        await store(url, OPENAI_API_KEY="stored")
        gone, wrong = await look(url, tmp_path), await look(url, tmp_path, secret_keys=other)
        back = await look(url, tmp_path, secret_keys=f"{other},{KEYS}")
    assert gone["secrets"].standing == wrong["secrets"].standing == "wrong"
    assert "here" in wrong["secrets"].advice
    assert back["secrets"].standing == "ok"


async def test_a_first_start_will_make_its_key(tmp_path: Path) -> None:
    found = {one.what: one for one in await examine(Settings(), "", tmp_path, {}, ())}
    assert found["secrets"] == Finding(
        "secrets", "ok", "their key will be made when the server starts"
    )
    assert SecretKeys("", tmp_path).keyring() is None
