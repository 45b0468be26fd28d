"""Passwords: Argon2id (RFC 9106), off the event loop."""

import asyncio
import hmac
from base64 import b64decode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

MIN_LENGTH, MAX_LENGTH = 8, 256
"""The upper one because hashing megabytes is work that anybody could order."""
THREADS = 2
"""Each hash takes 64 MiB and some 50 ms of a core; more of them wait in line."""


class Passwords:
    """Hashes and checks them."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._nobodys = _nobodys()

    async def hash(self, password: str, like: str | None = None) -> str:
        """The text to keep; where there is one that it is ``like``, with that one's salt, so that
        ``is_one_of`` compares with both at once."""
        return await self._run(self._hash, password, like or "")

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether it is the password. Takes as long where there is none to compare with, so that
        nobody learns who is registered."""
        right = await self._run(self._verify, kept or self._nobodys, password)
        return right and kept is not None

    async def is_one_of(self, password: str, kept: Sequence[str]) -> bool:
        """Whether it is one of the passwords that were hashed with the first one's salt. Takes as
        long as ``matches`` however many there are, and where there is none."""
        hashed = await self._run(self._hash, password, kept[0] if kept else self._nobodys)
        return any([hmac.compare_digest(hashed, one) for one in kept])

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str, like: str) -> str:
        return self._hasher.hash(password, salt=_salt_of(like) if like else None)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *values: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *values)


def _salt_of(kept: str) -> bytes:
    """Of ``$argon2id$v=19$m=...,t=...,p=...$salt$hash``, whose Base64 has no padding."""
    salt = kept.split("$")[4]
    return b64decode(salt + "=" * (-len(salt) % 4))


@lru_cache(1)
def _nobodys() -> str:
    """A hash to compare with where there is none."""
    return PasswordHasher().hash("the password of nobody")


def weakness(password: str) -> str:
    """Why a password is refused; empty where it is not."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"must have {MIN_LENGTH} to {MAX_LENGTH} characters"
    kinds = (str.islower, str.isupper, str.isdigit, lambda one: not one.isalnum())
    if sum(any(kind(one) for one in password) for kind in kinds) < 3:
        return "must have three of: small letters, capital letters, digits, other characters"
    return ""
