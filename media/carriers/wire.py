"""What JSON media streams have in common: limits, refusals, byte order, settings."""

from array import array
from collections.abc import Collection, Mapping
from typing import Literal

import msgspec
import pybase64

from media.audio.format import AudioFormat
from media.carrier import CarrierProtocolError

MESSAGE_LIMIT_BYTES = 64 * 1024
DTMF_DIGITS = frozenset("0123456789ABCD*#")

ByteOrder = Literal["little", "big"]

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding hostile JSON raises: bad syntax or types, broken UTF-8 and numbers of thousands
of digits (both ``ValueError``), and arrays nested without end."""


class _Event(msgspec.Struct):
    event: str


class _PayloadText(msgspec.Struct):
    payload: str


class _MediaText(msgspec.Struct):
    media: _PayloadText


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_media = msgspec.json.Decoder(_MediaText).decode


def refusal(
    message: bytes, error: Exception, known_events: Collection[str]
) -> CarrierProtocolError | None:
    """Why a message that would not decode is refused; None to ignore it, its event is unknown."""
    try:
        event = _decode_event(message).event
    except UNREADABLE as unreadable:
        return CarrierProtocolError("malformed_message", str(unreadable))
    if event not in known_events:
        return None
    if event == "media" and _payload_is_bad(message):
        return CarrierProtocolError("malformed_payload", "the payload is not base64")
    return CarrierProtocolError("malformed_message", f"{event}: {error}")


def _payload_is_bad(message: bytes) -> bool:
    try:
        payload = _decode_media(message).media.payload
    except UNREADABLE:
        return False
    try:
        pybase64.b64decode(payload, validate=True)
    except ValueError:
        return True
    return False


def too_large(message: bytes) -> CarrierProtocolError:
    return CarrierProtocolError(
        "message_too_large", f"{len(message)} bytes; at most {MESSAGE_LIMIT_BYTES}"
    )


def supported_format(
    formats: Mapping[tuple[str, int], AudioFormat], encoding: str, rate_hz: int, channels: int
) -> AudioFormat:
    """The format that a carrier announces.

    :raises CarrierProtocolError: ``unsupported_codec``."""
    audio = formats.get((encoding.lower(), rate_hz))
    if audio is None or channels != 1:
        raise CarrierProtocolError(
            "unsupported_codec", f"{encoding[:40]!r} at {rate_hz} Hz, {channels} channels"
        )
    return audio


def dtmf_digit(digit: str) -> str:
    """:raises CarrierProtocolError: ``malformed_message``, not a key of a telephone."""
    digit = digit.upper()
    if digit not in DTMF_DIGITS:
        raise CarrierProtocolError("malformed_message", "dtmf: not one of 0-9 A-D * #")
    return digit


def l16_from_wire(payload: bytes, byte_order: ByteOrder) -> bytes:
    """Little-endian samples.

    :raises CarrierProtocolError: ``malformed_payload``, half a sample."""
    if len(payload) & 1:
        raise CarrierProtocolError("malformed_payload", "half a 16-bit sample")
    return payload if byte_order == "little" else swapped(payload)


def swapped(pcm16: bytes) -> bytes:
    """16-bit samples in the other byte order."""
    samples = array("H", pcm16)
    samples.byteswap()
    return samples.tobytes()


def check_outbound(payload: bytes, audio: AudioFormat) -> None:
    """:raises ValueError: nothing to play, or half a sample (a bug of the caller's)."""
    if not payload or len(payload) % audio.sample_bytes:
        raise ValueError(f"{len(payload)} bytes are no audio in {audio.encoding}")


def choose(settings: Mapping[str, str], options: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Every option's value: the one that is set, or its first.

    :raises ValueError: an unknown setting, or a value that is not among the option's."""
    unknown = [name for name in settings if name not in options]
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; known: {', '.join(options)}")
    chosen = {name: settings.get(name, values[0]) for name, values in options.items()}
    for name, value in chosen.items():
        if value not in options[name]:
            raise ValueError(f"{name} is one of {', '.join(options[name])}, not {value!r}")
    return chosen
