"""ElevenLabs speech over its multi-context WebSocket, one per call.

Source: elevenlabs.io/docs, "Multi-Context WebSocket" (API reference and guide), and the message
types of the ``elevenlabs`` SDK, which itself has no asynchronous socket for speech. Each reply
is a context of its own; the next reply's context is opened ahead, so that there is always one
to keep alive. What practice adds to the documents:

- A context closed before its first audio may be dropped in silence, so a finished reply's
  context is closed when audio has come after its last text.
- A sixth context closes the socket. Contexts are counted until the server says that they are
  final; where five hang, a new socket takes over.
- Times of an alignment count from its chunk, need not fit that chunk's audio, and may be
  missing. Their sum fits. They only place words; which words there are is known from the text.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import pybase64
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from media.audio.format import ALAW_8K, L16_16K, L16_24K, MULAW_8K, AudioFormat, Encoding
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.adapters.registry import VendorConfig, VendorConfigError
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import Word, spread_words

VENDOR = "elevenlabs"
KEY_NAME = "ELEVENLABS_API_KEY"
_FORMATS = {
    MULAW_8K: "ulaw_8000",
    ALAW_8K: "alaw_8000",
    L16_16K: "pcm_16000",
    L16_24K: "pcm_24000",
}
_MAX_CONTEXTS = 5
_CLOSING_S = 5.0
"""How long a closed context counts if the server never calls it final."""
_CLOSE_GRACE_S = 1.0
"""How long a finished reply waits for audio after its last text, if it had audio before."""
_SETTLED_S = 5.0
"""A socket that lived this long is replaced at once when it breaks, a younger one when needed."""
_MAX_KEEPALIVE_MS = 10_000
_MAX_MESSAGE_BYTES = 4 << 20
_MAX_SKEW_MS = 500
_LOOK_AHEAD_WORDS = 12
_LONGEST_CHUNK_MS = 600_000


class VoiceSettings(BaseModel):
    """As the vendor's ``voice_settings``; what is not set is the voice's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stability: float | None = Field(default=None, ge=0, le=1)
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    style: float | None = Field(default=None, ge=0, le=1)
    use_speaker_boost: bool | None = None
    speed: float | None = Field(default=None, ge=0.7, le=1.2)


class ElevenLabsTtsSettings(BaseModel):
    """``language_code`` forces a language, for models that take one; where it is not set, the
    agent's language is sent to the v2.5 models, which do. ``first_audio_timeout_ms`` runs from
    a text to the next audio, ``stall_timeout_ms`` is the longest gap after the last text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_url: str = Field(default="wss://api.elevenlabs.io", pattern=r"^wss?://[^/?#\s]+$")
    voice_settings: VoiceSettings = Field(default_factory=VoiceSettings)
    language_code: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    apply_text_normalization: Literal["auto", "on", "off"] | None = None
    enable_ssml_parsing: bool | None = None
    enable_logging: bool | None = None
    seed: int | None = Field(default=None, ge=0, le=4_294_967_295)
    inactivity_timeout_s: int = Field(default=180, ge=20, le=180)
    connect_timeout_ms: int = Field(default=4000, ge=1, le=60_000)
    first_audio_timeout_ms: int = Field(default=5000, ge=1, le=120_000)
    stall_timeout_ms: int = Field(default=4000, ge=1, le=120_000)


class ElevenLabsTts:
    """A voice of ElevenLabs; see ``ElevenLabsTtsSettings``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        for field, value in (("model", config.model), ("voice", config.voice)):
            if not value:
                raise VendorConfigError(field, f"must name a {field}")
        if config.model.startswith(("eleven_v3", "eleven_v4")):
            raise VendorConfigError("model", f"{config.model} is not served on this socket")
        self.name = f"{VENDOR}/{config.model}"
        self._config = config
        self._settings = _read_settings(config.settings)
        self._key = secrets.get(KEY_NAME, "").strip()

    async def start(self) -> None:
        """Check that there is a key. The vendor is not asked about it: a key limited to speech
        may ask nothing else, and speech costs."""
        if not self._key:
            raise VendorError(VENDOR, "auth_failed", f"{KEY_NAME} is not set", retryable=False)
        if not self._key.isascii() or not self._key.isprintable():
            detail = f"{KEY_NAME} holds characters that no key has"
            raise VendorError(VENDOR, "auth_failed", detail, retryable=False)

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "ElevenLabsTtsSession":
        audio = _nearest(wanted)
        settings = self._settings
        options = SocketOptions(
            vendor=VENDOR,
            url=self._url(_FORMATS[audio]),
            headers={"xi-api-key": self._key},
            connect_timeout_ms=settings.connect_timeout_ms,
            keepalive_idle_ms=min(_MAX_KEEPALIVE_MS, settings.inactivity_timeout_s * 1000 // 3),
            max_message_bytes=_MAX_MESSAGE_BYTES,
        )
        return ElevenLabsTtsSession(audio, settings, options, spawn)

    def _url(self, output_format: str) -> str:
        settings = self._settings
        language = settings.language_code
        if language is None and self._config.model.endswith("v2_5"):
            spoken = self._config.language.partition("-")[0].lower()
            language = spoken if spoken.isalpha() and len(spoken) in (2, 3) else None
        query: dict[str, str | int | bool | None] = {
            "model_id": self._config.model,
            "output_format": output_format,
            "auto_mode": True,
            "sync_alignment": True,
            "inactivity_timeout": settings.inactivity_timeout_s,
            "language_code": language,
            "apply_text_normalization": settings.apply_text_normalization,
            "enable_ssml_parsing": settings.enable_ssml_parsing,
            "enable_logging": settings.enable_logging,
            "seed": settings.seed,
        }
        pairs = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in query.items()
            if value is not None
        }
        voice = quote(self._config.voice, safe="")
        path = f"/v1/text-to-speech/{voice}/multi-stream-input"
        return f"{settings.base_url}{path}?{urlencode(pairs)}"


