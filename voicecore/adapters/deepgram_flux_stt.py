"""Deepgram Flux speech-to-text (``v2/listen``): a model that itself decides when a turn ends.

On the bare WebSocket for the reasons that ``deepgram_stt`` gives. What differs from Nova:

- A JSON KeepAlive kills this socket (deepgram-python-sdk issues 618 and 649): WebSocket pings
  keep it open, and silence is sent when the line's audio stops inside a turn, which Flux could
  otherwise never end. That silence is billed as audio.
- The socket can stay open with audio flowing and say nothing (pipecat issue 5735): speech that
  goes unanswered for ``stall_timeout_ms`` of audio is a failure, first cured by a new connection.
- ``finalize()`` does not end the turn, unless ``force_end_turn`` says so: Flux hears from the
  words whether the caller has finished. It is asked to end the turn after ``finalize_after_ms``,
  and what it heard is taken for final ``finalize_timeout_ms`` later.
"""

import asyncio
from collections.abc import Callable, Mapping

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
from voicecore.adapters.deepgram_flux import (
    CLOSE_STREAM,
    FORCE_END_TURN,
    FluxError,
    FluxTurn,
    decode_flux,
)
from voicecore.adapters.live_socket import SocketOptions
from voicecore.adapters.registry import VendorConfig, VendorConfigError
from voicecore.adapters.settings import read_settings
from voicecore.adapters.stt_link import REPLAY_MS, SttLink
from voicecore.providers.stt import Spawn, SttEvent, SttFinal, SttStream

_QUIET_MS = 500
_SILENCE_CHUNK_MS = 80
_SILENCE_TICK_MS = 240
_MAX_SILENCE_MS = 10_000


class FluxSettings(CommonSettings):
    """``eager_eot_threshold`` unset means no eager ends of turn; the rest are Deepgram's own
    names (``eot_*``, ``keyterm``, ``language_hint``) or explained in the module's text."""

    chunk_ms: int = Field(default=80, ge=20, le=250)
    eot_threshold: float | None = Field(default=None, ge=0.5, le=1.0)
    eager_eot_threshold: float | None = Field(default=None, ge=0.3, le=0.9)
    eot_timeout_ms: int | None = Field(default=None, ge=500, le=60_000)
    keyterm: tuple[str, ...] = Field(default=(), max_length=100)
    language_hint: tuple[str, ...] = ()
    numerals: bool | None = None
    profanity_filter: bool | None = None
    redact: tuple[str, ...] = ()
    force_end_turn: bool = False
    finalize_after_ms: int = Field(default=2000, ge=100, le=60_000)
    finalize_timeout_ms: int = Field(default=300, ge=50, le=5000)
    stall_timeout_ms: int = Field(default=3000, ge=1000, le=60_000)


class DeepgramFluxStt:
    """One configured Flux model; ``open`` makes a stream for each call."""

    name = VENDOR
    ends_turns = True

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self._settings = s = read_settings(config, FluxSettings)
        self._model = "flux-general-en" if config.model == "flux" else config.model
        self._key = read_deepgram_key(secrets)
        if s.eager_eot_threshold and s.eager_eot_threshold > (s.eot_threshold or 0.7):
            detail = "must not be above eot_threshold (0.7 unless set)"
            raise VendorConfigError("settings.eager_eot_threshold", detail)
        multilingual = self._model.endswith("-multi")
        if s.language_hint and not multilingual:
            raise VendorConfigError("settings.language_hint", f"{self._model} takes none")
        spoken = config.language.partition("-")[0].lower()
        if not multilingual and spoken not in ("", "en"):
            raise VendorConfigError("language", f"{self._model} knows English only")
        if multilingual and not s.language_hint and spoken not in ("", "multi"):
            self._hints: tuple[str, ...] = (spoken,)
        else:
            self._hints = s.language_hint

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        """Mu-law, A-law and linear PCM are taken at any rate: nothing is converted."""
        return offered

    async def start(self) -> None:
        check_deepgram_key(self._key)

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> SttStream:
        return _FluxStream(self._options(audio), self._settings, audio, sink=sink, spawn=spawn)

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def _options(self, audio: AudioFormat) -> SocketOptions:
        s = self._settings
        return live_options(
            s,
            self._key,
            "/v2/listen",
            (
                ("model", self._model),
                ("encoding", encoding_name(audio)),
                ("sample_rate", audio.rate_hz),
                ("eot_threshold", s.eot_threshold),
                ("eager_eot_threshold", s.eager_eot_threshold),
                ("eot_timeout_ms", s.eot_timeout_ms),
                ("keyterm", s.keyterm),
                ("language_hint", self._hints),
                ("numerals", s.numerals),
                ("profanity_filter", s.profanity_filter),
                ("redact", s.redact),
            ),
            max_audio_bytes=audio.bytes_per_ms * REPLAY_MS,
        )


