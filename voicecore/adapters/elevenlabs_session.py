class _Context:
    """``waiting``: no audio has come since its last text. ``closed_at``: when it was closed, on
    the loop's clock."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.waiting = False
        self.heard = False
        self.closed_at: float | None = None


class ElevenLabsTtsSession:
    """One call's socket and its contexts."""

    def __init__(
        self,
        audio: AudioFormat,
        settings: ElevenLabsTtsSettings,
        options: SocketOptions,
        spawn: Spawn,
    ) -> None:
        self.audio = audio
        self.settings = settings
        self._options = options
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._reply: ElevenLabsTtsReply | None = None
        self._contexts: dict[str, _Context] = {}
        self._next: _Context | None = None
        self._count = 0
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
        self.socket.close(_encode({"close_socket": True}))
        self._forget()

    def take(self) -> _Context:
        """The context for a reply's text: the one opened ahead, or a new one."""
        if self.socket.closed:
            self._replace()
        context = self._next or self._begin()
        self._next = None
        return context

    def prepare(self) -> None:
        """Open the next reply's context ahead, if there is room for it."""
        if self._closed or self.socket.closed or self._next is not None:
            return
        if len(self._hanging()) < _MAX_CONTEXTS:
            self._next = self._begin()

    def end_context(self, context: _Context) -> None:
        """Close it, now; it counts until the server calls it final."""
        if context.closed_at is None:
            context.closed_at = self._loop.time()
            self.send({"context_id": context.id, "close_context": True})

    def ended(self, reply: "ElevenLabsTtsReply") -> None:
        if self._reply is reply:
            self._reply = None
            self.prepare()

    def send(self, message: dict[str, Any]) -> None:
        self.socket.send(_encode(message))

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
        self.socket.close(_encode({"close_socket": True}))
        self._forget()
        self.socket = self._connect()

    def _forget(self) -> None:
        self._contexts.clear()
        self._next = None

    def _begin(self) -> _Context:
        if len(self._hanging()) >= _MAX_CONTEXTS:
            self._replace()
        context = self._new_context()
        self.send(self._opening(context))
        return context

    def _new_context(self) -> _Context:
        self._count += 1
        context = _Context(f"c{self._count}")
        self._contexts[context.id] = context
        return context

    def _opening(self, context: _Context) -> dict[str, Any]:
        message: dict[str, Any] = {"text": " ", "context_id": context.id}
        voice = self.settings.voice_settings.model_dump(exclude_none=True)
        if voice:
            message["voice_settings"] = voice
        return message

    def _hanging(self) -> dict[str, _Context]:
        """The contexts that the server may still count."""
        long_ago = self._loop.time() - _CLOSING_S
        for context in tuple(self._contexts.values()):
            if context.closed_at is not None and context.closed_at < long_ago:
                del self._contexts[context.id]
        return self._contexts

    def _keepalive(self) -> str:
        """Keepalives need an open context: sent to another, they open it without its voice."""
        held = self._next or (self._reply.context if self._reply is not None else None)
        if held is not None and held.closed_at is None:
            return _encode({"text": "", "context_id": held.id})
        # Whatever was closed was closed before this idle time, and counts no more.
        self._next = self._new_context()
        return _encode(self._opening(self._next))

    def _receive(self, data: str | bytes) -> None:
        try:
            message = read_message(data)
        except VendorError as broken:
            message = ServerMessage(error=broken)
        if message.error is not None:
            self.socket.close()
            self._lost(message.error)
            return
        id_ = message.context_id
        if id_ is None and len(self._contexts) == 1:
            id_ = next(iter(self._contexts))
        context = self._contexts.get(id_ or "")
        if context is None:
            return
        if message.final:
            del self._contexts[context.id]
            if context is self._next:
                self._next = None
        reply = self._reply
        if reply is not None and reply.context is context:
            reply.hear(message)

    def _failed(self, error: VendorError) -> None:
        code = self.socket.close_code
        if error.code == "disconnected" and code == 1008:
            error = _objection(self.socket.close_reason or error.detail)
        elif error.code == "disconnected" and code == 1009:
            # How the vendor says that a voice does not go with a model.
            error = VendorError(VENDOR, "bad_request", error.detail, retryable=False)
        self._lost(error)

    def _lost(self, error: VendorError) -> None:
        reply = self._reply
        self._forget()
        if self._loop.time() - self._connected_at >= _SETTLED_S:
            self.socket = self._connect()
        if reply is not None and reply.context is not None:
            reply.fail(error)
        self.prepare()


class ElevenLabsTtsReply:
    """One reply. It has a context from its first text to the server's last word on it."""

    def __init__(self, session: ElevenLabsTtsSession, sink: Callable[[TtsEvent], None]) -> None:
        self.context: _Context | None = None
        self._session = session
        self._sink = sink
        self._times = WordTimes()
        self._characters = 0
        self._audio_bytes = 0
        self._odd = b""
        self._unsent = ""
        self._finished = False
        self._over = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def say(self, text: str) -> None:
        text = text.strip()
        if self._over or self._finished or not text:
            return
        self._times.expect(text)
        if not any(character.isalnum() for character in text):
            self._unsent = (f"{self._unsent}{text} ")[-200:]  # marks alone make no audio
            return
        text, self._unsent = self._unsent + text, ""
        if self.context is None:
            self.context = self._session.take()
            self._times.restart(self._audio_ms)
        self._characters += len(text)
        # Text has to end with a space, or the last word may be joined with the next.
        self._session.send({"text": f"{text} ", "context_id": self.context.id})
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
        self._session.send({"context_id": self.context.id, "flush": True})
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
        samples = self._odd + message.audio
        whole = len(samples) - len(samples) % self._session.audio.sample_bytes
        self._odd = samples[whole:]
        self._audio_bytes += whole
        if whole:
            self._tell(TtsAudio(samples[:whole]))
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
        self._odd = b""
        if context is None:
            return
        if context.waiting and not (context.heard and context.closed_at is not None):
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
        settings = self._session.settings
        first = code == "first_output_timeout"
        after_ms = settings.first_audio_timeout_ms if first else settings.stall_timeout_ms
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