def _read_settings(settings: Mapping[str, Any]) -> ElevenLabsTtsSettings:
    try:
        return ElevenLabsTtsSettings.model_validate(dict(settings))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(("settings", *(str(part) for part in first["loc"])))
        raise VendorConfigError(field, first["msg"]) from None


def _nearest(wanted: AudioFormat) -> AudioFormat:
    if wanted in _FORMATS:
        return wanted
    wide = wanted.encoding is Encoding.L16 and wanted.rate_hz > L16_16K.rate_hz
    return L16_24K if wide else L16_16K


class Alignment(NamedTuple):
    """Characters with their times in milliseconds from the start of a chunk."""

    characters: tuple[tuple[str, int, int], ...]
    duration_ms: int


class ServerMessage(NamedTuple):
    """``context_id`` None: the message names none. ``error`` ends the socket."""

    context_id: str | None = None
    audio: bytes = b""
    alignment: Alignment | None = None
    final: bool = False
    error: VendorError | None = None


class _Wire(msgspec.Struct):
    audio: str | None = None
    alignment: Any = None
    normalizedAlignment: Any = None
    contextId: str | None = None
    context_id: str | None = None
    isFinal: bool | None = None
    is_final: bool | None = None
    error: str | None = None
    message: Any = None
    code: Any = None


_decoder = msgspec.json.Decoder(_Wire)


def read_message(data: str | bytes) -> ServerMessage:
    """:raises VendorError: ``garbage``."""
    try:
        if isinstance(data, bytes):
            raise ValueError("binary")
        wire = _decoder.decode(data)
        audio = pybase64.b64decode(wire.audio, validate=True) if wire.audio else b""
    except (ValueError, msgspec.MsgspecError, RecursionError) as broken:
        detail = f"not a message: {broken}"[:200]
        raise VendorError(VENDOR, "garbage", detail, retryable=True) from broken
    if wire.error is not None:
        text = f"{wire.error} {wire.message if isinstance(wire.message, str) else ''}"
        return ServerMessage(error=_objection(text.strip()))
    return ServerMessage(
        wire.contextId if wire.contextId is not None else wire.context_id,
        audio,
        read_alignment(wire.alignment) or read_alignment(wire.normalizedAlignment),
        bool(wire.isFinal or wire.is_final),
    )


def read_alignment(given: object) -> Alignment | None:
    """None where there is none or it makes no sense."""
    if not isinstance(given, dict):
        return None
    chars = given.get("chars")
    starts = given.get("charStartTimesMs", given.get("char_start_times_ms"))
    durations = given.get("charDurationsMs", given.get("char_durations_ms"))
    if not (isinstance(chars, list) and isinstance(starts, list) and isinstance(durations, list)):
        return None
    if not chars or not len(chars) == len(starts) == len(durations):
        return None
    placed: list[tuple[str, int, int]] = []
    for character, start, duration in zip(chars, starts, durations, strict=True):
        if not isinstance(character, str) or not _is_time(start) or not _is_time(duration):
            return None
        placed.append((character, int(start), int(start + duration)))
    return Alignment(tuple(placed), max(end for _, _, end in placed))


