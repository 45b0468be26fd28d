"""What Deepgram's live protocols have in common: JSON objects told apart by ``type``. Pure."""

from typing import TypeVar

import msgspec

M = TypeVar("M")


class _Header(msgspec.Struct, frozen=True):
    type: str


_HEADER = msgspec.json.Decoder(_Header)


class ErrorMessage(msgspec.Struct, frozen=True, tag_field="type", tag="Error"):
    """``code`` comes from the second versions of the routes, ``variant`` and ``message`` from
    the first ones."""

    code: str | None = None
    description: str | None = None
    message: str | None = None
    variant: str | None = None

    @property
    def detail(self) -> str:
        told = self.description or self.message or self.variant
        return " ".join(part for part in (self.code, told) if part) or "no description"


def decode_json(message: str, decoder: msgspec.json.Decoder[M]) -> M:
    """:raises ValueError: it is not what the decoder knows, or nested without end."""
    try:
        return decoder.decode(message)
    except RecursionError as deep:
        raise ValueError("nested too deeply") from deep


def decode_known(
    message: str | bytes, decoder: msgspec.json.Decoder[M], known: frozenset[str]
) -> M | None:
    """A message of one of the ``known`` types, None for one of another type: those that do not
    matter, and those that came after this was written.

    :raises ValueError: it is not what the protocol allows."""
    if isinstance(message, bytes):
        raise ValueError("binary message")
    try:
        return decode_json(message, decoder)
    except msgspec.ValidationError:
        if decode_json(message, _HEADER).type in known:
            raise
        return None


def sure(confidence: float | None) -> float:
    """A message's confidence, 0 to 1: 1 where it is missing or no such number."""
    return confidence if confidence is not None and 0.0 <= confidence <= 1.0 else 1.0
