"""The parts of the server that API handlers work with."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from control.agent_maker import AgentMaker
from control.audio_worker import AudioWorker
from control.auth.passwords import Passwords
from control.auth.rate_limits import Limits
from control.call_server import CallServer
from control.db.database import Database
from control.http.heavy import Gates
from control.http.shares import Shares
from control.mail import Mailer
from control.portal import Portal, api_url, portal_of
from control.settings import Settings
from control.storage import Storage
from control.vault import Vault


def utc_now() -> datetime:
    return datetime.now(UTC)


class Plane(msgspec.Struct):
    """Made once, when the server starts."""

    db: Database
    settings: Settings
    passwords: Passwords
    limits: Limits
    heavy: Gates
    """What endpoints pass that are ``heavy``."""
    shares: Shares
    """What each caller has of the database's connections."""
    mailer: Mailer
    storage: Storage
    audio: AudioWorker
    vault: Vault
    data_dir: Path
    calls: CallServer | None = None
    """None where only the API is served."""
    agents: AgentMaker | None = None
    address: str = "http://localhost:8080"
    """The URL at which this server listens."""
    now: Callable[[], datetime] = utc_now

    @property
    def portal(self) -> Portal:
        """Where links in e-mails lead."""
        return portal_of(self.settings, self.address)

    @property
    def api_url(self) -> str:
        """What the URLs in answers begin with."""
        return api_url(self.settings, self.address)
