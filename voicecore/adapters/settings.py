"""A vendor's settings, checked against the model that its adapter declares."""

from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from voicecore.adapters.registry import VendorConfig, VendorConfigError

S = TypeVar("S", bound=BaseModel | msgspec.Struct)


def read_settings(config: VendorConfig, kind: type[S]) -> S:
    """``config.settings`` as a ``kind``, which is a pydantic model or a ``msgspec.Struct``.

    :raises VendorConfigError: for the first setting that is unknown, of the wrong type, or out
        of range; ``field`` is its path (``settings.voice.speed``), or ``settings`` where the
        settings are wrong as a whole."""
    raw: Any = dict(config.settings)
    try:
        if issubclass(kind, BaseModel):
            return kind.model_validate(raw)
        return msgspec.convert(raw, kind)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        field = ".".join(("settings", *(str(part) for part in first["loc"])))
        own = first["type"] == "value_error"
        detail = str(first["ctx"]["error"]) if own else first["msg"]
        raise VendorConfigError(field, detail) from None
    except msgspec.ValidationError as wrong:
        # msgspec ends its message with " - at `$.path`" unless the root itself is wrong.
        detail, _, path = str(wrong).partition(" - at `$")
        raise VendorConfigError("settings" + path.rstrip("`"), detail) from None


def require_names(config: VendorConfig, *fields: str) -> None:
    """:raises VendorConfigError: one of the fields (``model``, ``voice``) is empty."""
    for field in fields:
        if not getattr(config, field):
            raise VendorConfigError(field, f"must name a {field}")
