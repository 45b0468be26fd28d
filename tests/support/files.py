"""A running ``DiskWriter`` for a test, and waiting for its files."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from media.recording_writer import Damage, DiskWriter, FinishedFile, QueuedData, QueuedFile

PATIENCE_S = 10


@contextmanager
def running_writer(**settings: Any) -> Iterator[tuple[DiskWriter, list[Damage]]]:
    damage: list[Damage] = []
    writer = DiskWriter(**{"batch_ms": 1, "on_damage": damage.append, **settings})
    writer.start()
    try:
        yield writer, damage
    finally:
        assert writer.stop(PATIENCE_S)


def finish(writer: DiskWriter, file: QueuedFile) -> FinishedFile:
    """Closes the file and waits for it."""
    done = threading.Event()
    reports: list[FinishedFile] = []

    def finished(report: FinishedFile) -> None:
        reports.append(report)
        done.set()

    writer.finish(file, finished)
    assert done.wait(PATIENCE_S)
    return reports[0]


class BlockedFile(QueuedFile):
    """Stands for a disk that does not answer until it is released."""

    entered: threading.Event
    released: threading.Event

    def write(self, pieces: list[QueuedData]) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE_S)
        super().write(pieces)


@contextmanager
def blocked(writer: DiskWriter, file: BlockedFile) -> Iterator[None]:
    """The writer's thread is held up in ``file`` while this lasts."""
    file.entered, file.released = threading.Event(), threading.Event()
    writer.write(file, b"x")
    assert file.entered.wait(PATIENCE_S)
    try:
        yield
    finally:
        file.released.set()
