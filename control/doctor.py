"""What is missing or does not work, tried one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import aiohttp
import aiosmtplib
import asyncpg
import msgspec

from control.db.database import CONNECT_TIMEOUT_S
from control.db.migrate import missing
from control.settings import Settings
from control.storage import StorageError, open_storage

OLDEST_POSTGRES = 140_000
TRY_TIMEOUT_S = 10.0
_PROBE = "doctor/probe"

Standing = Literal["ok", "missing", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. What is ``missing`` may be so on purpose."""

    what: str
    standing: Standing
    detail: str


class Key(msgspec.Struct, frozen=True):
    """A vendor's key, and a request that costs nothing and fails without it."""

    name: str
    url: str
    header: str = "Authorization"
    scheme: str = "Bearer "


KEYS = (
    Key("OPENAI_API_KEY", "https://api.openai.com/v1/models"),
    Key("DEEPGRAM_API_KEY", "https://api.deepgram.com/v1/projects", scheme="Token "),
    Key("ELEVENLABS_API_KEY", "https://api.elevenlabs.io/v1/models", "xi-api-key", ""),
    Key("VOICECORE_TELNYX_API_KEY", "https://api.telnyx.com/v2/balance"),
)


async def examine(
    settings: Settings,
    database_url: str,
    data_dir: Path,
    secrets: Mapping[str, str],
    keys: tuple[Key, ...] = KEYS,
) -> list[Finding]:
    """Everything, in the order in which it is needed."""
    checks: list[Callable[[], Awaitable[Finding]]] = [
        lambda: asyncio.to_thread(_data_dir, data_dir),
        lambda: _database(database_url),
        lambda: _storage(settings, data_dir),
        lambda: _smtp(settings),
    ]
    findings = [await check() for check in checks]
    findings += await asyncio.gather(*(_key(key, secrets) for key in keys))
    return [*findings, *_carriers(settings)]


def _data_dir(directory: Path) -> Finding:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding("data directory", "wrong", f"{directory}: {error.strerror}")
    return Finding("data directory", "ok", str(directory))


async def _database(url: str) -> Finding:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
        try:
            number = int(await connection.fetchval("SHOW server_version_num"))
        finally:
            await connection.close()
        unapplied = await missing(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        return Finding("database", "wrong", str(error))
    if number < OLDEST_POSTGRES:
        return Finding("database", "wrong", f"PostgreSQL {number // 10000}; 14 is the oldest")
    if unapplied:
        detail = f"{len(unapplied)} migrations to apply: voicecore migrate, or voicecore serve"
        return Finding("database", "missing", detail)
    return Finding("database", "ok", f"PostgreSQL {number // 10000}, up to date")


async def _storage(settings: Settings, data_dir: Path) -> Finding:
    where = settings.storage_url or str(data_dir / "objects")
    try:
        storage = open_storage(settings.storage_url, data_dir)
        await storage.put(_PROBE, b"probe", "application/octet-stream")
        await storage.delete(_PROBE)
    except StorageError as error:
        return Finding("storage", "wrong", f"{where}: {error}")
    return Finding("storage", "ok", where)


async def _smtp(settings: Settings) -> Finding:
    if not settings.smtp_host:
        detail = "VOICECORE_SMTP_HOST is not set: e-mails become files in the data directory"
        return Finding("e-mail", "missing", detail)
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_user or None,
        password=settings.smtp_password.get_secret_value() or None,
        timeout=TRY_TIMEOUT_S,
    )
    try:
        await client.connect()
        await client.quit()
    except (aiosmtplib.SMTPException, OSError) as error:
        return Finding("e-mail", "wrong", str(error))
    return Finding("e-mail", "ok", f"{settings.smtp_host}:{settings.smtp_port}")


async def _key(key: Key, secrets: Mapping[str, str]) -> Finding:
    secret = secrets.get(key.name, "").strip()
    if not secret:
        return Finding(key.name, "missing", "not set")
    timeout = aiohttp.ClientTimeout(total=TRY_TIMEOUT_S)
    headers = {key.header: key.scheme + secret}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(key.url, headers=headers) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding(key.name, "wrong", f"not reached: {error or type(error).__name__}")
    if status in (401, 403):
        return Finding(key.name, "wrong", f"the vendor refuses it ({status})")
    if status >= 300:
        return Finding(key.name, "wrong", f"the vendor answers {status}")
    return Finding(key.name, "ok", "the vendor takes it")


def _carriers(settings: Settings) -> list[Finding]:
    token = settings.twilio_auth_token.get_secret_value()
    found = []
    for name, value in (
        ("VOICECORE_PUBLIC_URL", settings.public_url),
        ("VOICECORE_TWILIO_AUTH_TOKEN", token),
        ("VOICECORE_TELNYX_PUBLIC_KEY", settings.telnyx_public_key),
    ):
        found.append(Finding(name, "ok", "set") if value else Finding(name, "missing", "not set"))
    return found
