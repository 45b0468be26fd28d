"""The parent's side of a worker: start it, give it jobs, restart it when it dies."""

import asyncio
import contextlib
import itertools
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

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
    decode_response,
    encode,
    sizes,
)
from voicecore.providers.errors import VendorError

_log = logging.getLogger("voicecore.local")
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
_HEALTHY_AFTER_S = 30.0
_MAX_UNSENT_BYTES = 8 * 1024 * 1024
_STOP_GRACE_S = 2.0


class WorkerOutput(msgspec.Struct, frozen=True, gc=False):
    """A piece of a job's result."""

    facts: Mapping[str, Any]
    body: bytes


class WorkerDone(msgspec.Struct, frozen=True):
    """The job is complete; nothing follows."""


class WorkerFailed(msgspec.Struct, frozen=True):
    """The job failed; nothing follows."""

    error: VendorError


WorkerEvent = WorkerOutput | WorkerDone | WorkerFailed
OnEvent = Callable[[WorkerEvent], None]
State = Literal["stopped", "starting", "ready", "waiting"]


class WorkerSpec(msgspec.Struct, frozen=True):
    """How a worker is run. ``command`` follows the interpreter on the command line;
    ``settings`` reach the engine, ``nice`` among them."""

    vendor: str
    command: tuple[str, ...]
    settings: Mapping[str, Any] = {}
    nice: int = 0
    max_outstanding: int = 64
    start_timeout_s: float = 60.0


