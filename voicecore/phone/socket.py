"""The phone's WebSocket: no task and no await for each message.

picows does the framing where it is installed (the extra ``density``), else websockets' protocol
core. Either works in the event loop's own callbacks. In a run of 200 calls, with a server that
sends as much as it gets, the phone took 0.41 of a core with picows and 0.66 with websockets.
"""

import asyncio
import importlib.util
import socket
import ssl
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from voicecore.phone.failures import refusal_code

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MAX_MESSAGE_BYTES = 8 * 2**20
"""Ten minutes of mu-law in base64, the most that a carrier holds, are 6.4 MB."""


class ConnectError(Exception):
    """There is no call. ``code`` is stable and has its advice in ``failures.ADVICE``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Listener(Protocol):
    """Whoever uses the socket. Called from the event loop."""

    def on_message(self, message: bytes) -> None:
        """A text message."""

    def on_binary(self, message: bytes) -> None:
        """A binary message."""

    def on_closed(self, code: int | None, reason: str) -> None:
        """The socket is gone; called once. ``code`` is None when it broke without a word."""


class PhoneSocket(Protocol):
    """An open connection."""

    @property
    def buffered_bytes(self) -> int:
        """What the peer has not yet read."""

    def send(self, message: bytes) -> None:
        """Send a text message; after the end, nothing."""

    def close(self) -> None:
        """Say goodbye (1000) and wait for the peer's, ``CLOSE_TIMEOUT_S`` at most."""

    def drop(self, message: bytes | None = None) -> None:
        """Vanish, with ``message`` after half of its frame. Idempotent."""


class Connector(Protocol):
    """Opens a socket with one library."""

    async def __call__(
        self, url: str, headers: Mapping[str, str], listener: Listener, tls: ssl.SSLContext | None
    ) -> PhoneSocket:
        """:raises ConnectError: the upgrade went wrong. :raises OSError: no connection."""


async def connect(
    url: str,
    headers: Mapping[str, str],
    listener: Listener,
    *,
    connector: Connector | None = None,
) -> PhoneSocket:
    """Open a WebSocket, without compression or subprotocol, as carriers do.

    :raises ConnectError: there is nothing there, it refuses, or is too slow."""
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "wss" else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await (connector or fastest())(url, headers, listener, tls)
    except OSError as error:
        raise unreachable(parts.netloc, error, tls=tls is not None) from error


def fastest() -> Connector:
    """picows' where it is installed."""
    if importlib.util.find_spec("picows") is not None:
        from voicecore.phone.socket_picows import connect_picows

        return connect_picows
    from voicecore.phone.socket_websockets import connect_websockets

    return connect_websockets


def unreachable(address: str, error: OSError, *, tls: bool) -> ConnectError:
    """Why there is no connection."""
    if isinstance(error, TimeoutError):
        detail = f"{address} did not answer within {CONNECT_TIMEOUT_S:g} s"
        return ConnectError("connect_timeout", detail)
    reason = str(error) or type(error).__name__
    # uvloop resets the connection when the peer does not speak TLS.
    if isinstance(error, ssl.SSLError) or (tls and isinstance(error, ConnectionResetError)):
        return ConnectError("tls_failed", f"TLS with {address} failed: {reason}")
    if isinstance(error, socket.gaierror):
        return ConnectError("host_unknown", f"the host of {address} is not known")
    if isinstance(error, ConnectionRefusedError):
        return ConnectError("connect_refused", f"nothing listens at {address}")
    return ConnectError("connect_failed", f"cannot connect to {address}: {reason}")


def refused(status: int, body: bytes) -> ConnectError:
    """An answer to the upgrade that is not 101."""
    text = body[:200].decode(errors="replace").strip()
    detail = f"the server refused the upgrade: HTTP {status}"
    return ConnectError(refusal_code(status), f"{detail}: {text}" if text else detail)
