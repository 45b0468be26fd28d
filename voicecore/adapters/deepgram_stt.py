"""Deepgram speech-to-text: Nova over ``v1/listen``, and Flux by its model's name.

Written on the bare WebSocket, not on deepgram-sdk's live client. Measured with 7.17: that one
stands on the deprecated legacy half of ``websockets`` without a say over time-outs, pings and
message size; an exception in a handler ends its read loop while the socket stays open; an
unknown message arrives as None; the close code is out of reach; it neither keeps a connection
alive nor replaces it; and it was incompatible with itself over three major versions. The
messages are few, and tests hold them against the SDK's own types.

Settings (``NovaSettings``) carry Deepgram's own names. The model defaults to ``nova-3``.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

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
from voicecore.adapters.deepgram_flux_stt import DeepgramFluxStt
from voicecore.adapters.deepgram_nova import (
    CLOSE_STREAM,
    FINALIZE,
    KEEP_ALIVE,
    NovaError,
    NovaTurn,
    decode_nova,
)
from voicecore.adapters.live_socket import SocketOptions
from voicecore.adapters.registry import VendorConfig, VendorConfigError
from voicecore.adapters.settings import read_settings
from voicecore.adapters.stt_link import REPLAY_MS, SttLink
from voicecore.providers.stt import Spawn, Stt, SttEvent, SttStream


class NovaSettings(CommonSettings):
    """``endpointing`` is the silence in ms after which Deepgram calls speech final (False:
    never); ``chunk_ms`` the audio per message; ``finalize_timeout_ms`` how long an answer to
    ``finalize()`` may take before the last interim stands in for it; ``stall_timeout_ms`` the
    audio that may go unanswered while the caller speaks. ``smart_format`` may hold text back
    while it waits for the rest of a number, so it is off."""

    chunk_ms: int = Field(default=60, ge=20, le=250)
    endpointing: int | Literal[False] = Field(default=300)
    utterance_end_ms: int | None = Field(default=1000, ge=1000, le=5000)
    punctuate: bool = True
    smart_format: bool = False
    numerals: bool = False
    filler_words: bool | None = None
    profanity_filter: bool | None = None
    redact: tuple[str, ...] = ()
    keyterm: tuple[str, ...] = Field(default=(), max_length=100)
    finalize_timeout_ms: int = Field(default=300, ge=50, le=5000)
    stall_timeout_ms: int = Field(default=8000, ge=1000, le=60_000)


def deepgram_stt(config: VendorConfig, secrets: Mapping[str, str]) -> Stt:
    """Flux for models that start with ``flux``, Nova for all others.

    :raises VendorConfigError: a setting is wrong."""
    if config.model.startswith("flux"):
        return DeepgramFluxStt(config, secrets)
    return DeepgramNovaStt(config, secrets)


class DeepgramNovaStt:
    """One configured Nova model; ``open`` makes a stream for each call."""

    name = VENDOR
    ends_turns = False

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self._settings = read_settings(config, NovaSettings)
        self._model = config.model or "nova-3"
        self._language = config.language
        self._key = read_deepgram_key(secrets)
        if self._settings.keyterm and not self._model.startswith("nova-3"):
            raise VendorConfigError("settings.keyterm", f"{self._model} takes none, nova-3 does")
        endpointing = self._settings.endpointing
        if endpointing is not False and not 10 <= endpointing <= 10_000:
            raise VendorConfigError("settings.endpointing", "must be false or 10 to 10000 ms")

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        """Mu-law, A-law and linear PCM are taken at any rate: nothing is converted."""
        return offered

    async def start(self) -> None:
        check_deepgram_key(self._key)

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> SttStream:
        return _NovaStream(self._options(audio), self._settings, audio, sink=sink, spawn=spawn)

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def _options(self, audio: AudioFormat) -> SocketOptions:
        s = self._settings
        return live_options(
            s,
            self._key,
            "/v1/listen",
            (
                ("model", self._model),
                ("language", self._language or None),
                ("encoding", encoding_name(audio)),
                ("sample_rate", audio.rate_hz),
                ("channels", 1),
                ("interim_results", True),
                ("endpointing", s.endpointing),
                ("utterance_end_ms", s.utterance_end_ms),
                ("punctuate", s.punctuate),
                ("smart_format", s.smart_format),
                ("numerals", s.numerals),
                ("filler_words", s.filler_words),
                ("profanity_filter", s.profanity_filter),
                ("redact", s.redact),
                ("keyterm", s.keyterm),
            ),
            max_audio_bytes=audio.bytes_per_ms * REPLAY_MS,
        )


class _NovaStream:
    def __init__(
        self,
        options: SocketOptions,
        settings: NovaSettings,
        audio: AudioFormat,
        *,
        sink: Callable[[SttEvent], None],
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._speaking = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._link = SttLink(
            options,
            audio,
            chunk_ms=settings.chunk_ms,
            sink=sink,
            spawn=spawn,
            on_message=self._receive,
            on_ended=self._stop_timers,
            on_replaced=self._replaced,
            keepalive=lambda: KEEP_ALIVE,
        )
        self._turn = NovaTurn(self._link.log)

    def push(self, frame: bytes) -> None:
        self._link.push(frame)
        if self._speaking and self._link.unanswered_ms > self._settings.stall_timeout_ms:
            detail = f"no transcript for {self._link.unanswered_ms} ms of speech"
            self._link.fail(vendor_error("stalled", detail))

    def speech_started(self) -> None:
        self._speaking = True

    def finalize(self) -> None:
        if self._link.closed:
            return
        self._speaking = False
        self._link.flush()
        answer = self._turn.finalize()
        if answer:
            self._link.emit(answer)
            return
        self._link.send(FINALIZE)
        self._stop_timers()
        self._timer = self._loop.call_later(
            self._settings.finalize_timeout_ms / 1000, self._answer_overdue
        )

    def close(self) -> None:
        self._stop_timers()
        self._link.close(CLOSE_STREAM)

    def _receive(self, message: str | bytes) -> None:
        try:
            known = decode_nova(message)
        except ValueError as wrong:
            self._link.garbage(str(wrong))
            return
        if isinstance(known, NovaError):
            detail = known.description or known.message or known.variant or "no description"
            self._link.fail(vendor_error("vendor_error", detail))
        elif known is not None:
            self._link.emit(self._turn.receive(known))

    def _replaced(self) -> None:
        self._link.emit(self._turn.replaced())
        if self._turn.flushing:
            self._link.send(FINALIZE)

    def _answer_overdue(self) -> None:
        self._timer = None
        self._link.emit(self._turn.timed_out())

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
