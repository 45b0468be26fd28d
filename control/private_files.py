"""Files and directories that hold what callers said: for their owner only, whatever the umask."""

import stat
from pathlib import Path
from typing import BinaryIO

import structlog

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = structlog.get_logger("control.private_files")


def make_private_directory(path: Path) -> None:
    """Make it for us alone; one that is there already is narrowed.

    :raises OSError: it cannot be made."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    narrow(path)


def narrow(path: Path) -> None:
    """Take it from everybody else. Where that is not ours to do, the log says so. What a link leads
    to is somebody's own arrangement."""
    if path.is_symlink():
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning(
            "others may read what callers said", code="not_private", path=str(path),
            error=error.strerror, hint="chmod go= it, as its owner",
        )  # fmt: skip


def open_to_append(path: Path) -> BinaryIO:
    """A file that is ours alone if it is made here.

    :raises OSError: it cannot be made, or not be written."""
    path.touch(mode=0o600)
    return path.open("ab")
