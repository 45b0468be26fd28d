"""The keys that secrets are sealed with: from ``VOICECORE_SECRET_KEYS``, or a file of our own.

Both are a list of ``id:key``, the key 32 bytes as base64; the first one seals. The file is made for
the embedded database only: servers that share a database must share the keys, too. Who changes it
holds a lock meanwhile, or what one process adds another would take out again.
"""

import base64
import binascii
import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Self, TextIO

from control.auth.envelopes import KEY_BYTES, Keyring

FILE_NAME = "secret.keys"
LOCK_NAME = "secret.keys.lock"
LOCK_TIMEOUT_S = 60.0
"""A rotation holds the lock to its end, and waits itself for those who store a secret just then."""
_LOCK_POLL_S = 0.05
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
        self._read = (-1, -1, -1)
        self._keyring = Keyring(parse_keys(configured)) if configured else None

    @property
    def file(self) -> Path | None:
        """Ours, which can be given another key; None where the keys are configured."""
        return self._file

    def make(self, now: datetime) -> None:
        """Make the file with a first key where it is missing. May wait, as ``lock`` does.

        :raises SecretKeysError: it cannot be written."""
        if self._file is None or self._file.exists():
            return
        with self.lock() as file:
            file.make(now)

    def lock(self, timeout_s: float = LOCK_TIMEOUT_S) -> "LockedKeys":
        """Have the file for us alone until the block ends. Waits for another one who has it: call
        it from a thread where something else goes on.

        :raises SecretKeysError: there is no file of ours, or another one has it for too long."""
        if self._file is None:
            raise SecretKeysError("the keys are configured, not in a file")
        return LockedKeys(self._file, _locked(self._file.with_name(LOCK_NAME), timeout_s))

    def keyring(self) -> Keyring | None:
        """The keys as they are now; None where there are none.

        :raises SecretKeysError: the file cannot be used."""
        if self._file is None:
            return self._keyring
        try:
            status = self._file.stat()
            # The time alone is not enough: a file system's clock may be coarse.
            found = (status.st_mtime_ns, status.st_ino, status.st_size)
            if found != self._read:
                self._keyring = Keyring(parse_keys(self._file.read_text()))
                self._read = found
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SecretKeysError(f"{self._file}: {error}") from error
        return self._keyring


class LockedKeys:
    """The file of keys while nobody else changes it."""

    def __init__(self, file: Path, lock: TextIO) -> None:
        self._file = file
        self._lock = lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def make(self, now: datetime) -> None:
        """Make the file with a first key where it is missing.

        :raises SecretKeysError: it cannot be written."""
        if not self._file.exists():
            self._write([new_entry(now)])

    def add(self, now: datetime) -> None:
        """Put a new key in front of the file's.

        :raises SecretKeysError: there is no file, or it cannot be written."""
        self._write([new_entry(now), *self._entries()])

    def keep_only(self, key_id: str, in_use: Collection[str]) -> None:
        """Take every other key out of the file.

        :param in_use: the ids of all keys that secrets are sealed with now.
        :raises SecretKeysError: there is no file, it cannot be written, or a key would go that is
            still needed; nothing is changed then."""
        keys = {entry.partition(":")[0]: entry for entry in self._entries()}
        if next(iter(keys), None) != key_id:
            raise SecretKeysError(f"{self._file}: {key_id} is not its first key; none is dropped")
        if needed := sorted(set(in_use) & set(keys) - {key_id}):
            raise SecretKeysError(
                f"{self._file}: secrets are still sealed with {', '.join(needed)}; none is dropped"
            )
        self._write([keys[key_id]])

    def _entries(self) -> list[str]:
        try:
            return [entry for entry in re.split(r"[,\s]+", self._file.read_text()) if entry]
        except OSError as error:
            raise SecretKeysError(f"{self._file}: {error.strerror}") from error

    def _write(self, entries: list[str]) -> None:
        """At once or not at all, on the disk when this returns; nobody else may read it."""
        beside = self._file.with_suffix(".new")
        try:
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as out:
                out.write("\n".join(entries) + "\n")
                out.flush()
                os.fsync(out.fileno())
            beside.replace(self._file)
            directory = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(directory)  # secrets are sealed with it next: the name must not be lost
            finally:
                os.close(directory)
        except OSError as error:
            raise SecretKeysError(f"{self._file}: {error.strerror}") from error


def _locked(path: Path, timeout_s: float) -> TextIO:
    """The lock's file, which holds it until it is closed or this process ends.

    :raises SecretKeysError: another one has it for too long."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SecretKeysError(f"{path}: {error.strerror}") from error
    file = os.fdopen(handle, "r+")
    deadline_s = time.monotonic() + timeout_s
    try:
        while not _flocked(file):
            if time.monotonic() >= deadline_s:
                raise SecretKeysError(_taken(file, path, timeout_s))
            time.sleep(_LOCK_POLL_S)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as error:
        file.close()
        raise SecretKeysError(f"{path}: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return file


def _flocked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(file: TextIO, path: Path, timeout_s: float) -> str:
    file.seek(0)
    holder = file.read(20).strip()
    who = f"process {holder}" if holder else "another process"
    return f"{path}: {who} is changing the keys, and was not done after {timeout_s:.0f} s"
