"""One call's speech over Deepgram's socket, reply by reply: what belongs to which, and when.

See ``deepgram_tts`` for the rules that it keeps.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from media.audio.format import AudioFormat
from voicecore.adapters.deepgram_common import vendor_error
from voicecore.adapters.deepgram_messages import ErrorMessage
from voicecore.adapters.deepgram_speak import (
    CLOSE,
    FLUSH,
    FLUSH_RESERVE,
    MAX_SPEAK_CHARS,
    Cleared,
    Dialect,
    FlushBudget,
    PieceDone,
    decode_speak,
    speak,
)
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.adapters.tts_pieces import WholeSamples, split_text
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsReply, TtsWords
from voicecore.providers.words import spread_words

_MAX_GARBAGE = 8
_CLEAR_TIMEOUT_MS = 2000
_MAX_WAITING_CHARS = 100_000


class _Piece(msgspec.Struct):
    """Text between two flushes, and how much of the reply's audio it has brought."""

    text: str
    start_bytes: int
    got_bytes: int = 0
    flushed: bool = False


class _Reply:
    def __init__(self, session: "SpeechSession", sink: Callable[[TtsEvent], None]) -> None:
        self.session = session
        self.sink = sink
        self.waiting: deque[str] = deque()
        self.finished = False
        self.over = False
        self.retried = False
        self.waiting_chars = 0
        self.characters = 0
        self.audio_bytes = 0

    def say(self, text: str) -> None:
        if self.finished or self.over:
            return
        if self.waiting_chars + len(text) > _MAX_WAITING_CHARS:
            self.finished = True
            asyncio.get_running_loop().call_soon(self.session.overfull, self)
            return
        for piece in split_text(text, MAX_SPEAK_CHARS):
            self.waiting.append(piece)
            self.waiting_chars += len(piece)
        self.session.pump()

    def finish(self) -> None:
        if not self.over:
            self.finished = True
            self.session.pump()

    def cancel(self) -> None:
        if not self.over:
            self.over = True
            self.session.cancelled(self)


