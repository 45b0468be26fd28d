"""Why a call failed, as a stable code, and what to do about it. Pure."""

import re
from collections.abc import Mapping

from voicecore.phone.record import CallRecord

ADVICE: Mapping[str, str] = {
    "bad_url": "write ws://HOST:PORT/PATH or wss://HOST/PATH",
    "host_unknown": "correct the host in the URL",
    "connect_refused": "start the server there, or correct the host and port in the URL",
    "connect_timeout": "see that the host and port are right and no firewall is in between",
    "connect_failed": "see that the machine can reach the server",
    "tls_failed": "give the server a valid certificate, as carriers demand one; write ws:// for a "
    "server without TLS",
    "upgrade_unauthorized": "give what the server asks for: --auth-token (and --signed-url) for a "
    "signature, --token for a token",
    "upgrade_not_found": "correct the path in the URL; voicecore's are /media/twilio and "
    "/media/telnyx",
    "server_busy": "wait until the server is ready, make fewer calls at a time, or raise its limit",
    "upgrade_refused": "see the server's log",
    "upgrade_failed": "see that the URL is that of a WebSocket server",
    "stream_unauthorized": "give what the server asks for: --token for a token, --auth-token "
    "(and --signed-url) for a signature",
    "wrong_carrier": "the path in the URL is another carrier's: name that one with --carrier, or "
    "correct the path",
    "protocol_refused": "see that the server speaks this carrier's protocol (--carrier names "
    "another), and see the server's log",
    "closed_before_audio": "see the server's log: it took the call and sent no audio",
    "server_ended": "see the server's log, or let the script wait for `call_ended` there",
    "connection_broke": "see the server's log: it may have crashed, or the network failed",
    "no_agent_audio": "see the server's log: the agent sent nothing. An agent without a greeting "
    "waits for the caller to speak first",
    "agent_audio_refused": "mend what the protocol violations name: a carrier plays none of it",
    "agent_inaudible": "see that the server sends the codec that was asked for; `audible_dbfs` in "
    "the script sets what can be heard",
    "wait_timed_out": "give the wait a longer timeout_ms, or see the server's log for what held "
    "the agent up",
    "cut_off": "nothing: the phone itself dropped the socket, as its plan says",
    "call_timed_out": "give the script a longer timeout_s, or fewer steps",
}
"""What to do, for every code that a failed call can have."""

_BY_STATUS: Mapping[int, str] = {
    401: "upgrade_unauthorized",
    403: "upgrade_unauthorized",
    404: "upgrade_not_found",
    429: "server_busy",
    503: "server_busy",
}

_CLOSE_PROTOCOL = frozenset({1002, 1003, 1007})
"""The peer was not understood (RFC 6455, section 7.4.1)."""
_UNAUTHORIZED = re.compile(r"token|signature|auth|forbidden", re.IGNORECASE)
_BUSY = re.compile(r"busy|draining|not.ready|overload|too.many", re.IGNORECASE)


def refusal_code(status: int) -> str:
    """The code of an upgrade that was answered with another HTTP status than 101."""
    return _BY_STATUS.get(status, "upgrade_refused")


def failure_code(record: CallRecord) -> str | None:
    """One of ``ADVICE``; None for a call that completed."""
    match record.outcome:
        case "completed":
            return None
        case "connect_failed":
            return record.connect_error
        case "server_ended":
            return _ended_code(record)
        case "wait_timed_out" if not record.audible:
            return _silence_code(record)
        case "wait_timed_out" | "call_timed_out":
            return record.outcome
    return "cut_off"


def _ended_code(record: CallRecord) -> str:
    if record.ended_by == "network":
        return "connection_broke"
    if record.received_us:
        return "server_ended"
    if record.close_code in _CLOSE_PROTOCOL:
        return "wrong_carrier" if record.path_carrier else "protocol_refused"
    if _UNAUTHORIZED.search(record.close_reason):
        return "stream_unauthorized"
    if _BUSY.search(record.close_reason):
        return "server_busy"
    return "closed_before_audio"


def _silence_code(record: CallRecord) -> str:
    if record.received_us:
        return "agent_inaudible"
    return "agent_audio_refused" if record.violations else "no_agent_audio"
