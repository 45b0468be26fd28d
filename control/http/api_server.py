"""The API as one thing that starts and stops."""

from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from control.api import ENDPOINTS
from control.audio_worker import AudioWorker
from control.auth.passwords import Passwords
from control.auth.rate_limits import RateLimits
from control.db import templates
from control.db.database import Database
from control.http.api_app import add_api
from control.http.endpoint import Endpoint
from control.http.errors import error_form
from control.mail import FileOutbox, Mailer, Post, SmtpPost
from control.plane import Plane, utc_now
from control.settings import Settings
from control.storage import open_storage


async def open_plane(settings: Settings, database_url: str, data_dir: Path) -> Plane:
    """Connect to a migrated database, and start what handlers need.

    :raises OSError: the database does not answer.
    :raises StorageError: the URL of the storage is none."""
    storage = open_storage(settings.storage_url, data_dir)
    database = await Database.open(database_url, connections=settings.database_connections)
    await templates.ship(database)
    mailer = Mailer(_post(settings, data_dir))
    mailer.start()
    audio = AudioWorker(database, storage, utc_now)
    audio.start()
    return Plane(
        db=database,
        settings=settings,
        passwords=Passwords(),
        limits=RateLimits(),
        mailer=mailer,
        storage=storage,
        audio=audio,
        data_dir=data_dir,
    )


async def close_plane(plane: Plane) -> None:
    """Send the mails that wait, and disconnect."""
    await plane.mailer.stop()
    await plane.audio.stop()
    plane.passwords.close()
    await plane.db.close()


def api_app(plane: Plane, endpoints: Iterable[Endpoint] = ENDPOINTS) -> web.Application:
    """The API by itself."""
    app = web.Application(middlewares=[error_form])
    add_api(app, plane, endpoints)
    return app


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
