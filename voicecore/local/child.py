"""The worker's side: serve one engine to the parent process, job by job.

The engine's module calls ``serve(load)`` as its ``__main__``. One thread reads requests,
``engine.parallel`` threads run jobs. When the parent goes away its end of the pipe closes,
and the process ends at once, whatever native code is doing.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from voicecore.local.wire import (
    PREFIX_BYTES,
    Cancel,
    Done,
    Failed,
    Job,
    Output,
    Progress,
    Ready,
    Refused,
    Response,
    Start,
    WireError,
    decode_request,
    encode,
    sizes,
)

_MAX_JOBS = 1024  # far above what a parent has outstanding; past it the pipe pushes back

Result = tuple[dict[str, Any], bytes]


class EngineRefused(Exception):
    """The engine cannot start with these settings. ``code`` is a ``VendorError`` code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class JobFailed(Exception):
    """This job cannot be done; the engine is fine."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Engine(Protocol):
    """A loaded engine. ``run`` is called from ``parallel`` threads at the same time."""

    parallel: int
    info: dict[str, Any]

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        """Do one job. The job is dropped between two results when it was cancelled.

        :raises JobFailed: this input cannot be processed."""


Load = Callable[[dict[str, Any], Callable[[str], None]], Engine]


class _Server:
    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader = reader
        self._writer = writer
        self._write_lock = threading.Lock()
        self._jobs: queue.Queue[tuple[Job, bytes]] = queue.Queue(_MAX_JOBS)
        self._live: set[int] = set()

    def read(self) -> tuple[Start | Job | Cancel, bytes]:
        prefix = self._exactly(PREFIX_BYTES)
        head, body = sizes(prefix)
        return decode_request(self._exactly(head)), self._exactly(body)

    def _exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) != size:
            raise EOFError
        return data

    def write(self, response: Response, body: bytes = b"") -> None:
        frame = encode(response, body)
        with self._write_lock:
            self._writer.write(frame)
            self._writer.flush()

    def receive(self) -> None:
        """Take requests until the parent goes away."""
        while True:
            request, body = self.read()
            if isinstance(request, Job):
                self._live.add(request.id)
                self._jobs.put((request, body))
            elif isinstance(request, Cancel):
                self._live.discard(request.id)
            else:
                raise WireError("started twice")

    def work(self, engine: Engine) -> None:
        while True:
            job, body = self._jobs.get()
            try:
                self._run(engine, job, body)
            except JobFailed as error:
                self.write(Failed(job.id, error.code, error.detail, False))
            finally:
                self._live.discard(job.id)

    def _run(self, engine: Engine, job: Job, body: bytes) -> None:
        if job.id in self._live:
            for facts, data in engine.run(job.args, body):
                if job.id not in self._live:
                    break
                self.write(Output(job.id, facts), data)
        self.write(Done(job.id))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for the protocol alone: what native code prints goes to standard
    error, and what it reads is empty."""
    sys.stdout.flush()
    reader = os.fdopen(os.dup(0), "rb", buffering=64 * 1024)
    writer = os.fdopen(os.dup(1), "wb", buffering=64 * 1024)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return reader, writer


def serve(load: Load) -> None:
    """Run until the parent goes away. Never returns."""
    reader, writer = _take_pipes()
    server = _Server(reader, writer)
    try:
        _start(server, load)
        server.receive()
    except (EOFError, BrokenPipeError):
        os._exit(0)
    except WireError as error:
        print(f"protocol error: {error}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(70)


def _start(server: _Server, load: Load) -> None:
    request, _ = server.read()
    if not isinstance(request, Start):
        raise WireError("the first message must be Start")
    settings = request.settings
    if nice := int(settings.get("nice", 0)):
        os.nice(nice)
    try:
        engine = load(settings, lambda text: server.write(Progress(text)))
    except EngineRefused as error:
        server.write(Refused(error.code, error.detail))
        os._exit(0)
    threading.excepthook = _die
    for index in range(engine.parallel):
        threading.Thread(
            target=server.work, args=(engine,), name=f"engine-{index}", daemon=True
        ).start()
    server.write(Ready(engine.info))


def _die(args: threading.ExceptHookArgs) -> None:
    """An unforeseen error of an engine leaves it in an unknown state: end the process with
    its traceback on standard error, so that the parent starts a clean one."""
    if isinstance(args.exc_value, BrokenPipeError):
        os._exit(0)
    sys.excepthook(args.exc_type, args.exc_value or SystemError(), args.exc_traceback)
    sys.stderr.flush()
    os._exit(70)
