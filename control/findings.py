"""What `voicecore doctor` finds."""

from typing import Literal

import msgspec

Standing = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. A ``warning`` may be so on purpose; ``wrong`` does not work."""

    what: str
    standing: Standing
    detail: str
    advice: str = ""
    """What to do about it; empty where nothing need be done."""


class Key(msgspec.Struct, frozen=True):
    """A vendor's key, and a request that costs nothing and fails without it."""

    name: str
    url: str
    header: str = "Authorization"
    scheme: str = "Bearer "