def _is_time(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= _LONGEST_CHUNK_MS  # type: ignore[operator]


_OBJECTIONS: tuple[tuple[str, str, bool], ...] = (
    ("max_active_conversations", "overloaded", True),
    ("simultaneous contexts", "overloaded", True),
    ("not received a new text", "disconnected", True),
    ("timeout", "disconnected", True),
    ("quota", "quota_exceeded", False),
    ("credits", "quota_exceeded", False),
    ("payment", "quota_exceeded", False),
    ("concurrent", "rate_limited", True),
    ("rate limit", "rate_limited", True),
    ("busy", "overloaded", True),
    ("went wrong", "vendor_error", True),
    ("internal", "vendor_error", True),
    ("api_key", "auth_failed", False),
    ("api key", "auth_failed", False),
    ("authoriz", "auth_failed", False),
    ("authentic", "auth_failed", False),
    ("permission", "auth_failed", False),
    ("model", "model_not_found", False),
)
"""What the vendor's words mean: all its objections come with close code 1008."""


def _objection(text: str) -> VendorError:
    words = text.lower()
    for part, code, retryable in _OBJECTIONS:
        if part in words:
            return VendorError(VENDOR, code, text[:200], retryable=retryable)
    return VendorError(VENDOR, "bad_request", text[:200], retryable=False)


class WordTimes:
    """Gives a reply's words their places. Every word of the text comes out once and in order,
    whatever the alignment says: a word that it spells differently ("42", "forty two") lies
    between its neighbours, and what it leaves out is spread over the audio's rest."""

    def __init__(self) -> None:
        self._expected: deque[str] = deque()
        self._token = ""
        self._token_start_ms = self._token_end_ms = 0
        self._offset_ms = 0
        self._placed_ms = 0

    def expect(self, text: str) -> None:
        self._expected.extend(text.split())

    def restart(self, audio_ms: int) -> None:
        """A new context's alignment begins here."""
        self._token = ""
        self._offset_ms = audio_ms

    def place(self, alignment: Alignment, audio_before_ms: int) -> tuple[Word, ...]:
        """The words that an alignment completes. It belongs to a chunk that begins at
        ``audio_before_ms``; alignments before it were lost if their sum is far from that."""
        if self._offset_ms < audio_before_ms - _MAX_SKEW_MS:
            self._offset_ms = audio_before_ms
        words: list[Word] = []
        for character, start_ms, end_ms in alignment.characters:
            if character.isspace() or not character:
                words += self._complete()
                continue
            if not self._token:
                self._token_start_ms = self._offset_ms + start_ms
            self._token += character
            self._token_end_ms = self._offset_ms + end_ms
            if self._expected and self._token == self._expected[0]:
                words += self._complete()
        self._offset_ms += alignment.duration_ms
        return tuple(words)

    def rest(self, audio_ms: int) -> tuple[Word, ...]:
        """All other words, when the audio is complete."""
        words = [*self._complete(), *self._spread(len(self._expected), audio_ms)]
        return tuple(words)

    def spoken_by(self, audio_ms: int) -> bool:
        """All words have their places, and the audio reaches that far."""
        return not self._expected and 0 < self._placed_ms <= audio_ms + _MAX_SKEW_MS

    def _complete(self) -> list[Word]:
        token, self._token = self._token, ""
        key = _key(token)
        for skipped, word in enumerate(islice(self._expected, _LOOK_AHEAD_WORDS)):
            if (key and _key(word) == key) or (not skipped and word == token):
                words = self._spread(skipped, self._token_start_ms)
                start_ms = max(self._placed_ms, self._token_start_ms)
                self._placed_ms = max(start_ms, self._token_end_ms)
                return [*words, Word(self._expected.popleft(), start_ms, self._placed_ms)]
        return []

    def _spread(self, count: int, end_ms: int) -> list[Word]:
        text = " ".join(self._expected.popleft() for _ in range(count))
        start_ms, self._placed_ms = self._placed_ms, max(self._placed_ms, end_ms)
        return list(spread_words(text, start_ms, self._placed_ms))


def _key(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())


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


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
