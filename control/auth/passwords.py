"""Passwords: Argon2id (RFC 9106), off the event loop."""

import asyncio
from collections.abc import Callable
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

    async def hash(self, password: str) -> str:
        """The text to keep."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether it is the password. Takes as long where there is none to compare with, so that
        nobody learns who is registered."""
        right = await self._run(self._verify, kept or self._nobodys, password)
        return right and kept is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *values: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *values)


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
