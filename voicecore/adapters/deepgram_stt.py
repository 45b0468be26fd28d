"""Deepgram speech-to-text: Nova over ``v1/listen``, and Flux by its model's name.

Written on the bare WebSocket, not on deepgram-sdk's live client. Measured with 7.17: that one
stands on the deprecated legacy half of ``websockets`` without a say over time-outs, pings and
message size; an exception in a handler ends its read loop while the socket stays open; an
unknown message arrives as None; the close code is out of reach; it neither keeps a connection
alive nor replaces it; and it was incompatible with itself over three major versions. The
messages are few, and tests hold them against the SDK's own types.

Settings (``NovaSettings``) carry Deepgram's own names. The model defaults to ``nova-3``.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, field_validator

from voicecore.adapters.deepgram_flux_stt import DeepgramFluxStt
from voicecore.adapters.deepgram_listen import ListenSettings, ListenStream, ListenStt
from voicecore.adapters.deepgram_messages import ErrorMessage
from voicecore.adapters.deepgram_nova import (
    FINALIZE,
    KEEP_ALIVE,
    NovaMessage,
    NovaTurn,
    decode_nova,
)
from voicecore.adapters.live_url import QueryValue
from voicecore.adapters.registry import ConfigProblem, VendorConfig
from voicecore.adapters.stt_audio import AudioLog
from voicecore.providers.stt import Stt


class NovaSettings(ListenSettings):
    """Settings of the Nova models."""

    chunk_ms: int = Field(default=60, ge=20, le=250)
    endpointing: int | Literal[False] = Field(default=300)
    """The silence in ms, 10 to 10000, after which Deepgram calls speech final; ``false``: it
    never does."""
    utterance_end_ms: int | None = Field(default=1000, ge=1000, le=5000)
    """The gap between words after which Deepgram reports the end of an utterance, which ends a
    turn that background noise would keep open; empty: it reports none."""
    punctuate: bool = True
    """Punctuation and capital letters."""
    smart_format: bool = False
    """Dates, amounts and numbers in their written form. Text may be held back while the rest of
    a number is waited for."""
    numerals: bool = False
    """Numbers as digits."""
    filler_words: bool | None = None
    """``true`` keeps "uh" and "um"."""
    stall_timeout_ms: int = Field(default=8000, ge=1000, le=60_000)

    @field_validator("endpointing")
    @classmethod
    def _has_a_length(cls, endpointing: int | Literal[False]) -> int | Literal[False]:
        if endpointing is not False and not 10 <= endpointing <= 10_000:
            raise ValueError("must be false or 10 to 10000 ms")
        return endpointing


class _NovaStream(ListenStream[NovaSettings, NovaTurn, NovaMessage]):
    keepalive = KEEP_ALIVE

    def _begin(self, log: AudioLog) -> NovaTurn:
        return NovaTurn(log)

    def _decode(self, message: str | bytes) -> NovaMessage | ErrorMessage | None:
        return decode_nova(message)

    def _finish(self) -> None:
        answer = self._turn.finalize()
        if answer:
            self._link.emit(answer)
            return
        self._link.send(FINALIZE)
        self._set_timer(self._answer_overdue, self._settings.finalize_timeout_ms)

    def _take(self, message: NovaMessage) -> None:
        self._link.emit(self._turn.receive(message))

    def _replaced(self) -> None:
        super()._replaced()
        if self._turn.flushing:
            self._link.send(FINALIZE)


class DeepgramNovaStt(ListenStt[NovaSettings]):
    """One configured Nova model."""

    ends_turns = False
    marks_ends = True
    path = "/v1/listen"
    stream_type = _NovaStream

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        model = config.model or "nova-3"

        def check(settings: NovaSettings) -> Iterator[ConfigProblem]:
            if settings.keyterm and not model.startswith("nova-3"):
                yield ConfigProblem("settings.keyterm", f"{model} takes none, nova-3 does")

        super().__init__(config, secrets, model, NovaSettings, check=check)
        self._language = config.language

    def _query(self) -> tuple[tuple[str, QueryValue], ...]:
        s = self._settings
        return (
            ("language", self._language or None),
            ("channels", 1),
            ("interim_results", True),
            ("endpointing", s.endpointing),
            ("utterance_end_ms", s.utterance_end_ms),
            ("punctuate", s.punctuate),
            ("smart_format", s.smart_format),
            ("numerals", s.numerals),
            ("filler_words", s.filler_words),
        )


def deepgram_stt(config: VendorConfig, secrets: Mapping[str, str]) -> Stt:
    """Flux for models that start with ``flux``, Nova for all others.

    :raises VendorConfigError: a setting is wrong."""
    if config.model.startswith("flux"):
        return DeepgramFluxStt(config, secrets)
    return DeepgramNovaStt(config, secrets)
