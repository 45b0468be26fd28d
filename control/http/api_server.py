"""The API as one thing that starts and stops."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from control.api import ENDPOINTS
from control.audio_worker import AudioWorker
from control.auth.passwords import Passwords
from control.auth.rate_limits import Limits, RateLimits
from control.auth.shared_limits import SharedLimits
from control.db import templates
from control.db.database import PLATFORM, Database
from control.http.api_app import add_api
from control.http.endpoint import Endpoint
from control.http.errors import error_form
from control.http.heavy import Gates
from control.http.shares import Shares, share_of
from control.mail import FileOutbox, Mailer, Post, SmtpPost
from control.plane import Plane, utc_now
from control.settings import Settings
from control.storage import open_storage
from control.vault import Vault, secret_keys


async def open_plane(settings: Settings, database_url: str, data_dir: Path) -> Plane:
    """Connect to a migrated database, and start what handlers need.

    :raises OSError: the database does not answer.
    :raises StorageError: the URL of the storage is none.
    :raises SecretKeysError: the file of keys cannot be used."""
    storage = open_storage(settings.storage_url, data_dir)
    database = await Database.open(database_url, connections=settings.database_connections)
    await templates.ship(database)
    mailer = Mailer(_post(settings, data_dir))
    mailer.start()
    audio = AudioWorker(database, storage, utc_now)
    audio.start()
    vault = await _open_vault(settings, database, data_dir)
    return Plane(
        db=database,
        settings=settings,
        passwords=Passwords(),
        limits=_limits(settings),
        heavy=Gates(settings.database_connections),
        shares=Shares(share_of(settings.database_connections)),
        mailer=mailer,
        storage=storage,
        audio=audio,
        vault=vault,
        data_dir=data_dir,
    )


async def close_plane(plane: Plane) -> None:
    """Send the mails that wait, and disconnect."""
    await plane.mailer.stop()
    await plane.audio.stop()
    plane.passwords.close()
    await plane.limits.close()
    await plane.db.close()


def api_app(plane: Plane, endpoints: Iterable[Endpoint] = ENDPOINTS) -> web.Application:
    """The API by itself."""
    app = web.Application(middlewares=[error_form])
    add_api(app, plane, endpoints)
    return app


async def _open_vault(settings: Settings, database: Database, data_dir: Path) -> Vault:
    """:raises SecretKeysError: the file of keys cannot be used."""
    keys = secret_keys(settings, data_dir)
    await asyncio.to_thread(keys.make, utc_now())  # it may wait for a rotation
    vault = Vault(settings, keys)
    async with database.reading(PLATFORM) as db:
        vault.take(await vault.look(db))
    return vault


def _limits(settings: Settings) -> Limits:
    """Redis need not be there: the server starts without it, and asks again."""
    url = settings.redis_url.get_secret_value()
    return SharedLimits(url) if url else RateLimits()


def _post(settings: Settings, data_dir: Path) -> Post:
    if not settings.smtp_host:
        return FileOutbox(data_dir / "outbox", settings.mail_from)
    return SmtpPost(
        settings.smtp_host,
        settings.smtp_port,
        settings.mail_from,
        settings.smtp_user or None,
        settings.smtp_password.get_secret_value() or None,
    )
