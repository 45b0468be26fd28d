"""Facts on disk while the database is away: segments, written in order and taken back in order.
They hold what callers said: nobody else may read them.

Everything here blocks: call it from a thread, one call at a time."""

import os
import re
from contextlib import suppress
from pathlib import Path

from control.private_files import make_private_directory, narrow, open_to_append

SEGMENT_BYTES = 1024 * 1024
_SUFFIX = ".jsonl"
_REFUSED = "refused.txt"
_NAME = re.compile(r"[0-9]{8}|[1-9][0-9]{8,17}")
"""As they are written: a file with another name is somebody else's."""


class Spill:
    """A directory of numbered files of lines."""

    def __init__(self, directory: Path) -> None:
        """:raises OSError: the directory cannot be made."""
        make_private_directory(directory)
        self._directory = directory
        self._numbers = sorted(
            int(path.stem) for path in directory.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.stem)
        )
        for path in (*map(self._path, self._numbers), directory / _REFUSED):
            narrow(path)
        self._open = False
        """Whether the last segment is of this process, and may grow."""

    def __len__(self) -> int:
        """Segments."""
        return len(self._numbers)

    @property
    def empty(self) -> bool:
        return not self._numbers

    def append(self, lines: bytes) -> None:
        """Add whole lines, which are on the disk when this returns.

        :raises OSError: the disk is full, or gone."""
        last = self._numbers[-1] if self._numbers else 0
        grows = self._open and bool(last) and self._size(last) < SEGMENT_BYTES
        number = last if grows else last + 1
        before = self._size(number)
        try:
            with open_to_append(self._path(number)) as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            # What comes next must not be glued to half a line.
            with suppress(OSError):
                os.truncate(self._path(number), before)
            raise
        if not grows:
            self._numbers.append(number)
            self._open = True

    def first(self) -> bytes:
        """The oldest segment, which grows no more.

        :raises OSError: it cannot be read."""
        if len(self._numbers) == 1:
            self._open = False
        try:
            return self._path(self._numbers[0]).read_bytes()
        except FileNotFoundError:  # somebody took it away
            return b""

    def drop_first(self) -> None:
        """It is in the database.

        :raises OSError: it cannot be taken away; it is the first still."""
        self._path(self._numbers[0]).unlink(missing_ok=True)
        del self._numbers[0]

    def refuse(self, lines: bytes) -> None:
        """Keep what the database will never take, for somebody to look at."""
        with open_to_append(self._directory / _REFUSED) as file:
            file.write(lines)

    def _size(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}{_SUFFIX}"
