"""What Deepgram's two ways of listening share: the vendor's shell, and the stream's.

Nova (``deepgram_stt``) and Flux (``deepgram_flux_stt``) differ in who decides that a turn has
ended, and in what is sent for it. Everything else about a stream is here.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import Field

from media.audio.format import AudioFormat
from voicecore.adapters.deepgram_common import (
    VENDOR,
    CommonSettings,
    check_deepgram_key,
    encoding_name,
    live_options,
    read_deepgram_key,
    vendor_error,
)
from voicecore.adapters.deepgram_messages import ErrorMessage
from voicecore.adapters.live_socket import SocketOptions
from voicecore.adapters.live_url import QueryValue
from voicecore.adapters.registry import ConfigProblem, VendorConfig
from voicecore.adapters.settings import read_settings
from voicecore.adapters.stt_audio import AudioLog
from voicecore.adapters.stt_link import REPLAY_MS, SttLink
from voicecore.providers.stt import Spawn, SttEvent, SttStream

CLOSE_STREAM = '{"type":"CloseStream"}'


class ListenSettings(CommonSettings):
    """What Nova and Flux have in common; names that are Deepgram's mean what they mean there."""

    chunk_ms: int = Field(ge=20, le=250)
    """How much audio a message carries."""
    stall_timeout_ms: int = Field(ge=1000, le=60_000)
    """How much audio may go unanswered while the caller speaks. After that the connection is
    replaced once, then the stream fails."""

    profanity_filter: bool | None = None
    """``true`` masks swear words."""
    redact: tuple[str, ...] = ()
    """What is left out of the text, by Deepgram's names: ``pci``, ``numbers``, ..."""
    keyterm: tuple[str, ...] = Field(default=(), max_length=100)
    """Words and names to listen for. Of the Nova models, only nova-3 takes them."""
    finalize_timeout_ms: int = Field(default=300, ge=50, le=5000)
    """How long the answer to a request to finish may take; then what was heard so far stands in
    for it."""


class Turn(Protocol):
    """What a protocol's messages mean."""

    def timed_out(self) -> list[SttEvent]:
        """The vendor did not finish in time."""

    def replaced(self) -> list[SttEvent]:
        """A new connection began."""


S = TypeVar("S", bound=ListenSettings)
T = TypeVar("T", bound=Turn)
M = TypeVar("M")


class ListenStt(ABC, Generic[S]):
    """One configured model; ``open`` makes a stream for each call. ``also`` and ``check`` are
    as for ``read_settings``."""

    name = VENDOR
    path: ClassVar[str]
    stream_type: ClassVar[Callable[..., SttStream]]

    def __init__(
        self,
        config: VendorConfig,
        secrets: Mapping[str, str],
        model: str,
        kind: type[S],
        *,
        also: Iterable[ConfigProblem] = (),
        check: Callable[[S], Iterable[ConfigProblem]],
    ) -> None:
        self._model = model
        self._settings = read_settings(config, kind, also=also, check=check)
        self._key = read_deepgram_key(secrets)

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        """Mu-law, A-law and linear PCM are taken at any rate: nothing is converted."""
        return offered

    def check_key(self) -> None:
        check_deepgram_key(self._key)

    async def start(self) -> None:
        self.check_key()

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> SttStream:
        options = self._options(audio)
        return self.stream_type(options, self._settings, audio, sink=sink, spawn=spawn)

    def _options(self, audio: AudioFormat) -> SocketOptions:
        settings = self._settings
        query: tuple[tuple[str, QueryValue], ...] = (
            ("model", self._model),
            ("encoding", encoding_name(audio)),
            ("sample_rate", audio.rate_hz),
            ("profanity_filter", settings.profanity_filter),
            ("redact", settings.redact),
            ("keyterm", settings.keyterm),
            *self._query(),
        )
        max_audio_bytes = audio.bytes_per_ms * REPLAY_MS
        return live_options(settings, self._key, self.path, query, max_audio_bytes=max_audio_bytes)

    @abstractmethod
    def _query(self) -> tuple[tuple[str, QueryValue], ...]:
        """What this way of listening adds to the request."""


class ListenStream(ABC, Generic[S, T, M]):
    """One caller's audio. ``keepalive`` is what holds an idle socket open, if anything does."""

    keepalive: ClassVar[str | None] = None

    def __init__(
        self,
        options: SocketOptions,
        settings: S,
        audio: AudioFormat,
        *,
        sink: Callable[[SttEvent], None],
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._speaking = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        keepalive = self.keepalive
        self._link = SttLink(
            options,
            audio,
            chunk_ms=settings.chunk_ms,
            sink=sink,
            spawn=spawn,
            on_message=self._receive,
            on_ended=self._stop_timers,
            on_replaced=self._replaced,
            keepalive=None if keepalive is None else lambda: keepalive,
        )
        self._turn = self._begin(self._link.log)

    def push(self, frame: bytes) -> None:
        self._link.push(frame)
        unanswered_ms = self._link.unanswered_ms
        if unanswered_ms > self._settings.stall_timeout_ms and self._owed():
            detail = f"no answer to {unanswered_ms} ms of speech"
            self._link.fail(vendor_error("stalled", detail))

    def speech_started(self) -> None:
        self._speaking = True

    def want_interim(self) -> None:
        """The vendor sends interims all along."""

    def turn_over(self) -> None:
        """Finals are final."""

    def finalize(self) -> None:
        if self._link.closed:
            return
        self._speaking = False
        self._link.flush()
        self._finish()

    def close(self) -> None:
        self._stop_timers()
        self._link.close(CLOSE_STREAM)

    def _owed(self) -> bool:
        """Whether the vendor has to say something about the audio that it gets."""
        return self._speaking

    @abstractmethod
    def _begin(self, log: AudioLog) -> T:
        """What the protocol's messages will mean."""

    @abstractmethod
    def _decode(self, message: str | bytes) -> M | ErrorMessage | None:
        """None for a message that does not matter.

        :raises ValueError: it makes no sense."""

    @abstractmethod
    def _finish(self) -> None:
        """Our VAD heard speech end."""

    @abstractmethod
    def _take(self, message: M) -> None:
        """A message that matters."""

    def _receive(self, message: str | bytes) -> None:
        try:
            known = self._decode(message)
        except ValueError as wrong:
            self._link.garbage(str(wrong))
            return
        if isinstance(known, ErrorMessage):
            self._link.fail(vendor_error("vendor_error", known.detail))
        elif known is not None:
            self._take(known)

    def _replaced(self) -> None:
        self._link.emit(self._turn.replaced())

    def _answer_overdue(self) -> None:
        self._link.emit(self._turn.timed_out())

    def _set_timer(self, due: Callable[[], None] | None, after_ms: int = 0) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(after_ms / 1000, due)

    def _stop_timers(self) -> None:
        self._set_timer(None)
