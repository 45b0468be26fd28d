"""What Deepgram's live protocols have in common: JSON objects told apart by ``type``. Pure."""

from typing import TypeVar

import msgspec

M = TypeVar("M")


class _Header(msgspec.Struct, frozen=True):
    type: str


_HEADER = msgspec.json.Decoder(_Header)


def decode_known(
    message: str | bytes, decoder: msgspec.json.Decoder[M], known: frozenset[str]
) -> M | None:
    """A message of one of the ``known`` types, None for one of another type: those that do not
    matter, and those that came after this was written.

    :raises ValueError: it is not what the protocol allows."""
    if isinstance(message, bytes):
        raise ValueError("binary message")
    try:
        return decoder.decode(message)
    except msgspec.ValidationError:
        if _HEADER.decode(message).type in known:
            raise
        return None
