"""One call's speech over ElevenLabs' socket: its contexts, and the replies that they carry.

Each reply is a context of its own; the next reply's context is opened ahead, so that there is
always one to keep alive. What practice adds to the vendor's documents:

- A context closed before its first audio may be dropped in silence, so a finished reply's
  context is closed when audio has come after its last text.
- A sixth context closes the socket. Contexts are counted until the server says that they are
  final; where five hang, a new socket takes over.
- Times of an alignment count from its chunk, need not fit that chunk's audio, and may be
  missing. Their sum fits. They only place words; which words there are is known from the text.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from media.audio.format import AudioFormat
from voicecore.adapters.elevenlabs_contexts import Context, Contexts
from voicecore.adapters.elevenlabs_messages import (
    CLOSE_SOCKET,
    VENDOR,
    ServerMessage,
    close_context,
    flush,
    keep_alive,
    objection,
    open_context,
    read_message,
    speak,
)
from voicecore.adapters.elevenlabs_words import WordTimes
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.adapters.tts_pieces import WholeSamples, is_spoken
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords

_CLOSE_GRACE_S = 1.0
"""How long a finished reply waits for audio after its last text, if it had audio before."""
_SETTLED_S = 5.0
"""A socket that lived this long is replaced at once when it breaks, a younger one when needed."""
_MAX_UNSENT_CHARACTERS = 200


class SpeechOptions(msgspec.Struct, frozen=True):
    """``voice_settings`` as the vendor names them. ``first_audio_timeout_ms`` runs from a text
    to the next audio, ``stall_timeout_ms`` is the longest gap after the last text."""

    voice_settings: Mapping[str, Any]
    first_audio_timeout_ms: int
    stall_timeout_ms: int


class ElevenLabsTtsSession:
    """One call's socket and its contexts."""

    def __init__(
        self, audio: AudioFormat, speech: SpeechOptions, options: SocketOptions, spawn: Spawn
    ) -> None:
        self.audio = audio
        self.speech = speech
        self._options = options
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._reply: ElevenLabsTtsReply | None = None
        self._contexts = Contexts()
        self.socket = self._connect()
        self.prepare()

    def reply(self, sink: Callable[[TtsEvent], None]) -> "ElevenLabsTtsReply":
        if self._reply is not None:
            self._reply.cancel()
        reply = ElevenLabsTtsReply(self, sink)
        if self._closed:
            reply.cancel()
        else:
            self._reply = reply
        return reply

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._reply is not None:
            self._reply.cancel()
        self.socket.close(CLOSE_SOCKET)
        self._contexts.forget()

    def take(self) -> Context:
        """The context for a reply's text: the one opened ahead, or a new one."""
        if self.socket.closed:
            self._replace()
        context = self._contexts.prepared or self._begin()
        self._contexts.prepared = None
        return context

    def prepare(self) -> None:
        """Open the next reply's context ahead, if there is room for it."""
        if self._closed or self.socket.closed or self._contexts.prepared is not None:
            return
        if not self._contexts.full(self._now_ms()):
            self._contexts.prepared = self._begin()

    def end_context(self, context: Context) -> None:
        """Close it, now; it counts until the server calls it final."""
        if context.closed_at_ms is None:
            context.closed_at_ms = self._now_ms()
            self.socket.send(close_context(context.id))

    def ended(self, reply: "ElevenLabsTtsReply") -> None:
        if self._reply is reply:
            self._reply = None
            self.prepare()

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _connect(self) -> LiveSocket:
        self._connected_at = self._loop.time()
        return LiveSocket(
            self._options,
            spawn=self._spawn,
            on_message=self._receive,
            on_failed=self._failed,
            keepalive=self._keepalive,
        )

    def _replace(self) -> None:
        self.socket.close(CLOSE_SOCKET)
        self._contexts.forget()
        self.socket = self._connect()

    def _begin(self) -> Context:
        if self._contexts.full(self._now_ms()):
            self._replace()
        context = self._contexts.new()
        self.socket.send(open_context(context.id, self.speech.voice_settings))
        return context

    def _keepalive(self) -> str:
        """Keepalives need an open context: sent to another, they open it without its voice."""
        held = self._contexts.prepared or (self._reply.context if self._reply is not None else None)
        if held is not None and held.closed_at_ms is None:
            return keep_alive(held.id)
        # Whatever was closed was closed before this idle time, and counts no more.
        self._contexts.prepared = context = self._contexts.new()
        return open_context(context.id, self.speech.voice_settings)

    def _receive(self, data: str | bytes) -> None:
        try:
            message = read_message(data)
        except VendorError as broken:
            message = ServerMessage(error=broken)
        if message.error is not None:
            self.socket.close()
            self._lost(message.error)
            return
        context = self._contexts.find(message.context_id)
        if context is None:
            return
        if message.final:
            self._contexts.remove(context)
        reply = self._reply
        if reply is not None and reply.context is context:
            reply.hear(message)

    def _failed(self, error: VendorError) -> None:
        code = self.socket.close_code
        if error.code == "disconnected" and code == 1008:
            error = objection(self.socket.close_reason or error.detail)
        elif error.code == "disconnected" and code == 1009:
            # How the vendor says that a voice does not go with a model.
            error = VendorError(VENDOR, "bad_request", error.detail, retryable=False)
        self._lost(error)

    def _lost(self, error: VendorError) -> None:
        reply = self._reply
        self._contexts.forget()
        if self._loop.time() - self._connected_at >= _SETTLED_S:
            self.socket = self._connect()
        if reply is not None and reply.context is not None:
            reply.fail(error)
        self.prepare()


