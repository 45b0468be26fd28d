"""The parts of the server that API handlers work with."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from control.agent_maker import AgentMaker
from control.audio_worker import AudioWorker
from control.auth.passwords import Passwords
from control.auth.rate_limits import RateLimits
from control.call_server import CallServer
from control.db.database import Database
from control.mail import Mailer
from control.settings import Settings
from control.storage import Storage


def utc_now() -> datetime:
    return datetime.now(UTC)


class Plane(msgspec.Struct):
    """Made once, when the server starts."""

    db: Database
    settings: Settings
    passwords: Passwords
    limits: RateLimits
    mailer: Mailer
    storage: Storage
    audio: AudioWorker
    data_dir: Path
    calls: CallServer | None = None
    """None where only the API is served."""
    agents: AgentMaker | None = None
    now: Callable[[], datetime] = utc_now
