"""ElevenLabs' multi-context speech protocol as values. Pure.

Source: elevenlabs.io/docs, "Multi-Context WebSocket", and the message types of the
``elevenlabs`` SDK, which accepts two spellings of most names.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import pybase64

from voicecore.providers.errors import VendorError

VENDOR = "elevenlabs"
CLOSE_SOCKET = '{"close_socket":true}'
_LONGEST_CHUNK_MS = 600_000


def open_context(context_id: str, voice_settings: Mapping[str, Any]) -> str:
    """The first message of a context, the only one that may set its voice."""
    message: dict[str, Any] = {"text": " ", "context_id": context_id}
    if voice_settings:
        message["voice_settings"] = voice_settings
    return _encode(message)


def speak(context_id: str, text: str) -> str:
    # Text has to end with a space, or the last word may be joined with the next.
    return _encode({"text": f"{text} ", "context_id": context_id})


def keep_alive(context_id: str) -> str:
    return _encode({"text": "", "context_id": context_id})


def flush(context_id: str) -> str:
    return _encode({"context_id": context_id, "flush": True})


def close_context(context_id: str) -> str:
    return _encode({"context_id": context_id, "close_context": True})


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


class Alignment(NamedTuple):
    """Characters with their times in milliseconds from the start of a chunk."""

    characters: tuple[tuple[str, int, int], ...]
    duration_ms: int


class ServerMessage(NamedTuple):
    """``context_id`` None: the message names none. ``error`` ends the socket."""

    context_id: str | None = None
    audio: bytes = b""
    alignment: Alignment | None = None
    final: bool = False
    error: VendorError | None = None


class _Wire(msgspec.Struct):
    audio: str | None = None
    alignment: Any = None
    normalizedAlignment: Any = None
    contextId: str | None = None
    context_id: str | None = None
    isFinal: bool | None = None
    is_final: bool | None = None
    error: str | None = None
    message: Any = None
    code: Any = None


_decoder = msgspec.json.Decoder(_Wire)


def read_message(data: str | bytes) -> ServerMessage:
    """:raises VendorError: ``garbage``."""
    try:
        if isinstance(data, bytes):
            raise ValueError("binary")
        wire = _decoder.decode(data)
        audio = pybase64.b64decode(wire.audio, validate=True) if wire.audio else b""
    except (ValueError, msgspec.MsgspecError, RecursionError) as broken:
        detail = f"not a message: {broken}"[:200]
        raise VendorError(VENDOR, "garbage", detail, retryable=True) from broken
    if wire.error is not None:
        text = f"{wire.error} {wire.message if isinstance(wire.message, str) else ''}"
        return ServerMessage(error=objection(text.strip()))
    return ServerMessage(
        wire.contextId if wire.contextId is not None else wire.context_id,
        audio,
        read_alignment(wire.alignment) or read_alignment(wire.normalizedAlignment),
        bool(wire.isFinal or wire.is_final),
    )


def read_alignment(given: object) -> Alignment | None:
    """None where there is none or it makes no sense."""
    if not isinstance(given, dict):
        return None
    chars = given.get("chars")
    starts = given.get("charStartTimesMs", given.get("char_start_times_ms"))
    durations = given.get("charDurationsMs", given.get("char_durations_ms"))
    if not (isinstance(chars, list) and isinstance(starts, list) and isinstance(durations, list)):
        return None
    if not chars or not len(chars) == len(starts) == len(durations):
        return None
    placed: list[tuple[str, int, int]] = []
    for character, start, duration in zip(chars, starts, durations, strict=True):
        if not isinstance(character, str) or not _is_time(start) or not _is_time(duration):
            return None
        placed.append((character, int(start), int(start + duration)))
    return Alignment(tuple(placed), max(end for _, _, end in placed))


def _is_time(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= _LONGEST_CHUNK_MS  # type: ignore[operator]


_OBJECTIONS: tuple[tuple[str, str, bool], ...] = (
    ("max_active_conversations", "overloaded", True),
    ("simultaneous contexts", "overloaded", True),
    ("not received a new text", "disconnected", True),
    ("timeout", "disconnected", True),
    ("quota", "quota_exceeded", False),
    ("credits", "quota_exceeded", False),
    ("payment", "quota_exceeded", False),
    ("concurrent", "rate_limited", True),
    ("rate limit", "rate_limited", True),
    ("busy", "overloaded", True),
    ("went wrong", "vendor_error", True),
    ("internal", "vendor_error", True),
    ("api_key", "auth_failed", False),
    ("api key", "auth_failed", False),
    ("authoriz", "auth_failed", False),
    ("authentic", "auth_failed", False),
    ("permission", "auth_failed", False),
    ("model", "model_not_found", False),
)
"""What the vendor's words mean: all its objections come with close code 1008."""


def objection(text: str) -> VendorError:
    """The failure that the vendor's words tell of."""
    words = text.lower()
    for part, code, retryable in _OBJECTIONS:
        if part in words:
            return VendorError(VENDOR, code, text[:200], retryable=retryable)
    return VendorError(VENDOR, "bad_request", text[:200], retryable=False)