class ElevenLabsTtsReply:
    """One reply. It has a context from its first text to the server's last word on it."""

    def __init__(self, session: ElevenLabsTtsSession, sink: Callable[[TtsEvent], None]) -> None:
        self.context: Context | None = None
        self._session = session
        self._sink = sink
        self._times = WordTimes()
        self._characters = 0
        self._audio_bytes = 0
        self._samples = WholeSamples(session.audio.sample_bytes)
        self._unsent = ""
        self._finished = False
        self._over = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def say(self, text: str) -> None:
        text = text.strip()
        if self._over or self._finished or not text:
            return
        self._times.expect(text)
        if not is_spoken(text):
            self._unsent = f"{self._unsent}{text} "[-_MAX_UNSENT_CHARACTERS:]
            return
        text, self._unsent = self._unsent + text, ""
        if self.context is None:
            self.context = self._session.take()
            self._times.restart(self._audio_ms)
        self._characters += len(text)
        self._session.socket.send(speak(self.context.id, text))
        if not self.context.waiting:
            self.context.waiting = True
            self._watch("first_output_timeout")

    def finish(self) -> None:
        if self._over or self._finished:
            return
        self._finished = True
        loop = asyncio.get_running_loop()
        if self.context is None:
            self._timer = loop.call_soon(self._complete)
            return
        self._session.socket.send(flush(self.context.id))
        if not self.context.waiting:
            self._close_context()
        elif self.context.heard:
            self._timer = loop.call_later(_CLOSE_GRACE_S, self._close_context)

    def cancel(self) -> None:
        if self._over:
            return
        self._leave()
        if self.context is not None:
            self._session.end_context(self.context)
        self._session.ended(self)

    def hear(self, message: ServerMessage) -> None:
        """A message of this reply's context."""
        context = self.context
        if message.audio and context is not None:
            context.heard = True
            context.waiting = False
            self._session.socket.disarm("first_output_timeout")
            self._pass_on(message)
            if self._finished and not message.final:
                self._close_context()
        if message.final:
            self._context_gone()

    def fail(self, error: VendorError) -> None:
        """The socket is gone. Where every word was spoken, only the word that it is over is
        missing."""
        if self._finished and self._times.spoken_by(self._audio_ms):
            self._complete()
        elif not self._over:
            self._leave()
            self._session.ended(self)
            self._sink(TtsFailed(error))

    @property
    def _audio_ms(self) -> int:
        return self._session.audio.duration_ms(self._audio_bytes)

    def _pass_on(self, message: ServerMessage) -> None:
        before_ms = self._audio_ms
        samples = self._samples.take(message.audio)
        self._audio_bytes += len(samples)
        if samples:
            self._tell(TtsAudio(samples))
        if message.alignment is not None:
            words = self._times.place(message.alignment, before_ms)
            if words:
                self._tell(TtsWords(words))

    def _close_context(self) -> None:
        if self.context is not None and not self._over:
            self._drop_timer()
            self._session.socket.disarm("first_output_timeout")
            self._session.end_context(self.context)
            self._watch("stalled")

    def _context_gone(self) -> None:
        context, self.context = self.context, None
        self._samples.reset()
        if context is None:
            return
        if context.waiting and not (context.heard and context.closed_at_ms is not None):
            detail = "the context ended without its audio"
            self.fail(VendorError(VENDOR, "vendor_error", detail, retryable=True))
        elif self._finished:
            self._complete()
        else:
            self._session.prepare()

    def _complete(self) -> None:
        words = self._times.rest(self._audio_ms)
        if words:
            self._tell(TtsWords(words))
        if not self._over:
            self._leave()
            self._session.ended(self)
            self._sink(TtsDone(self._characters))

    def _watch(self, code: str) -> None:
        speech = self._session.speech
        first = code == "first_output_timeout"
        after_ms = speech.first_audio_timeout_ms if first else speech.stall_timeout_ms
        self._session.socket.arm(code, after_ms, f"no audio for {after_ms} ms")

    def _unwatch(self) -> None:
        self._session.socket.disarm("first_output_timeout")
        self._session.socket.disarm("stalled")

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._over = True
        self._drop_timer()
        self._unwatch()

    def _tell(self, event: TtsEvent) -> None:
        if not self._over:
            self._sink(event)
