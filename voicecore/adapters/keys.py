"""Vendors' API keys, as they come out of an environment."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from voicecore.providers.errors import VendorError


@runtime_checkable
class NeedsKey(Protocol):
    """A vendor that can say, without any I/O, whether it was given a usable key."""

    def check_key(self) -> None:
        """:raises VendorError: ``auth_failed``, it was not."""


def read_key(secrets: Mapping[str, str], name: str) -> str:
    """The key, without the white space that files and shells leave around it; empty: none."""
    return secrets.get(name, "").strip()


def check_key(vendor: str, name: str, key: str) -> None:
    """Whether there is a key and a header can carry it. ``name`` is the secret's, for the text
    of the error; the key itself is never in one.

    :raises VendorError: ``auth_failed``."""
    if not key:
        raise VendorError(vendor, "auth_failed", f"{name} is not set", retryable=False)
    if not key.isascii() or not key.isprintable() or " " in key:
        detail = f"{name} holds characters that no key has"
        raise VendorError(vendor, "auth_failed", detail, retryable=False)
