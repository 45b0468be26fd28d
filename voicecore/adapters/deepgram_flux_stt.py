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
from collections.abc import Iterator, Mapping

from pydantic import Field

from voicecore.adapters.deepgram_flux import FORCE_END_TURN, FluxTurn, TurnInfo, decode_flux
from voicecore.adapters.deepgram_listen import ListenSettings, ListenStream, ListenStt
from voicecore.adapters.deepgram_messages import ErrorMessage
from voicecore.adapters.live_url import QueryValue
from voicecore.adapters.registry import ConfigProblem, VendorConfig
from voicecore.adapters.stt_audio import AudioLog
from voicecore.providers.stt import SttFinal

_QUIET_MS = 500
_SILENCE_CHUNK_MS = 80
_SILENCE_TICK_MS = 240
_MAX_SILENCE_MS = 10_000


class FluxSettings(ListenSettings):
    """Settings of the Flux models."""

    chunk_ms: int = Field(default=80, ge=20, le=250)
    eot_threshold: float | None = Field(default=None, ge=0.5, le=1.0)
    """How sure Flux must be that the caller has finished, to end the turn; empty: Deepgram's
    default, 0.7."""
    eager_eot_threshold: float | None = Field(default=None, ge=0.3, le=0.9)
    """How sure it must be to say so in advance; not above ``eot_threshold``. Empty: it never
    does."""
    eot_timeout_ms: int | None = Field(default=None, ge=500, le=60_000)
    """The silence after which Flux ends a turn however unsure it is; empty: Deepgram's
    default."""
    language_hint: tuple[str, ...] = ()
    """Languages to expect, for models that end in ``-multi``; empty: the agent's."""
    numerals: bool | None = None
    """``true``: numbers as digits."""
    force_end_turn: bool = False
    """Whether the turn is ended when our own detector says that the caller has stopped, instead
    of waiting for Flux to hear from the words that it is over."""
    finalize_after_ms: int = Field(default=2000, ge=100, le=60_000)
    """How long Flux may go on waiting after the caller has stopped, before it is asked to end
    the turn."""
    stall_timeout_ms: int = Field(default=3000, ge=1000, le=60_000)


class _FluxStream(ListenStream[FluxSettings, FluxTurn, TurnInfo]):
    _pushed_at = 0.0
    _silence_ms = 0
    _silence_timer: asyncio.TimerHandle | None = None

    def _begin(self, log: AudioLog) -> FluxTurn:
        return FluxTurn(log)

    def _decode(self, message: str | bytes) -> TurnInfo | ErrorMessage | None:
        return decode_flux(message)

    def push(self, frame: bytes) -> None:
        self._pushed_at = self._loop.time()
        self._silence_ms = 0
        super().push(frame)

    def speech_started(self) -> None:
        super().speech_started()
        self._turn.speech_started()
        self._set_timer(None)

    def _owed(self) -> bool:
        return self._speaking or self._turn.open

    def _finish(self) -> None:
        if self._turn.ended_quietly:
            self._link.emit([SttFinal("", flushed=True)])
        elif self._settings.force_end_turn:
            self._force_end_turn()
        else:
            self._set_timer(self._still_open, self._settings.finalize_after_ms)

    def _take(self, message: TurnInfo) -> None:
        events = self._turn.receive(message)
        if any(isinstance(event, SttFinal) for event in events):
            self._set_timer(None)
        self._link.emit(events)
        if self._turn.open and self._silence_timer is None and not self._link.closed:
            self._schedule_silence()

    def _still_open(self) -> None:
        if self._turn.open:
            self._force_end_turn()
        else:
            self._answer_overdue()

    def _force_end_turn(self) -> None:
        self._link.send(FORCE_END_TURN)
        self._set_timer(self._answer_overdue, self._settings.finalize_timeout_ms)

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

    def _stop_timers(self) -> None:
        super()._stop_timers()
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None


class DeepgramFluxStt(ListenStt[FluxSettings]):
    """One configured Flux model."""

    ends_turns = True
    marks_ends = True
    path = "/v2/listen"
    stream_type = _FluxStream

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        model = "flux-general-en" if config.model == "flux" else config.model
        multilingual = model.endswith("-multi")
        spoken = config.language.partition("-")[0].lower()

        def check(settings: FluxSettings) -> Iterator[ConfigProblem]:
            eager = settings.eager_eot_threshold
            if eager and eager > (settings.eot_threshold or 0.7):
                detail = "must not be above eot_threshold (0.7 unless set)"
                yield ConfigProblem("settings.eager_eot_threshold", detail)
            if settings.language_hint and not multilingual:
                yield ConfigProblem("settings.language_hint", f"{model} takes none")

        also: list[ConfigProblem] = []
        if not multilingual and spoken not in ("", "en"):
            also.append(ConfigProblem("language", f"{model} knows English only"))
        super().__init__(config, secrets, model, FluxSettings, also=also, check=check)
        self._hints = self._settings.language_hint
        if multilingual and not self._hints and spoken not in ("", "multi"):
            self._hints = (spoken,)

    def _query(self) -> tuple[tuple[str, QueryValue], ...]:
        s = self._settings
        return (
            ("eot_threshold", s.eot_threshold),
            ("eager_eot_threshold", s.eager_eot_threshold),
            ("eot_timeout_ms", s.eot_timeout_ms),
            ("language_hint", self._hints),
            ("numerals", s.numerals),
        )
