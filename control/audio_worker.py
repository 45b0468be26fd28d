"""Makes uploaded audio fit for the telephone, behind the requests: one file at a time.

What is to be done is in the database, so that it outlasts the process; whoever takes a file has it
for a while, so that two processes do not take the same.
"""

import asyncio
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from control.audio_files import NoAudio, NotWritten, Stopped, normalise
from control.db import audio
from control.db.database import PLATFORM, Database, Row
from control.storage import NotStored, Storage, StorageError

DEADLINE_S = 60.0
"""For one file."""
LEASE = timedelta(seconds=2 * DEADLINE_S)
LOOK_S = 30.0
"""So often it looks for files that somebody else left."""
STORAGE_PAUSE = timedelta(seconds=30)
"""Before it is tried again when the storage is away. That is not the file's fault."""

MOST_FORGOTTEN = 10_000

WAV = "audio/wav"
CONTENT_TYPES = {"wav": WAV, "mp3": "audio/mpeg"}

log = structlog.get_logger("control.audio")


def original_key(object_key: str) -> str:
    """As it was uploaded."""
    return f"{object_key}/original"


def narrow_key(object_key: str) -> str:
    """8 kHz mu-law."""
    return f"{object_key}/narrow.wav"


def wide_key(object_key: str) -> str:
    """16 kHz PCM."""
    return f"{object_key}/wide.wav"


def all_keys(object_key: str) -> tuple[str, ...]:
    return original_key(object_key), narrow_key(object_key), wide_key(object_key)


class AudioWorker:
    """The background's task."""

    def __init__(self, db: Database, storage: Storage, now: Callable[[], datetime]) -> None:
        self._db = db
        self._storage = storage
        self._now = now
        self._wake = asyncio.Event()
        self._stop = threading.Event()
        self._forgotten: deque[str] = deque(maxlen=MOST_FORGOTTEN)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take up what is left from before, too."""
        self._task = asyncio.create_task(self._run(), name="audio")
        self._task.add_done_callback(_told)

    def wake(self) -> None:
        """There is a new file."""
        self._wake.set()

    def forget(self, keys: Sequence[str]) -> None:
        """Have these objects deleted, when the storage can."""
        self._forgotten.extend(keys)
        self._wake.set()

    async def stop(self) -> None:
        """Give back what is being done, and end."""
        self._stop.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._delete_forgotten()

    async def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                found = await self.do_next()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.error("the database does not answer", code="database_away", error=str(error))
                found = False
            await self._delete_forgotten()
            if not found and not self._stop.is_set():
                await self._idle()

    async def _delete_forgotten(self) -> None:
        while self._forgotten:
            try:
                await self._storage.delete(self._forgotten[0])
            except StorageError as error:
                log.error("an object is not deleted", code="storage_away", error=str(error))
                return
            self._forgotten.popleft()

    async def _idle(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), LOOK_S)
        except TimeoutError:
            return

    async def do_next(self) -> bool:
        """Do the oldest; False where there is none.

        :raises OSError: the database does not answer."""
        async with self._db.transaction(PLATFORM) as db:
            row = await audio.claim(db, self._now(), LEASE)
        if row is None:
            return False
        if row["attempts"] > audio.MOST_ATTEMPTS:
            await self._failed(row, "It could not be processed")
            return True
        try:
            await self._normalise(row)
        except NoAudio as error:
            await self._failed(row, str(error))
        except TimeoutError:
            await self._failed(row, "It takes too long to decode")
        except NotStored:
            await self._failed(row, "The uploaded file is lost")
        except Stopped:
            await self._give_back(row, self._now())
        except (StorageError, NotWritten) as error:
            log.error("the storage does not answer", code="storage_away", error=str(error))
            await self._give_back(row, self._now() + STORAGE_PAUSE)
        return True

    async def _normalise(self, row: Row) -> None:
        key = row["object_key"]
        content = await self._storage.read(original_key(key))
        with tempfile.TemporaryDirectory(prefix="voicecore-audio-") as folder:
            narrow, wide = Path(folder) / "narrow.wav", Path(folder) / "wide.wav"
            duration_ms = await self._on_a_thread(normalise, content, narrow, wide)
            await self._storage.put(narrow_key(key), narrow, WAV)
            await self._storage.put(wide_key(key), wide, WAV)
        async with self._db.transaction(PLATFORM) as db:
            kept = await audio.done(db, row["id"], duration_ms)
        if not kept:  # somebody deleted it while it was being made
            self._forgotten.extend(all_keys(key))

    async def _on_a_thread(self, work: Callable[..., int], *values: Any) -> int:
        """:raises TimeoutError: the deadline has come; the thread has ended before."""
        stop = threading.Event()
        task = asyncio.create_task(asyncio.to_thread(work, *values, stop))
        waited_s = 0.0
        while not task.done():
            if self._stop.is_set() or waited_s >= DEADLINE_S:
                stop.set()
            await asyncio.wait([task], timeout=0.5)
            waited_s += 0.5
        try:
            return task.result()
        except Stopped:
            if self._stop.is_set():
                raise
            raise TimeoutError from None

    async def _failed(self, row: Row, why: str) -> None:
        log.info("an audio file failed", id=row["id"], why=why)
        async with self._db.transaction(PLATFORM) as db:
            await audio.failed(db, row["id"], why)

    async def _give_back(self, row: Row, again_at: datetime) -> None:
        async with self._db.transaction(PLATFORM) as db:
            until = row["claimed_until"]
            await audio.release(db, row["id"], until, again_at)


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("audio ended by a bug", code="audio_worker_failed", exc_info=error)
