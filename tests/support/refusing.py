"""A port of loopback where nobody listens, and nobody else can while it lasts.

A port that was free a moment ago may be another test's by now."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing_port() -> Iterator[int]:
    """Who connects to it is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
