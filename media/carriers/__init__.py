"""Every carrier spoken, one file each. To add one: its file, and its line in ``CARRIERS``."""

from media.carriers import telnyx, twilio
from media.carriers.kind import CarrierKind

CARRIERS: tuple[CarrierKind, ...] = (
    twilio.KIND,
    telnyx.KIND,
)

__all__ = ["CARRIERS", "CarrierKind"]
