"""Writes calls' files in the background: one thread for the whole process.

Nothing here makes a call wait. Data is queued, the thread wakes at most every ``batch_ms`` and
hands everything to the operating system, so a process that is killed loses at most that much.
The disk is told to keep it (``fsync``) when a file is closed, not before: a power cut may cost
a call that is still going on, and no call pays for another's flush.

The queue is bounded in bytes, and each file has a share of it, so that a call that floods its
own file leaves room for the others'. When the disk cannot keep up, the new data is lost, its
file is damaged and counted, and the call goes on; a recording gets silence in its place, so that
the rest stays aligned. Any error of the disk (full, read-only, gone) ends that one file.

    writer = DiskWriter(); writer.start()
    directory = CallDirectory(base, call_id)
    recording = WavFile(directory, "recording.wav", rate_hz=8000)
    writer.write(recording, stereo)
    writer.finish(recording, on_finished)
    writer.stop(timeout_s=5)
"""

import contextlib
import errno
import os
import struct
import threading
from collections import deque
from collections.abc import Callable

import msgspec

from media.call_directory import CallDirectory

QUEUE_LIMIT_BYTES = 64 * 1024 * 1024
FREE_PER_FILE = 16
"""A file may have queued at most this fraction of what is free: 1/16. The share thus shrinks
with the number of files that are behind (Choudhury and Hahne's dynamic threshold, 1998): one
alone gets 1/17 of the queue, 500 at once get 1/516 each, 97 % of it together, and there is
always some room left for a file that has nothing queued."""
WAV_LIMIT_BYTES = 0xFFFFFFFF - 64 * 1024
"""A WAV file counts its bytes in 32 bits: 37 hours of two channels at 8 kHz."""

WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
FRAME_BYTES = 4
"""A sample of both channels."""
_SILENCE = bytes(64 * 1024)
_LOST_VERSION = frozenset({"queue_full", "disk_error"})
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def wav_header(rate_hz: int, data_bytes: int) -> bytes:
    """Of two channels of signed 16-bit samples."""
    return WAV_HEADER.pack(
        b"RIFF", WAV_HEADER.size - 8 + data_bytes, b"WAVE", b"fmt ", 16, 1, 2, rate_hz,
        rate_hz * FRAME_BYTES, FRAME_BYTES, 16, b"data", data_bytes,
    )  # fmt: skip


class Damage(msgspec.Struct, frozen=True):
    """A file that is not whole. ``code`` is stable: ``queue_full`` (it has a gap: the disk was
    too slow for what was queued), ``too_long`` or ``disk_error`` (it ends early, or a version of
    it is missing), or what ``DiskWriter.damaged()`` was told."""

    call: str
    """The call's directory, by name; a number follows it where the carrier repeated an id."""
    file: str
    code: str
    detail: str


class FinishedFile(msgspec.Struct, frozen=True):
    """A closed file; ``path`` is empty when it was never made. ``damage`` is its first."""

    path: str
    size_bytes: int
    damage: Damage | None


class QueuedData(msgspec.Struct, frozen=True, gc=False):
    """The next data of a file, and how much was lost right before it."""

    data: bytes
    missing_bytes: int = 0