class SpeechSession:
    """The order of text, audio and flushes on one call's socket."""

    def __init__(
        self,
        options: SocketOptions,
        dialect: Dialect,
        audio: AudioFormat,
        *,
        spawn: Spawn,
        first_audio_timeout_ms: int,
        stall_timeout_ms: int,
    ) -> None:
        self.audio = audio
        self._options = options
        self._first_audio_timeout_ms = first_audio_timeout_ms
        self._stall_timeout_ms = stall_timeout_ms
        self._dialect = dialect
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._budget = FlushBudget()
        self._watched = ""  # the deadline that is armed
        self._active: _Reply | None = None
        self._pieces: deque[_Piece] = deque()
        self._samples = WholeSamples(audio.sample_bytes)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._socket = self._connect()

    def reply(self, sink: Callable[[TtsEvent], None]) -> TtsReply:
        if self._active is not None:
            self._active.cancel()
        reply = _Reply(self, sink)
        if self._closed:
            reply.over = True
            return reply
        self._active = reply
        self._samples.reset()
        if self._socket.closed:
            self._socket = self._connect()
        return reply

    def close(self) -> None:
        if self._active is not None:
            self._active.over = True
            self._active = None
        self._closed = True
        self._pieces.clear()
        self._stop_timer()
        self._socket.close(CLOSE)

    def cancelled(self, reply: _Reply) -> None:
        """The active reply ended early: what the vendor still has of it must go."""
        if self._active is not reply:
            return
        self._active = None
        self._stop_timer()
        self._disarm()
        if self._pieces:
            self._pieces.clear()
            self._clearing = True
            self._socket.send(self._dialect.clear)
            # What is sent before there is a connection goes out with it.
            connect_ms = 0 if self._opened else self._options.connect_timeout_ms
            after_ms = connect_ms + _CLEAR_TIMEOUT_MS
            self._socket.arm("stalled", after_ms, "did not confirm a clear")

    def overfull(self, reply: _Reply) -> None:
        """The active reply has more text than may wait, and fails."""
        if self._active is reply:
            self.cancelled(reply)
            reply.over = True
            error = vendor_error("bad_request", "too much text waits", retryable=False)
            reply.sink(TtsFailed(error))

    def pump(self) -> None:
        """Send what may be sent of the active reply, and end it when nothing is left.

        While a clear is not confirmed nothing may: all that arrives is the old reply's."""
        reply = self._active
        if reply is None or self._clearing or self._socket.closed:
            return
        while reply.waiting:
            if not self._say(reply, reply.waiting[0]):
                return
            reply.waiting_chars -= len(reply.waiting.popleft())
        if not reply.finished:
            return
        last = self._pieces[-1] if self._pieces else None
        if last is None:
            self._end(reply, TtsDone(characters=reply.characters))
        elif not last.flushed:
            self._flush(last, reserve=0)

    def _say(self, reply: _Reply, text: str) -> bool:
        piece = self._pieces[-1] if self._pieces else None
        if piece is not None and not piece.flushed:
            full = len(piece.text) + 1 + len(text) > MAX_SPEAK_CHARS
            if full and self._dialect.flush_each and not self._flush(piece, reserve=0):
                return False
        if piece is None or piece.flushed:
            start = reply.audio_bytes if piece is None else 0
            piece = _Piece(text, start)
            self._pieces.append(piece)
            self._socket.send(speak(text))
        else:
            piece.text = f"{piece.text} {text}"
            self._socket.send(speak(f" {text}"))
        reply.characters += len(text)
        if self._dialect.flush_each:
            self._flush(piece, reserve=FLUSH_RESERVE)
        self._watch(reply)
        return True

    def _flush(self, piece: _Piece, *, reserve: int) -> bool:
        if self._dialect.flush_each:
            now_ms = int(self._loop.time() * 1000)
            if not self._budget.take(now_ms, reserve=reserve):
                if reserve == 0:
                    self._pump_after(self._budget.wait_ms(now_ms) + 1)
                return False
        piece.flushed = True
        self._socket.send(FLUSH)
        return True

    def _connect(self) -> LiveSocket:
        self._clearing = False
        self._opened = False
        self._watched = ""
        self._garbage = 0
        return LiveSocket(
            self._options,
            spawn=self._spawn,
            on_message=self._receive,
            on_failed=self._failed,
            on_open=self._open,
        )

    def _open(self) -> None:
        self._opened = True

    def _receive(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._audio(message)
            return
        try:
            known = decode_speak(self._dialect, message)
        except ValueError as wrong:
            self._garbage += 1
            if self._garbage > _MAX_GARBAGE:
                self._break(vendor_error("garbage", str(wrong)))
            return
        if isinstance(known, ErrorMessage):
            self._break(vendor_error("vendor_error", known.detail))
        elif isinstance(known, Cleared) and self._clearing:
            self._clearing = False
            self._disarm()
            self.pump()
        elif isinstance(known, PieceDone):
            self._piece_done()

    def _audio(self, payload: bytes) -> None:
        reply = self._active
        if reply is None or not self._pieces:
            return
        samples = self._samples.take(payload)
        if samples:
            piece = self._pieces[0]
            if not piece.got_bytes:
                piece.start_bytes = reply.audio_bytes
            piece.got_bytes += len(samples)
            reply.audio_bytes += len(samples)
            self._watch(reply, heard=True)
            reply.sink(TtsAudio(samples))

    def _piece_done(self) -> None:
        reply = self._active
        if reply is None or not self._pieces or not self._pieces[0].flushed:
            return
        piece = self._pieces.popleft()
        self._samples.reset()
        self._watch(reply, heard=True)
        start_ms = self.audio.duration_ms(
            piece.start_bytes if piece.got_bytes else reply.audio_bytes
        )
        words = spread_words(piece.text, start_ms, self.audio.duration_ms(reply.audio_bytes))
        if words:
            reply.sink(TtsWords(words))
        if self._active is reply:
            self.pump()

    def _watch(self, reply: _Reply, *, heard: bool = False) -> None:
        """Expect the next audio while something is flushed, and the first as soon as a vendor
        that cuts the text by itself has some. More text puts the deadline off no further."""
        cuts_itself = not self._dialect.flush_each and not reply.audio_bytes
        if not any(piece.flushed or cuts_itself for piece in self._pieces):
            self._disarm()
            return
        code = "stalled" if reply.audio_bytes else "first_output_timeout"
        if code == self._watched and not heard:
            return
        self._disarm()
        first = code == "first_output_timeout"
        timeout_ms = self._first_audio_timeout_ms if first else self._stall_timeout_ms
        self._socket.arm(code, timeout_ms, f"no audio for {timeout_ms} ms")
        self._watched = code

    def _disarm(self) -> None:
        self._watched = ""
        self._socket.disarm("first_output_timeout")
        self._socket.disarm("stalled")

    def _break(self, error: VendorError) -> None:
        self._socket.close()
        self._failed(error)

    def _failed(self, error: VendorError) -> None:
        reply = self._active
        self._stop_timer()
        if reply is None:
            self._pieces.clear()
            return
        cut_short = any(piece.got_bytes for piece in self._pieces)
        again = error.retryable and error.code in ("disconnected", "stalled") and self._opened
        if again and not cut_short and not reply.retried:
            reply.retried = True
            for piece in reversed(self._pieces):
                reply.waiting.appendleft(piece.text)
                reply.waiting_chars += len(piece.text)
            self._pieces.clear()
            self._socket = self._connect()
            self.pump()
            return
        self._pieces.clear()
        self._end(reply, TtsFailed(error))

    def _end(self, reply: _Reply, event: TtsDone | TtsFailed) -> None:
        self._active = None
        reply.over = True
        self._disarm()
        reply.sink(event)

    def _pump_after(self, delay_ms: int) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(delay_ms / 1000, self.pump)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
