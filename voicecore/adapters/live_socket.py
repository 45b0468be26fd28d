"""One outgoing WebSocket to a vendor, owned by one call.

An adapter speaks its vendor's messages as pure functions and leaves everything else here::

    socket = LiveSocket(
        SocketOptions(vendor="deepgram", url="wss://…", headers={"Authorization": "Token …"}),
        spawn=spawn,                   # the call's own: the socket dies with the call
        on_message=self._receive,      # (str | bytes) -> None, one whole message
        on_failed=self._failed,        # (VendorError) -> None, at most once, then silence
        on_open=self._opened,          # optional, before anything queued is written
        keepalive=lambda: '{"type":"KeepAlive"}',   # optional, after keepalive_idle_ms unsent
    )
    socket.send('{"type":"Flush"}')            # control: never dropped
    socket.send(audio, droppable=True)         # audio: the oldest goes when max_audio_bytes wait
    socket.arm("stalled", 4000, "no answer")   # fails unless disarmed or armed again in time
    socket.disarm("stalled")
    socket.close('{"type":"CloseStream"}')     # idempotent; no callback runs from here on

Connecting goes on in a spawned task; what is sent meanwhile waits in the queue, in order.
All methods are synchronous and are called on the event loop; all callbacks run there too and
may call any method, ``close`` included.

What ``on_failed`` gets: ``connect_failed``, ``connect_timeout``; for an HTTP answer instead of
an upgrade ``auth_failed`` (401, 403), ``quota_exceeded`` (402), ``rate_limited`` (429),
``vendor_error`` (5xx), ``bad_request`` (any other); ``disconnected`` with the close code and
reason (also in ``close_code`` and ``close_reason``), not retryable where the code says that the
same request would fail again; ``garbage`` where the peer breaks the protocol or exceeds
``max_message_bytes``; ``stalled`` where it takes no data or answers no ping; and whatever code
the owner armed.

permessage-deflate stays off: it costs more CPU than it saves on 60 ms of mu-law. TCP_NODELAY
is on (asyncio and uvloop set it on every TCP socket). Redirects are not followed, so that a
vendor's key never travels to a host that nobody configured.
"""

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable, Mapping

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voicecore.adapters.live_failures import CONNECT_ERRORS, connect_failure, disconnection
from voicecore.adapters.live_queue import SendQueue
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn

# At DEBUG the library logs every frame, which here is what people say.
_QUIET = logging.getLogger("voicecore.live_socket")
_QUIET.setLevel(logging.WARNING)


class SocketOptions(msgspec.Struct, frozen=True):
    """Where to connect and what to put up with. ``proxy`` is an address, never read from the
    environment. ``max_audio_bytes`` bounds droppable data that waits; ``max_control_bytes``
    bounds the rest, and a vendor that lets that much pile up has ``stalled``."""

    vendor: str
    url: str
    headers: Mapping[str, str] = {}
    proxy: str | None = None
    connect_timeout_ms: int = 4000
    send_timeout_ms: int = 8000
    close_timeout_ms: int = 1000
    ping_interval_ms: int = 10_000
    ping_timeout_ms: int = 8000
    keepalive_idle_ms: int = 4000
    max_message_bytes: int = 1 << 20
    max_audio_bytes: int = 160_000
    max_control_bytes: int = 256 * 1024

    def __repr__(self) -> str:
        """Without the headers: they carry the vendor's key."""
        return f"SocketOptions(vendor={self.vendor!r}, url={self.url!r})"


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Watch(msgspec.Struct):
    deadline: float
    detail: str
    timer: asyncio.TimerHandle


