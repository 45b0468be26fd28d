"""The keys that secrets are sealed with: from ``VOICECORE_SECRET_KEYS``, or a file of our own.

Both are a list of ``id:key``, the key 32 bytes as base64; the first one seals. The file is made for
the embedded database only: servers that share a database must share the keys, too.
"""

import base64
import binascii
import os
import re
import secrets
from datetime import datetime
from pathlib import Path

from control.auth.envelopes import KEY_BYTES, Keyring

FILE_NAME = "secret.keys"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SecretKeysError(Exception):
    """The keys cannot be read, or the file not written."""


def parse_keys(text: str) -> dict[str, bytes]:
    """Keys by their ids, of a list with commas or line ends between.

    :raises ValueError: with what is wrong; no key is in the text."""
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(filter(None, re.split(r"[,\s]+", text)), 1):
        name, colon, encoded = entry.partition(":")
        if not colon or not _ID.fullmatch(name):
            raise ValueError(f"entry {number} must be an id, a colon and a key in base64")
        if name in keys:
            raise ValueError(f"the id of entry {number} is there twice")
        try:
            keys[name] = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            keys[name] = b""
        if len(keys[name]) != KEY_BYTES:
            raise ValueError(f"the key of entry {number} must be {KEY_BYTES} bytes in base64")
    return keys


def new_entry(now: datetime) -> str:
    """A new key, as it is written."""
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"{now:%Y-%m-%d}-{secrets.token_hex(4)}:{key}"


class SecretKeys:
    """Where the keys come from. The file is read again when it has changed, so that a rotation
    needs no restart."""

    def __init__(self, configured: str, data_dir: Path | None) -> None:
        """:param data_dir: where the file may be; None where there may be none."""
        self._configured = configured
        self._file = None if configured or data_dir is None else data_dir / FILE_NAME
        self._read_at_ns = -1
        self._keyring = Keyring(parse_keys(configured)) if configured else None

    @property
    def file(self) -> Path | None:
        """Ours, which can be given another key; None where the keys are configured."""
        return self._file

    def make(self, now: datetime) -> None:
        """Make the file with a first key where it is missing.

        :raises SecretKeysError: it cannot be written."""
        if self._file is None or self._file.exists():
            return
        self._write([new_entry(now)])

    def keyring(self) -> Keyring | None:
        """The keys as they are now; None where there are none.

        :raises SecretKeysError: the file cannot be used."""
        if self._file is None:
            return self._keyring
        try:
            changed_at_ns = self._file.stat().st_mtime_ns
            if changed_at_ns != self._read_at_ns:
                self._keyring = Keyring(parse_keys(self._file.read_text()))
                self._read_at_ns = changed_at_ns
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SecretKeysError(f"{self._file}: {error}") from error
        return self._keyring

    def add(self, now: datetime) -> None:
        """Put a new key in front of the file's.

        :raises SecretKeysError: there is no file, or it cannot be written."""
        self._write([new_entry(now), *self._entries()])

    def keep_only(self, key_id: str) -> None:
        """Take every other key out of the file.

        :raises SecretKeysError: there is no file, or it cannot be written."""
        self._write([entry for entry in self._entries() if entry.partition(":")[0] == key_id])

    def _entries(self) -> list[str]:
        if self._file is None:
            raise SecretKeysError("the keys are configured, not in a file")
        try:
            return self._file.read_text().split()
        except OSError as error:
            raise SecretKeysError(f"{self._file}: {error.strerror}") from error

    def _write(self, entries: list[str]) -> None:
        """At once or not at all; nobody else may read it."""
        assert self._file is not None
        beside = self._file.with_suffix(".new")
        try:
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as out:
                out.write("\n".join(entries) + "\n")
                out.flush()
                os.fsync(out.fileno())
            beside.replace(self._file)
        except OSError as error:
            raise SecretKeysError(f"{self._file}: {error.strerror}") from error
