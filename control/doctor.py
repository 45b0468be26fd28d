"""What is missing or does not work, tried one by one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import aiosmtplib
import asyncpg

from control import doctor_machine as machine
from control import doctor_secrets, doctor_settings
from control.auth.rate_limits import TIERS
from control.auth.shared_limits import RedisAway, SharedLimits
from control.db.database import CONNECT_TIMEOUT_S
from control.db.migrate import missing
from control.db.place import place_of, words_of
from control.doctor_carriers import CarrierKeys
from control.findings import Finding, Key
from control.settings import Settings
from control.storage import StorageError, open_storage

OLDEST_POSTGRES = 140_000
TRY_TIMEOUT_S = 10.0
_PROBE = "doctor/probe"


KEYS = (
    Key("OPENAI_API_KEY", "https://api.openai.com/v1/models"),
    Key("DEEPGRAM_API_KEY", "https://api.deepgram.com/v1/projects", scheme="Token "),
    Key("ELEVENLABS_API_KEY", "https://api.elevenlabs.io/v1/models", "xi-api-key", ""),
)


async def examine(
    settings: Settings,
    database_url: str,
    data_dir: Path,
    secrets: Mapping[str, str],
    keys: tuple[Key, ...] = KEYS,
    address: tuple[str, int] = ("127.0.0.1", 8080),
) -> list[Finding]:
    """Everything, in the order in which it is needed.

    :param database_url: empty for one of our own, which is not started for this.
    :param secrets: the environment: vendors' keys, and variables that may be misspelt.
    :param address: where the server is to listen."""
    dates: dict[str, str] = {}
    own = None if database_url else await asyncio.to_thread(machine.embedded_database, data_dir)
    url = own if isinstance(own, str) else database_url
    database = own if isinstance(own, Finding) else await _database(url)
    usable = url if database.standing == "ok" else ""
    stored = await doctor_secrets.stored(settings, usable, data_dir)
    carriers = CarrierKeys(settings, stored.platforms, stored.shut)
    findings = [doctor_settings.strays(secrets)]
    checks: list[Callable[[], Awaitable[Finding]]] = [
        lambda: asyncio.to_thread(machine.data_dir, data_dir),
        lambda: asyncio.to_thread(machine.disk, data_dir),
        lambda: asyncio.to_thread(machine.open_files, settings),
        lambda: machine.port(*address),
        lambda: _storage(settings, data_dir),
        lambda: _smtp(settings),
        lambda: _redis(settings),
    ]
    findings += [await check() for check in checks]
    findings.insert(-1, doctor_settings.links(settings, *address))
    findings += [database, stored.finding, await asyncio.to_thread(machine.local_models)]
    tried = {**secrets, **stored.platforms, **carriers.keys}
    every = (*keys, *carriers.tried)
    findings += await asyncio.gather(*(_key(key, tried, dates) for key in every))
    return [*findings, *carriers.findings(), machine.clock(dates)]


async def _database(url: str) -> Finding:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
        try:
            number = int(await connection.fetchval("SHOW server_version_num"))
        finally:
            await connection.close()
        unapplied = await missing(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        advice = "See that it runs, and that VOICECORE_DATABASE_URL is right"
        return Finding("database", "wrong", f"{place_of(url)}: {words_of(error)}", advice)
    if number < OLDEST_POSTGRES:
        detail = f"PostgreSQL {number // 10000}; 14 is the oldest"
        return Finding("database", "wrong", detail, "Use a newer one")
    if unapplied:
        detail = f"PostgreSQL {number // 10000}; {len(unapplied)} migrations are to be applied"
        return Finding("database", "warning", detail, "voicecore migrate; voicecore serve does too")
    return Finding("database", "ok", f"PostgreSQL {number // 10000}, up to date")


async def _storage(settings: Settings, data_dir: Path) -> Finding:
    where = settings.storage_url or str(data_dir / "objects")
    try:
        storage = open_storage(settings.storage_url, data_dir)
        await storage.put(_PROBE, b"probe", "application/octet-stream")
        await storage.delete(_PROBE)
    except StorageError as error:
        advice = "See that VOICECORE_STORAGE_URL and the keys to it are right"
        return Finding("storage", "wrong", f"{where}: {error}", advice)
    return Finding("storage", "ok", where)


async def _smtp(settings: Settings) -> Finding:
    if not settings.smtp_host:
        detail = "e-mails become files in the data directory's `outbox`"
        return Finding("e-mail", "warning", detail, "Set VOICECORE_SMTP_HOST")
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
        advice = "See that VOICECORE_SMTP_HOST, _PORT, _USER and _PASSWORD are right"
        return Finding("e-mail", "wrong", str(error), advice)
    return Finding("e-mail", "ok", f"{settings.smtp_host}:{settings.smtp_port}")


async def _redis(settings: Settings) -> Finding:
    url = settings.redis_url.get_secret_value()
    if not url:
        detail = "each server counts requests by itself"
        advice = "Set VOICECORE_REDIS_URL, where there is more than one server"
        return Finding("redis", "warning", detail, advice)
    limits = SharedLimits(url)
    try:
        await limits.ask("doctor", TIERS["standard"], time.time())
    except RedisAway as error:
        return Finding("redis", "wrong", str(error))
    finally:
        await limits.close()
    return Finding("redis", "ok", "answers")


async def _key(key: Key, secrets: Mapping[str, str], dates: dict[str, str]) -> Finding:
    """``dates`` are given what the vendor's clock says."""
    secret = secrets.get(key.name, "").strip()
    if not secret:
        return Finding(key.name, "warning", "not set", key.advice)
    timeout = aiohttp.ClientTimeout(total=TRY_TIMEOUT_S)
    headers = {key.header: key.scheme + secret}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(key.url, headers=headers) as response,
        ):
            status = response.status
            if date := response.headers.get("Date"):
                dates[urlsplit(key.url).hostname or key.name] = date
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        advice = "See that this machine reaches the vendor"
        return Finding(key.name, "wrong", f"not reached: {error or type(error).__name__}", advice)
    if status in (401, 403):
        advice = "Take another key from the vendor's console"
        return Finding(key.name, "wrong", f"the vendor refuses it ({status})", advice)
    if status >= 300:
        return Finding(key.name, "wrong", f"the vendor answers {status}", "Try again later")
    return Finding(key.name, "ok", "the vendor takes it")
