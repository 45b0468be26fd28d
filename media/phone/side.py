"""What a carrier is when we play it: the messages it sends, and what it makes of the server's."""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from media.audio.format import MULAW_8K, AudioFormat

WAV_MAGIC = b"RIFF"


class StreamIds(msgspec.Struct, frozen=True):
    """How a carrier names one stream. Twilio: ``MZ…``, ``CA…``, ``AC…``; Telnyx: UUIDs and
    ``v3:…`` for the call."""

    stream_id: str
    call_id: str
    account_id: str


class StreamSpec(msgspec.Struct, frozen=True):
    """One stream as the carrier sets it up.

    ``inbound`` is the audio that the server receives, ``outbound`` the audio that it must
    send. ``l16_big_endian`` is the byte order of 16-bit samples on the wire."""

    ids: StreamIds
    inbound: AudioFormat = MULAW_8K
    outbound: AudioFormat = MULAW_8K
    parameters: Mapping[str, str] = {}
    from_number: str = ""
    to_number: str = ""
    l16_big_endian: bool = True


class ServerAudio(msgspec.Struct, frozen=True, gc=False):
    """Audio to play to the caller, in ``StreamSpec.outbound`` format (L16 little-endian)."""

    payload: bytes


class ServerMark(msgspec.Struct, frozen=True):
    """Send the mark back when everything queued before it has been played."""

    name: str


class ServerClear(msgspec.Struct, frozen=True):
    """Drop everything queued and send back all marks."""


class Violation(msgspec.Struct, frozen=True):
    """The server broke the carrier's protocol. A carrier would warn, drop the message or garble
    the audio; the call goes on.

    ``code`` is stable: ``malformed_message``, ``unknown_event``, ``missing_stream_id``,
    ``wrong_stream_id``, ``invalid_payload``, ``empty_payload``, ``file_header``,
    ``partial_sample``, ``message_before_start``, ``binary_frame``, ``chunk_too_short``,
    ``chunk_too_long``, ``buffer_overflow``, ``reads_too_slowly``."""

    code: str
    detail: str


ServerMessage = ServerAudio | ServerMark | ServerClear | Violation


class CarrierSide(Protocol):
    """The carrier's end of one stream. Counters advance with every message made, so each
    message made must be sent, in order unless the carrier promises none."""

    spec: StreamSpec

    def connected(self) -> bytes:
        """The first message."""

    def start(self) -> bytes:
        """The stream begins."""

    def media(self, payload_base64: bytes, timestamp_ms: int) -> bytes:
        """A piece of the caller's audio, already in base64."""

    def mark(self, name: str) -> bytes:
        """A mark comes back."""

    def dtmf(self, digit: str, unix_micros: int) -> bytes:
        """The caller pressed a key."""

    def stop(self) -> bytes:
        """The stream is over."""

    def unknown(self) -> bytes:
        """A message that no server knows yet and every server must ignore."""

    def lose(self) -> None:
        """A piece of the caller's audio was lost before it could be sent."""

    def receive(self, message: bytes) -> ServerMessage:
        """Decode one text message of the server's."""

    def complaint(self, violation: Violation) -> bytes | None:
        """What the carrier tells the server about a violation, if it tells anything."""


class CarrierKind(msgspec.Struct, frozen=True):
    """A carrier that can be played. ``keeps_order``: media arrive in the order of their
    numbers. ``max_parameter_chars`` bounds a name and its value together; 0 is no bound."""

    name: Literal["twilio", "telnyx"]
    inbound: tuple[AudioFormat, ...]
    keeps_order: bool
    max_parameter_chars: int


def check_audio(payload: bytes, audio: AudioFormat) -> Violation | None:
    """What no carrier can play: nothing, a file's header, half a sample."""
    if not payload:
        return Violation("empty_payload", "a media message holds no audio")
    if payload.startswith(WAV_MAGIC):
        return Violation("file_header", "the payload begins with a WAV header; send raw samples")
    if len(payload) % audio.sample_bytes:
        return Violation(
            "partial_sample",
            f"{len(payload)} bytes are no whole number of {audio.sample_bytes}-byte samples",
        )
    return None
