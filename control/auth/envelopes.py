"""Secrets at rest: each has a key of its own, which is wrapped by one of the server's keys.

AES-256-GCM (NIST SP 800-38D) both times. What is sealed is bound to its place, so that a row that
is moved to another workspace or name does not open. Pure, but for the randomness it is given.
"""

import secrets
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class SealError(Exception):
    """A secret does not open: its key is not there, or it was tampered with."""


class Sealed(msgspec.Struct, frozen=True):
    """A secret as it is stored."""

    key_id: str
    """Which of the server's keys wraps its own."""
    wrapped_key: bytes
    sealed: bytes


class Keyring:
    """The server's keys by their ids; the first one is for what is sealed from now on.

    :param random: gives so many random bytes."""

    def __init__(
        self, keys: Mapping[str, bytes], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"a keyring has one key at least, each of {KEY_BYTES} bytes")
        self._keys = dict(keys)
        self._random = random

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    @property
    def current(self) -> str:
        """The id of the key that wraps what is sealed now."""
        return self.ids[0]

    def seal(self, text: str, place: str) -> Sealed:
        """Encrypt a secret for its place."""
        key = self._random(KEY_BYTES)
        return Sealed(
            self.current,
            self._encrypted(self._keys[self.current], key, _wrapping(self.current, place)),
            self._encrypted(key, text.encode(), place.encode()),
        )

    def open(self, sealed: Sealed, place: str) -> str:
        """The secret in clear.

        :raises SealError: it does not open here."""
        return _decrypted(self._unwrapped(sealed, place), sealed.sealed, place.encode()).decode()

    def rewrap(self, sealed: Sealed, place: str) -> Sealed:
        """The same with its key wrapped by the current one; the secret itself is not opened.

        :raises SealError: it does not open here."""
        key = self._unwrapped(sealed, place)
        wrapped = self._encrypted(self._keys[self.current], key, _wrapping(self.current, place))
        return Sealed(self.current, wrapped, sealed.sealed)

    def _unwrapped(self, sealed: Sealed, place: str) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise SealError(f"there is no key {sealed.key_id!r}")
        return _decrypted(key, sealed.wrapped_key, _wrapping(sealed.key_id, place))

    def _encrypted(self, key: bytes, data: bytes, bound_to: bytes) -> bytes:
        nonce = self._random(NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, data, bound_to)


def _wrapping(key_id: str, place: str) -> bytes:
    return f"key {key_id} of {place}".encode()


def _decrypted(key: bytes, data: bytes, bound_to: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise SealError("it was sealed for another place or with another key") from error