class QueuedFile:
    """A file that is appended to, readable by its owner only. It is made with its first data.
    Only the writer's thread calls the methods."""

    replaces = False
    """Whether each write stands alone, so that one may succeed after another has failed."""

    def __init__(self, directory: CallDirectory, name: str) -> None:
        self.directory = directory
        self.name = name
        self.size_bytes = 0
        self._descriptor = -1
        self._made = False
        # The rest is the writer's, under its lock.
        self.damage: Damage | None = None
        self.ended = False
        self.missing_bytes = 0
        self.queued_bytes = 0

    @property
    def path(self) -> str:
        """Empty while there is no such file."""
        return str(self.directory.make() / self.name) if self._made else ""

    def write(self, pieces: list[QueuedData]) -> None:
        """:raises OSError: the disk."""
        self._append(b"".join(piece.data for piece in pieces))

    def close(self) -> None:
        """:raises OSError: the disk."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _append(self, data: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.directory.make() / self.name, _NEW_FILE, 0o600)
            self._made = True
        _write_all(self._descriptor, data)
        self.size_bytes += len(data)


class WavFile(QueuedFile):
    """Signed 16-bit samples of two channels. The sizes in the header are written again behind
    every batch, so that the file is valid at any time, also after the process was killed."""

    def __init__(
        self,
        directory: CallDirectory,
        name: str,
        *,
        rate_hz: int,
        limit_bytes: int = WAV_LIMIT_BYTES,
    ) -> None:
        super().__init__(directory, name)
        self._rate_hz = rate_hz
        self._limit_bytes = limit_bytes

    def write(self, pieces: list[QueuedData]) -> None:
        if self._descriptor < 0:
            self._append(wav_header(self._rate_hz, 0))
        try:
            for piece in pieces:
                self._append_aligned(piece)
        finally:
            data_bytes = self.size_bytes - WAV_HEADER.size
            os.pwrite(self._descriptor, wav_header(self._rate_hz, data_bytes), 0)

    def _append_aligned(self, piece: QueuedData) -> None:
        size = self.size_bytes + piece.missing_bytes + len(piece.data)
        if size > self._limit_bytes:
            raise OSError(errno.EFBIG, f"longer than {self._limit_bytes} bytes")
        for done in range(0, piece.missing_bytes, len(_SILENCE)):
            self._append(_SILENCE[: piece.missing_bytes - done])
        self._append(piece.data)


class ReplacedFile(QueuedFile):
    """A file that every write replaces as a whole: a reader sees the old one or the new one."""

    replaces = True

    def write(self, pieces: list[QueuedData]) -> None:
        target = self.directory.make() / self.name
        draft = target.with_name(self.name + ".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, _NEW_FILE, 0o600)
        try:
            _write_all(descriptor, pieces[-1].data)
        finally:
            os.close(descriptor)
        draft.rename(target)
        self.size_bytes = len(pieces[-1].data)
        self._made = True

    def close(self) -> None:
        if self._made:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        super().close()


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class WriterCounts(msgspec.Struct, frozen=True):
    queued_bytes: int
    written_bytes: int
    lost_bytes: int
    open_files: int
    damaged_files: int


_Finished = Callable[[FinishedFile], None]


class DiskWriter:
    """The thread and its queue. ``on_damage`` is called for the first damage of each file, in
    the thread that found it; it must return at once and not raise."""

    def __init__(
        self,
        *,
        queue_limit_bytes: int = QUEUE_LIMIT_BYTES,
        batch_ms: int = 50,
        on_damage: Callable[[Damage], None] | None = None,
    ) -> None:
        self._limit_bytes = queue_limit_bytes
        self._batch_s = batch_ms / 1000
        self._on_damage = on_damage
        self._queue: deque[tuple[QueuedFile, QueuedData, _Finished | None]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._queued_bytes = 0
        self._written_bytes = 0
        self._lost_bytes = 0
        self._damaged_files = 0
        self._open: set[QueuedFile] = set()
        self._thread = threading.Thread(target=self._run, name="disk-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write(self, file: QueuedFile, data: bytes) -> bool:
        """Queues the file's next data; False when it was lost."""
        if not data:
            return True
        size = len(data)
        with self._lock:
            queued_bytes = file.queued_bytes + size
            free_bytes = self._limit_bytes - self._queued_bytes
            full = queued_bytes * FREE_PER_FILE > free_bytes or self._stopping.is_set()
            if full:
                self._lost_bytes += size
                file.missing_bytes += size
            else:
                file.queued_bytes = queued_bytes
                self._queued_bytes += size
                self._queue.append((file, QueuedData(data, file.missing_bytes), None))
                file.missing_bytes = 0
        if full:
            self.damaged(file, "queue_full", f"{size} bytes lost")
        elif not self._wake.is_set():
            self._wake.set()
        return not full

    def damaged(self, file: QueuedFile, code: str, detail: str) -> None:
        """Counts and reports that a file is not whole; only its first damage is."""
        with self._lock:
            if file.damage is not None:
                return
            file.damage = damage = Damage(file.directory.name, file.name, code, detail)
            self._damaged_files += 1
        if self._on_damage is not None:
            self._on_damage(damage)

    def finish(self, file: QueuedFile, finished: _Finished | None = None) -> None:
        """Closes the file behind its data; nothing may be written to it afterwards.
        ``finished`` is then called in the writer's thread (after ``stop()``, in this one) and
        must not raise."""
        missing_bytes = 0 if file.replaces else file.missing_bytes
        self._queue.append((file, QueuedData(b"", missing_bytes), finished or _ignore))
        self._wake.set()
        self._take_over()

    def stop(self, timeout_s: float) -> bool:
        """Writes what is queued, closes every file and ends the thread; False when the disk
        took longer than that. Blocks, so not for the event loop. Idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._take_over()
        return not self._thread.is_alive()

    @property
    def counts(self) -> WriterCounts:
        return WriterCounts(
            self._queued_bytes,
            self._written_bytes,
            self._lost_bytes,
            len(self._open),
            self._damaged_files,
        )

    def _take_over(self) -> None:
        """Does what came too late for the thread."""
        if self._stopping.is_set() and not self._thread.is_alive():
            self._empty_queue()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            # What comes within a moment goes out together: one wake-up for all calls.
            self._stopping.wait(self._batch_s)
            self._wake.clear()
            self._empty_queue()
        self._empty_queue()
        for file in tuple(self._open):
            self._close(file, _ignore)

    def _empty_queue(self) -> None:
        batch: dict[QueuedFile, list[QueuedData]] = {}
        closing: list[tuple[QueuedFile, _Finished]] = []
        while self._queue:
            file, piece, finished = self._queue.popleft()
            if finished is not None:
                closing.append((file, finished))
            if piece.data or piece.missing_bytes:
                batch.setdefault(file, []).append(piece)
        for file, pieces in batch.items():
            self._write(file, pieces)
        for file, finished in closing:
            self._close(file, finished)

    def _write(self, file: QueuedFile, pieces: list[QueuedData]) -> None:
        size = sum(len(piece.data) for piece in pieces)
        failed = False
        if not file.ended:
            self._open.add(file)
            try:
                file.write(pieces)
            except OSError as error:
                failed = True
                self._failed(file, error)
            else:
                self._written_bytes += size
        with self._lock:
            self._queued_bytes -= size
            file.queued_bytes -= size
            damage = file.damage
            if file.replaces and not failed and not file.missing_bytes and damage is not None:
                # A whole version makes good for one that was lost, not for what is in no version.
                file.damage = None if damage.code in _LOST_VERSION else damage

    def _close(self, file: QueuedFile, finished: _Finished) -> None:
        self._open.discard(file)
        try:
            file.close()
        except OSError as error:
            self._failed(file, error)
        file.ended = True
        finished(FinishedFile(file.path, file.size_bytes, file.damage))

    def _failed(self, file: QueuedFile, error: OSError) -> None:
        code = "too_long" if error.errno == errno.EFBIG else "disk_error"
        self.damaged(file, code, error.strerror or str(error))
        if not file.replaces and not file.ended:
            file.ended = True
            self._open.discard(file)
            with contextlib.suppress(OSError):
                file.close()


def _ignore(finished: FinishedFile) -> None:
    """Nobody waits for this file."""