class LiveSocket:
    """See the module's text. Constructing it starts the connection.

    ``on_dropped`` is told the size of each droppable message that was thrown away; at that
    moment ``sent_audio_bytes`` is where, in the audio that the vendor gets, the hole lies."""

    def __init__(
        self,
        options: SocketOptions,
        *,
        spawn: Spawn,
        on_message: Callable[[str | bytes], None],
        on_failed: Callable[[VendorError], None],
        on_open: Callable[[], None] | None = None,
        on_dropped: Callable[[int], None] | None = None,
        keepalive: Callable[[], str | bytes] | None = None,
    ) -> None:
        self.connected = False
        self.sent_audio_bytes = 0
        self.close_code: int | None = None
        self.close_reason = ""
        self._options = options
        self._on_message = on_message
        self._on_failed = on_failed
        self._on_open = on_open
        self._on_dropped = on_dropped
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._queue = SendQueue(options.max_audio_bytes, options.max_control_bytes)
        self._wake = asyncio.Event()
        self._closed = False
        self._final: str | bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_sent = 0.0
        self._watches: dict[str, _Watch] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._news: asyncio.Handle | None = None  # a failure that on_failed is about to get
        spawn(self._run())

    @property
    def closed(self) -> bool:
        """Closed by its owner, failed, or ended with its call."""
        return self._closed

    @property
    def waiting_audio_bytes(self) -> int:
        """Droppable bytes not yet handed to the network."""
        return self._queue.audio_bytes

    def send(self, data: str | bytes, *, droppable: bool = False) -> None:
        """Queue a text (``str``) or binary (``bytes``) message; order is kept."""
        if self._closed:
            return
        for size in self._queue.put(data, droppable=droppable):
            if self._on_dropped is not None:
                self._on_dropped(size)
        if self._queue.overfull:
            self._overfull()
        self._wake.set()

    def arm(self, code: str, after_ms: int, detail: str) -> None:
        """Fail with ``code`` (retryable) unless it is disarmed, or armed again, in time."""
        if self._closed:
            return
        deadline = self._loop.time() + after_ms / 1000
        watch = self._watches.get(code)
        if watch is not None and deadline >= watch.deadline:
            watch.deadline, watch.detail = deadline, detail
            return
        if watch is not None:
            watch.timer.cancel()
        timer = self._loop.call_at(deadline, self._watch_due, code)
        self._watches[code] = _Watch(deadline, detail, timer)

    def disarm(self, code: str) -> None:
        watch = self._watches.pop(code, None)
        if watch is not None:
            watch.timer.cancel()

    def close(self, final: str | bytes | None = None) -> None:
        """End it. ``final`` is written first if the socket is open; what else waits is
        dropped. The socket's task ends within ``close_timeout_ms``."""
        if self._news is not None:
            self._news.cancel()
        if self._closed:
            return
        self._final = final
        self._shut()
        if self._task is None:
            return
        if self.connected:
            self._timers["close"] = self._loop.call_later(
                self._options.close_timeout_ms / 1000, self._task.cancel
            )
            self._wake.set()
        else:
            self._task.cancel()

    def _shut(self) -> None:
        self._closed = True
        self._queue.clear()
        for code in tuple(self._watches):
            self.disarm(code)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fail(self, error: VendorError) -> None:
        if not self._closed:
            self._shut()
            self._on_failed(error)

    def _stop(self, code: str, detail: str) -> None:
        """Fail, and end the task, which did not find out by itself."""
        self._fail(VendorError(self._options.vendor, code, detail, retryable=True))
        if self._task is not None:
            self._task.cancel()

    def _overfull(self) -> None:
        """The owner is amid sending: it is told when it has done, not inside its own call."""
        self._shut()
        if self._task is not None:
            self._task.cancel()
        error = VendorError(self._options.vendor, "stalled", "takes no messages", retryable=True)
        self._news = self._loop.call_soon(self._on_failed, error)

    def _watch_due(self, code: str) -> None:
        watch = self._watches[code]
        if self._loop.time() < watch.deadline:
            watch.timer = self._loop.call_at(watch.deadline, self._watch_due, code)
            return
        del self._watches[code]
        self._stop(code, watch.detail)

    async def _run(self) -> None:
        if self._closed:
            return
        self._task = asyncio.current_task()
        try:
            connection = await self._connect()
            if connection is not None:
                await self._serve(connection)
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            self._shut()
            self.connected = False
            self._task = None

    async def _connect(self) -> ClientConnection | None:
        options = self._options
        try:
            async with asyncio.timeout(options.connect_timeout_ms / 1000):
                connection = await _Connect(
                    options.url,
                    additional_headers=dict(options.headers),
                    user_agent_header="voicecore",
                    compression=None,
                    proxy=options.proxy,
                    open_timeout=None,
                    ping_interval=options.ping_interval_ms / 1000,
                    ping_timeout=options.ping_timeout_ms / 1000,
                    close_timeout=options.close_timeout_ms / 1000,
                    max_size=options.max_message_bytes,
                    logger=_QUIET,
                    ssl=_tls() if options.url.startswith("wss:") else None,
                )
        except CONNECT_ERRORS as error:
            self._fail(connect_failure(options.vendor, error, options.connect_timeout_ms))
        else:
            return connection
        return None

    async def _serve(self, connection: ClientConnection) -> None:
        try:
            self.connected = True
            if self._on_open is not None:
                self._on_open()
            self._start_keepalive()
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(connection))
                try:
                    await self._read(connection)
                finally:
                    writer.cancel()
        finally:
            connection.transport.abort()

    async def _read(self, connection: ClientConnection) -> None:
        try:
            while True:
                message = await connection.recv()
                if not self._closed:
                    self._on_message(message)
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self.close_code, self.close_reason = closed.rcvd.code, closed.rcvd.reason
            self._fail(disconnection(self._options.vendor, closed))

    async def _write(self, connection: ClientConnection) -> None:
        patience = self._options.send_timeout_ms / 1000
        try:
            while not self._closed:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                data, droppable = self._queue.take()
                if droppable:
                    self.sent_audio_bytes += len(data)
                self._last_sent = self._loop.time()
                async with asyncio.timeout(patience):
                    await connection.send(data)
            if self._final is not None:
                await connection.send(self._final)
            await connection.close()
        except TimeoutError:
            self._stop("stalled", f"took no data for {self._options.send_timeout_ms} ms")
        except ConnectionClosed:
            return  # the reader has the reason and reports it

    def _start_keepalive(self) -> None:
        if self._keepalive is not None and not self._closed:
            self._last_sent = self._loop.time()
            self._keepalive_due()

    def _keepalive_due(self) -> None:
        idle_s = self._options.keepalive_idle_ms / 1000
        now = self._loop.time()
        if self._keepalive is not None and now >= self._last_sent + idle_s:
            self._last_sent = now
            self.send(self._keepalive())
        if not self._closed:
            self._timers["keepalive"] = self._loop.call_at(
                self._last_sent + idle_s, self._keepalive_due
            )


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for the process: loading the certificate store takes tens of milliseconds."""
    return ssl.create_default_context()
