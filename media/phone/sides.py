"""Every carrier that can be played. To add one: its file, and its line in ``SIDES``."""

from collections.abc import Callable

from media.phone.side import CarrierKind, CarrierSide, StreamSpec
from media.phone.telnyx_side import TELNYX, TelnyxSide
from media.phone.twilio_side import TWILIO, TwilioSide

SIDES: tuple[tuple[CarrierKind, Callable[[StreamSpec], CarrierSide]], ...] = (
    (TWILIO, TwilioSide),
    (TELNYX, TelnyxSide),
)


def carrier_names() -> tuple[str, ...]:
    return tuple(kind.name for kind, _ in SIDES)


def carrier_kind(name: str) -> CarrierKind:
    """:raises KeyError: no such carrier."""
    for kind, _ in SIDES:
        if kind.name == name:
            return kind
    raise KeyError(name)


def make_side(name: str, spec: StreamSpec) -> CarrierSide:
    """One stream's carrier.

    :raises KeyError: no such carrier.
    :raises ValueError: the carrier does not stream that codec."""
    for kind, side in SIDES:
        if kind.name == name:
            return side(spec)
    raise KeyError(name)
