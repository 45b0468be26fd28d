"""``voicecore doctor``, against servers that take a key and servers that do not."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from control.doctor import KEYS, Finding, Key, examine
from control.settings import Settings
from tests.support.postgres import fresh_database, postgres

GOOD = "the right key"


@asynccontextmanager
async def vendor(status: int = 200) -> AsyncIterator[str]:
    """A vendor's server that knows one key."""

    async def answer(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == f"Token {GOOD}"
        return web.Response(status=status if known else 401)

    app = web.Application()
    app.router.add_get("/v1/projects", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/projects"
    finally:
        await runner.cleanup()


async def found(tmp_path: Path, url: str, secrets: dict[str, str], **settings: object) -> dict:  # type: ignore[type-arg]
    keys = (Key("A_KEY", url, scheme="Token "),)
    async with fresh_database() as database_url:
        findings = await examine(
            Settings.model_validate(settings), database_url, tmp_path, secrets, keys
        )
    return {finding.what: finding for finding in findings}


@pytest.mark.parametrize(
    ("key", "status", "standing"),
    [(GOOD, 200, "ok"), ("another", 200, "wrong"), (GOOD, 500, "wrong"), ("", 200, "warning")],
)
async def test_a_key_is_tried(tmp_path: Path, key: str, status: int, standing: str) -> None:
    async with vendor(status) as url:
        assert (await found(tmp_path, url, {"A_KEY": key}))["A_KEY"].standing == standing


async def test_a_vendor_that_is_not_there(tmp_path: Path) -> None:
    finding = (await found(tmp_path, "http://127.0.0.1:9/", {"A_KEY": GOOD}))["A_KEY"]
    assert finding.standing == "wrong"
    assert GOOD not in finding.detail


async def test_what_is_well_is_told_so(tmp_path: Path) -> None:
    findings = await found(tmp_path, "http://127.0.0.1:9/", {})
    assert findings["data directory"] == Finding("data directory", "ok", str(tmp_path))
    assert findings["database"].standing == "ok"
    assert findings["e-mail"].standing == "warning"
    assert not [name for _, _, names in os.walk(tmp_path) for name in names]
    assert findings["storage"].standing == "ok"


async def test_a_database_that_is_empty_or_away(tmp_path: Path) -> None:
    empty = {one.what: one for one in await examine(Settings(), postgres().url, tmp_path, {}, ())}
    assert empty["database"].standing == "warning"
    away = "postgresql://nobody@127.0.0.1:9/none"
    gone = {one.what: one for one in await examine(Settings(), away, tmp_path, {}, ())}
    assert gone["database"].standing == "wrong"


async def test_a_mail_server_that_is_away(tmp_path: Path) -> None:
    settings = {"smtp_host": "127.0.0.1", "smtp_port": 9}
    findings = await found(tmp_path, "http://127.0.0.1:9/", {}, **settings)
    assert findings["e-mail"].standing == "wrong"


def test_keys_are_sent_to_the_vendors_only() -> None:
    assert all(key.url.startswith("https://api.") for key in KEYS)


async def test_a_storage_that_is_none(tmp_path: Path) -> None:
    findings = await found(
        tmp_path, "http://127.0.0.1:9/", {}, storage_url="file:///dev/null/nowhere"
    )
    assert findings["storage"].standing == "wrong"