class _FluxStream:
    def __init__(
        self,
        options: SocketOptions,
        settings: FluxSettings,
        audio: AudioFormat,
        *,
        sink: Callable[[SttEvent], None],
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._speaking = False
        self._pushed_at = 0.0
        self._silence_ms = 0
        self._timer: asyncio.TimerHandle | None = None
        self._silence_timer: asyncio.TimerHandle | None = None
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
        )
        self._turn = FluxTurn(self._link.log)

    def push(self, frame: bytes) -> None:
        self._pushed_at = self._loop.time()
        self._silence_ms = 0
        self._link.push(frame)
        unanswered_ms = self._link.unanswered_ms
        in_turn = self._speaking or self._turn.open
        if in_turn and unanswered_ms > self._settings.stall_timeout_ms:
            detail = f"no event for {unanswered_ms} ms of audio"
            self._link.fail(vendor_error("stalled", detail))

    def speech_started(self) -> None:
        self._speaking = True
        self._turn.speech_started()
        self._set_timer(None)

    def finalize(self) -> None:
        if self._link.closed:
            return
        self._speaking = False
        self._link.flush()
        if self._turn.ended_quietly:
            self._link.emit([SttFinal("", flushed=True)])
        elif self._settings.force_end_turn:
            self._force_end_turn()
        else:
            self._set_timer(self._still_open, self._settings.finalize_after_ms)

    def close(self) -> None:
        self._stop_timers()
        self._link.close(CLOSE_STREAM)

    def _receive(self, message: str | bytes) -> None:
        try:
            known = decode_flux(message)
        except ValueError as wrong:
            self._link.garbage(str(wrong))
            return
        if isinstance(known, FluxError):
            detail = f"{known.code} {known.description}".strip()
            self._link.fail(vendor_error("vendor_error", detail))
        elif known is not None:
            events = self._turn.receive(known)
            if any(isinstance(event, SttFinal) for event in events):
                self._set_timer(None)
            self._link.emit(events)
            if self._turn.open and self._silence_timer is None and not self._link.closed:
                self._schedule_silence()

    def _replaced(self) -> None:
        self._link.emit(self._turn.replaced())

    def _still_open(self) -> None:
        if self._turn.open:
            self._force_end_turn()
        else:
            self._answer_overdue()

    def _force_end_turn(self) -> None:
        self._link.send(FORCE_END_TURN)
        self._set_timer(self._answer_overdue, self._settings.finalize_timeout_ms)

    def _answer_overdue(self) -> None:
        self._timer = None
        self._link.emit(self._turn.timed_out())

    def _schedule_silence(self) -> None:
        self._silence_timer = self._loop.call_later(_SILENCE_TICK_MS / 1000, self._silence_due)

    def _silence_due(self) -> None:
        self._silence_timer = None
        if not self._turn.open:
            return
        quiet = self._loop.time() - self._pushed_at >= _QUIET_MS / 1000
        if quiet and self._silence_ms < _MAX_SILENCE_MS:
            self._link.flush()
            for _ in range(_SILENCE_TICK_MS // _SILENCE_CHUNK_MS):
                self._link.add_silence(_SILENCE_CHUNK_MS)
            self._silence_ms += _SILENCE_TICK_MS
        self._schedule_silence()

    def _set_timer(self, due: Callable[[], None] | None, after_ms: int = 0) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(after_ms / 1000, due)

    def _stop_timers(self) -> None:
        self._set_timer(None)
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None
