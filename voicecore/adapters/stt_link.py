"""One caller's audio on its way to a live speech-to-text vendor, over one socket at a time.

Between a ``LiveSocket`` and an adapter's stream: batches frames, keeps the two clocks together
(``AudioLog``), and replaces a socket that broke. A socket that had opened and then failed in a
way that another try may cure is replaced once, at once, and is sent again what no final
transcript covers; the next such failure within ``RECONNECT_QUIET_MS`` is the stream's end, and
so is a connection that never opened: another vendor is then the better try.
"""

import asyncio
from collections.abc import Callable, Iterable

from media.audio.format import AudioFormat
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.adapters.stt_audio import AudioLog
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn, SttEvent, SttFailed

REPLAY_MS = 5000
RECONNECT_QUIET_MS = 30_000
MAX_GARBAGE = 8

_REPLACEABLE = frozenset({"disconnected", "stalled", "vendor_error", "garbage"})


class SttLink:
    """``on_message`` gets each message; ``on_replaced`` is called when a new connection begins,
    after the old audio was queued on it; ``on_ended`` when there will be no other, just before
    the ``SttFailed`` that ``sink`` then gets. ``sink`` gets nothing after ``close``."""

    def __init__(
        self,
        options: SocketOptions,
        audio: AudioFormat,
        *,
        chunk_ms: int,
        sink: Callable[[SttEvent], None],
        spawn: Spawn,
        on_message: Callable[[str | bytes], None],
        on_ended: Callable[[], None],
        on_replaced: Callable[[], None],
        keepalive: Callable[[], str | bytes] | None = None,
    ) -> None:
        self.log = AudioLog(audio, chunk_ms=chunk_ms, keep_ms=REPLAY_MS)
        self.closed = False
        self._options = options
        self._sink = sink
        self._spawn = spawn
        self._on_message = on_message
        self._on_ended = on_ended
        self._on_replaced = on_replaced
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._replaced_at = -float("inf")
        self._garbage = 0
        self._unanswered_ms = 0
        self._socket = self._connect()

    @property
    def unanswered_ms(self) -> int:
        """Audio sent over an open socket since the vendor last said anything."""
        return self._unanswered_ms

    def push(self, frame: bytes) -> None:
        if self.closed:
            return
        if self._socket.connected:
            self._unanswered_ms += self.log.audio.duration_ms(len(frame))
        self._send_audio(self.log.push(frame))

    def flush(self) -> None:
        """Send the frames that have gathered, though they do not fill a message."""
        if not self.closed:
            self._send_audio(self.log.flush())

    def add_silence(self, duration_ms: int) -> None:
        if not self.closed:
            silence = self.log.audio.silence(duration_ms)
            self.log.silence_added(len(silence))
            self._send_audio(silence)

    def emit(self, events: Iterable[SttEvent]) -> None:
        for event in events:
            if not self.closed:
                self._sink(event)

    def send(self, message: str) -> None:
        self._socket.send(message)

    def fail(self, error: VendorError) -> None:
        """Treat the present connection as failed."""
        if not self.closed:
            self._socket.close()
            self._failed(error)

    def garbage(self, detail: str) -> None:
        """Count a message that makes no sense; too many are a failure."""
        self._garbage += 1
        if self._garbage > MAX_GARBAGE:
            error = VendorError(self._options.vendor, "garbage", detail, retryable=True)
            self.fail(error)

    def close(self, final: str | None = None) -> None:
        if not self.closed:
            self.closed = True
            self._socket.close(final)

    def _send_audio(self, chunk: bytes) -> None:
        if chunk:
            self._socket.send(chunk, droppable=True)

    def _connect(self) -> LiveSocket:
        self._was_open = False
        return LiveSocket(
            self._options,
            spawn=self._spawn,
            on_message=self._received,
            on_failed=self._failed,
            on_open=self._opened,
            on_dropped=self._dropped,
            keepalive=self._keepalive,
        )

    def _opened(self) -> None:
        self._was_open = True

    def _dropped(self, size_bytes: int) -> None:
        self.log.dropped(self._socket.sent_audio_bytes, size_bytes)

    def _received(self, message: str | bytes) -> None:
        self._unanswered_ms = 0
        self._on_message(message)

    def _failed(self, error: VendorError) -> None:
        now = self._loop.time()
        quiet = now - self._replaced_at >= RECONNECT_QUIET_MS / 1000
        if error.retryable and error.code in _REPLACEABLE and self._was_open and quiet:
            self._replaced_at = now
            self._garbage = self._unanswered_ms = 0
            self._socket = self._connect()
            for chunk in self.log.replay():
                self._send_audio(chunk)
            self._on_replaced()
            return
        self.closed = True
        self._on_ended()
        self._sink(SttFailed(error))
