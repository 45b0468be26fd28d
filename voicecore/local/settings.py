"""Settings of the local adapters, checked the same way."""

from typing import Any, TypeVar

import msgspec

from voicecore.adapters.registry import VendorConfig, VendorConfigError

_Settings = TypeVar("_Settings", bound=msgspec.Struct)


def read_settings(config: VendorConfig, kind: type[_Settings]) -> _Settings:
    """:raises VendorConfigError: a setting is unknown, of the wrong type, or out of range."""
    raw: Any = dict(config.settings)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        # msgspec ends its message with " - at `$.path`" unless the root itself is wrong.
        detail, _, path = str(error).partition(" - at `$")
        raise VendorConfigError("settings" + path.rstrip("`"), detail) from error
