"""Where files are kept: a local directory, or a bucket of S3, R2, Google or Azure by its URL.

A key is made by us, such as ``audio/<workspace>/<file>/original``; no name of a peer is ever in it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from control.private_files import make_private_directory

REQUEST_TIMEOUT_S = 20.0
"""So long one object may take on its way there, or one piece of it on its way back."""
CHUNK_BYTES = 64 * 1024
LINK_TTL = timedelta(hours=1)

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9._-]*)+")


class StorageError(Exception):
    """The storage does not do what it was asked to."""


class NotStored(StorageError):
    """There is no such object."""


class Opened:
    """An object that is being read."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.size_bytes: int = result.meta["size"]

    async def chunks(self) -> AsyncIterator[bytes]:
        """:raises StorageError: the rest does not come."""
        stream = aiter(self._result.stream(min_chunk_size=CHUNK_BYTES))
        while True:
            async with _translated():
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)


class Storage:
    """Objects by their keys."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._signs = isinstance(store, S3Store | GCSStore | AzureStore)

    async def put(self, key: str, content: bytes | Path, content_type: str) -> None:
        """Keep this, whole or not at all.

        :raises StorageError: it could not be."""
        attributes = {"Content-Type": content_type} if self._signs else None
        async with _translated():
            await obstore.put_async(self._store, _checked(key), content, attributes=attributes)

    async def open(self, key: str) -> Opened:
        """:raises NotStored: there is none.
        :raises StorageError: it does not come."""
        async with _translated():
            return Opened(await obstore.get_async(self._store, _checked(key)))

    async def read(self, key: str) -> bytes:
        """The whole of an object.

        :raises NotStored: there is none.
        :raises StorageError: it does not come."""
        opened = await self.open(key)
        return b"".join([chunk async for chunk in opened.chunks()])

    async def delete(self, key: str) -> None:
        """See that it is not there.

        :raises StorageError: it could not be deleted."""
        with suppress(NotStored):
            async with _translated():
                await obstore.delete_async(self._store, _checked(key))

    async def links(self, keys: Sequence[str]) -> list[str] | None:
        """URLs under which anybody may read them for an hour; None where storage has none.

        :raises StorageError: they cannot be signed."""
        if not self._signs:
            return None
        if not keys:
            return []
        async with _translated():
            names = [_checked(key) for key in keys]
            return list(await obstore.sign_async(self._store, "GET", names, LINK_TTL))


def open_storage(url: str, data_dir: Path) -> Storage:
    """The storage of this URL, or ``<data_dir>/objects``, which nobody else may read.

    :raises StorageError: the URL is none of a storage."""
    try:
        if not url:
            make_private_directory(data_dir / "objects")
            return Storage(LocalStore(data_dir / "objects", mkdir=True))
        return Storage(from_url(url))
    except (BaseError, ValueError, OSError) as error:
        raise StorageError(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            yield
    except FileNotFoundError as error:
        raise NotStored(str(error)) from error
    except (BaseError, OSError) as error:  # a TimeoutError is an OSError
        raise StorageError(f"{type(error).__name__}: {error}") from error


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"no key of ours: {key!r}")
    return key
