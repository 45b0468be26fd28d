"""What goes wrong with a live socket, as the failure to act on. Pure."""

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.http11 import Response

from voicecore.providers.errors import VendorError

CONNECT_ERRORS = (OSError, EOFError, ValueError, WebSocketException)
"""Everything that connecting may raise; a ``TimeoutError`` is among them."""

_FINAL_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""RFC 6455 section 7.4.1: the peer objects to what was sent, so sending it again is no use."""

_OUR_COMPLAINTS = frozenset({1002, 1003, 1007, 1009})

_REFUSALS = {
    401: ("auth_failed", False),
    402: ("quota_exceeded", False),
    403: ("auth_failed", False),
    408: ("connect_timeout", True),
    429: ("rate_limited", True),
}


def connect_failure(vendor: str, error: Exception, timeout_ms: int) -> VendorError:
    """Why there is no connection: ``error`` is one of ``CONNECT_ERRORS``."""
    if isinstance(error, TimeoutError):
        detail = f"no connection within {timeout_ms} ms"
        return VendorError(vendor, "connect_timeout", detail, retryable=True)
    if isinstance(error, InvalidStatus):
        return _refusal(vendor, error.response)
    if isinstance(error, InvalidMessage):
        return VendorError(vendor, "garbage", str(error), retryable=True)
    # An address that no name or port could have is refused before anything is sent.
    wrong_address = isinstance(error, InvalidURI | ValueError)
    later = isinstance(error, OSError | EOFError | InvalidHandshake) and not wrong_address
    return VendorError(vendor, "connect_failed", str(error), retryable=later)


def disconnection(vendor: str, closed: ConnectionClosed) -> VendorError:
    """Why a connection that had opened is gone."""
    if closed.rcvd is not None:
        code, reason = closed.rcvd.code, closed.rcvd.reason
        retryable = code not in _FINAL_CLOSE_CODES
        return VendorError(vendor, "disconnected", f"{code} {reason}".rstrip(), retryable=retryable)
    if closed.sent is not None and closed.sent.code in _OUR_COMPLAINTS:
        detail = f"{closed.sent.code} {closed.sent.reason}"
        return VendorError(vendor, "garbage", detail, retryable=False)
    if closed.sent is not None and closed.sent.code == 1011:
        return VendorError(vendor, "stalled", "answers no ping", retryable=True)
    detail = "1006 the connection broke off"
    return VendorError(vendor, "disconnected", detail, retryable=True)


def _refusal(vendor: str, response: Response) -> VendorError:
    status = response.status_code
    text = bytes(response.body or b"")[:300].decode("utf-8", "replace").strip()
    others = ("vendor_error", True) if status >= 500 else ("bad_request", False)
    code, retryable = _REFUSALS.get(status, others)
    detail = f"HTTP {status} {response.reason_phrase}"
    return VendorError(vendor, code, f"{detail}: {text}" if text else detail, retryable=retryable)