class WorkerProcess:
    """One engine in one process, shared by everything in the media process that needs it.

    Jobs are submitted without waiting and answered through a callback on the event loop. When
    the process dies, every job in it fails with ``disconnected`` (retryable) and it is started
    again, at once first and then ever more slowly while it keeps dying."""

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        on_ready: Callable[[], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self.spec = spec
        self.info: Mapping[str, Any] = {}
        self.state: State = "stopped"
        self.starts = 0
        self._on_ready = on_ready
        self._on_progress = on_progress
        self._ids = itertools.count(1)
        self._jobs: dict[int, OnEvent] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stderr_tail = ""
        self._stderr: asyncio.Task[None] | None = None

    @property
    def outstanding(self) -> int:
        """Jobs submitted and not yet answered."""
        return len(self._jobs)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process and wait until its engine is loaded. Idempotent.

        :raises VendorError: it does not start."""
        if self._keeper is not None:
            return
        try:
            await self._launch()
        except BaseException:
            await self._end()
            self.state = "stopped"
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"worker-{self.spec.vendor}")

    async def stop(self) -> None:
        """End the process; jobs in it fail. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._end()
        self.state = "stopped"
        self._fail_all("the worker was stopped")

    def submit(self, args: Mapping[str, Any], body: bytes, on_event: OnEvent) -> int:
        """Give the engine a job; ``on_event`` is called on the event loop, never from here.

        :returns: the number to cancel it with.
        :raises VendorError: ``disconnected`` while there is no process, ``overloaded`` when it
            has more than it may have; both retryable."""
        stdin = self._process.stdin if self._process and self.state == "ready" else None
        if stdin is None or stdin.is_closing():
            raise self._error("disconnected", "the worker is not running")
        if len(self._jobs) >= self.spec.max_outstanding:
            raise self._error("overloaded", f"{len(self._jobs)} jobs are waiting")
        if stdin.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise self._error("overloaded", "the worker does not take its input")
        job_id = next(self._ids)
        stdin.write(encode(Job(job_id, dict(args)), body))
        self._jobs[job_id] = on_event
        return job_id

    def cancel(self, job_id: int) -> None:
        """Nothing more is reported of this job. Idempotent."""
        if self._jobs.pop(job_id, None) is None or self._process is None:
            return
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(encode(Cancel(job_id)))

    async def _keep(self) -> None:
        """Read answers; when the process dies, start another."""
        loop = asyncio.get_running_loop()
        backoff_s = _FIRST_BACKOFF_S
        while True:
            began = loop.time()
            reason = await self._serve()
            self.state = "waiting"
            await self._end()
            self._fail_all(reason)
            if loop.time() - began > _HEALTHY_AFTER_S:
                backoff_s = _FIRST_BACKOFF_S
            backoff_s = await self._relaunch(reason, backoff_s)

    async def _relaunch(self, reason: str, backoff_s: float) -> float:
        """Try until a process is ready; returns how long to wait before the next time."""
        while True:
            _log.warning("%s worker: %s; restarting", self.spec.vendor, reason)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
            try:
                await self._launch()
            except VendorError as error:
                reason = error.detail
                await self._end()
                self.state = "waiting"
            else:
                return backoff_s

    async def _launch(self) -> None:
        self.state = "starting"
        self.starts += 1
        self._stderr_tail = ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.spec.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # A Ctrl-C at the terminal is for the server, which drains its calls first.
                start_new_session=True,
            )
        except OSError as error:
            raise self._error("connect_failed", str(error)) from error
        settings = {**self.spec.settings, "nice": self.spec.nice}
        assert self._process.stdin is not None
        self._process.stdin.write(encode(Start(settings)))
        self._stderr = asyncio.create_task(self._drain_stderr(self._process))
        try:
            async with asyncio.timeout(self.spec.start_timeout_s):
                await self._handshake()
        except TimeoutError:
            raise self._error(
                "connect_timeout", f"not ready after {self.spec.start_timeout_s:g} s"
            ) from None
        self.state = "ready"
        if self._on_ready is not None:
            self._on_ready()

    async def _handshake(self) -> None:
        while True:
            try:
                response, _ = await self._read()
            except (asyncio.IncompleteReadError, WireError, ConnectionError) as error:
                raise self._error("connect_failed", await self._death(error)) from None
            if isinstance(response, Ready):
                self.info = response.info
                return
            if isinstance(response, Refused):
                raise VendorError(self.spec.vendor, response.code, response.detail, retryable=False)
            if isinstance(response, Progress):
                _log.info("%s worker: %s", self.spec.vendor, response.text)
                if self._on_progress is not None:
                    self._on_progress(response.text)

    async def _serve(self) -> str:
        """Hand out answers until the process dies; returns how it did."""
        while True:
            try:
                response, body = await self._read()
            except (asyncio.IncompleteReadError, WireError, ConnectionError) as error:
                return await self._death(error)
            self._dispatch(response, body)

    def _dispatch(self, response: Response, body: bytes) -> None:
        if isinstance(response, Output):
            self._report_soon(response.id, WorkerOutput(response.facts, body))
        elif isinstance(response, Done):
            self._report_soon(response.id, WorkerDone())
        elif isinstance(response, Failed):
            error = VendorError(
                self.spec.vendor, response.code, response.detail, retryable=response.retryable
            )
            self._report_soon(response.id, WorkerFailed(error))

    def _report_soon(self, job_id: int, event: WorkerEvent) -> None:
        """From the event loop itself: what goes wrong in one call's callback must not end the
        reading of everybody's answers."""
        asyncio.get_running_loop().call_soon(self._report, job_id, event)

    def _report(self, job_id: int, event: WorkerEvent) -> None:
        if isinstance(event, WorkerOutput):
            on_event = self._jobs.get(job_id)
        else:
            on_event = self._jobs.pop(job_id, None)
        if on_event is not None:
            on_event(event)

    async def _read(self) -> tuple[Response, bytes]:
        assert self._process is not None
        stdout = self._process.stdout
        assert stdout is not None
        head, size = sizes(await stdout.readexactly(PREFIX_BYTES))
        response = decode_response(await stdout.readexactly(head))
        return response, await stdout.readexactly(size) if size else b""

    async def _drain_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(4096):
            self._stderr_tail = (self._stderr_tail + chunk.decode("utf-8", "replace"))[-2000:]

    async def _death(self, error: Exception) -> str:
        """Why the process ended, for a person: its own words, its exit status."""
        if isinstance(error, WireError):
            return str(error)
        status = "its pipe broke"
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_GRACE_S):
                    code = await self._process.wait()
                    if self._stderr is not None:
                        await self._stderr
                    status = f"signal {-code}" if code < 0 else f"exit status {code}"
        last = self._stderr_tail.strip().splitlines()
        return f"the worker died ({status})" + (f": {last[-1]}" if last else "")

    async def _end(self) -> None:
        """Make sure that the process is gone: close its pipe, then kill it. One that is not
        serving is not waited for."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            if self.state == "ready":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_GRACE_S):
                        await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await process.wait()
        if self._stderr is not None:
            self._stderr.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._stderr

    def _fail_all(self, reason: str) -> None:
        for job_id in self._jobs:
            self._report_soon(job_id, WorkerFailed(self._error("disconnected", reason)))

    def _error(self, code: str, detail: str) -> VendorError:
        return VendorError(self.spec.vendor, code, detail, retryable=True)
