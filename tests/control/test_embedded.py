"""The embedded PostgreSQL, and processes that leave it without a word."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from control.db import embedded
from control.db.embedded import EmbeddedPostgres
from tests.support.postgres import own_directory
from tests.support.waiting import PATIENCE_S

_USES = """
import sys
from pathlib import Path
from control.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print("running", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where a server may run, which is over after the test."""
    with own_directory() as parent:
        place = parent / "postgres"
        yield place
        if (place / "postmaster.pid").exists():
            psutil.Process(postmaster := postmaster_of(place)).terminate()
            wait_for_end(postmaster)


def postmaster_of(place: Path) -> int:
    return int((place / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    """One that has ended may still wait for somebody to ask how."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid: int) -> None:
    """A server is said to have stopped when its file is gone, which it removes a moment before it
    ends.

    :raises TimeoutError: it goes on."""
    until_s = time.monotonic() + PATIENCE_S
    while runs(pid):
        if time.monotonic() > until_s:
            raise TimeoutError(f"process {pid} goes on")
        time.sleep(0.005)


def user_of(place: Path) -> "subprocess.Popen[bytes]":
    """Another process that has the server running until its input ends."""
    process = subprocess.Popen(
        (sys.executable, "-c", _USES, str(place)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    return process


def test_one_that_was_killed_keeps_it_running_no_longer(directory: Path) -> None:
    with user_of(directory) as killed:
        killed.kill()
    postmaster = postmaster_of(directory)
    assert runs(postmaster)
    EmbeddedPostgres(directory).stop()
    wait_for_end(postmaster)
    assert not (directory / "postmaster.pid").exists()


def test_one_that_lives_keeps_it_running(directory: Path) -> None:
    with user_of(directory):
        server = EmbeddedPostgres(directory)
        postmaster = postmaster_of(directory)
        server.stop()
        assert runs(postmaster)


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("[]", False),
        ("", False),
        ("[12, 1", False),
        ("[us, 999999999]", True),
        ('[us, 1.5, "x", -1]', True),
    ],
)
def test_who_is_written_down(tmp_path: Path, text: str, stays: bool) -> None:
    users = tmp_path / "users.json"
    embedded._forget_the_dead(users)
    assert not users.exists()
    users.write_text(text.replace("us", str(os.getpid())))
    embedded._forget_the_dead(users)
    assert json.loads(users.read_text()) == [os.getpid()] * stays


def test_a_number_that_is_anothers_by_now_is_nobody(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps([os.getpid()]))
    before_s = psutil.Process().create_time() - 60
    os.utime(users, (before_s, before_s))
    embedded._forget_the_dead(users)
    assert json.loads(users.read_text()) == []
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE) as another:
        users.write_text(json.dumps([another.pid]))
        embedded._forget_the_dead(users)
        assert json.loads(users.read_text()) == []
