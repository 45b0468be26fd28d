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


def advice_on(secret: str, whose: str = "this vendor is to be used") -> str:
    """What to do about a key that is not there, which is stored under this name."""
    return f"Set it, or store it as the secret {secret} (PUT /admin/secrets/{secret}), if {whose}"


class Key(msgspec.Struct, frozen=True):
    """A vendor's key, and a request that costs nothing and fails without it."""

    name: str
    url: str
    header: str = "Authorization"
    scheme: str = "Bearer "
    secret: str = ""
    """What it is called where it is stored, if not by this name."""

    @property
    def advice(self) -> str:
        """What to do where there is none."""
        return advice_on(self.secret or self.name)
