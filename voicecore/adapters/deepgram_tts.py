"""Deepgram text-to-speech: Aura over ``v1/speak``, Flux TTS over ``v2/speak``.

On the bare WebSocket for the reasons that ``deepgram_stt`` gives.

One socket per call is opened ahead of the first reply and serves one reply after another. The
vendor does not say which text a piece of audio belongs to, so the order is kept here: audio
belongs to the oldest text whose flush is not complete, and after a reply was cancelled with
sound on its way, everything up to the vendor's ``Cleared`` is dropped and the next reply's text
held back. Neither socket knows a KeepAlive: one that the vendor closed between replies is
opened again with the next reply, and one that breaks inside a reply is replaced once, if no
sentence had been cut short.

Aura speaks a text when it is flushed. Each sentence is, as long as the 20 flushes a minute
allow it; beyond that sentences gather until the reply's end, or until one may be flushed again.
Word times are estimates over each flushed piece; with Flux, over the whole reply.
"""

from collections.abc import Iterator, Mapping

from pydantic import Field

from media.audio.format import AudioFormat, Encoding
from voicecore.adapters.deepgram_common import (
    VENDOR,
    CommonSettings,
    check_deepgram_key,
    encoding_name,
    live_options,
    read_deepgram_key,
)
from voicecore.adapters.deepgram_speak import AURA, FLUX
from voicecore.adapters.deepgram_tts_session import SpeechSession
from voicecore.adapters.registry import ConfigProblem, VendorConfig, VendorConfigError
from voicecore.adapters.settings import read_settings
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsSession

_COMPANDED_RATES = (8000, 16000)
_LINEAR_RATES = (8000, 16000, 24000, 32000, 48000)


class DeepgramTtsSettings(CommonSettings):
    """Settings of Deepgram's voices."""

    speed: float | None = Field(default=None, ge=0.5, le=2.0)
    """How fast it speaks; 1.0 is the voice's own pace."""
    first_audio_timeout_ms: int = Field(default=4000, ge=200, le=60_000)
    """The longest wait from a reply's first text to its first audio."""
    stall_timeout_ms: int = Field(default=4000, ge=200, le=60_000)
    """The longest pause inside a reply's audio."""


class DeepgramTts:
    """One configured voice. ``voice`` is a whole name (``aura-2-thalia-en``) or its middle
    (``thalia``), then completed from ``model`` (default ``aura-2``) and ``language``."""

    name = VENDOR

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        also: tuple[ConfigProblem, ...] = ()
        try:
            self._model = _voice_model(config)
        except VendorConfigError as wrong:
            self._model, also = "", wrong.problems
        self._dialect = FLUX if self._model.startswith("flux") else AURA
        self._settings = read_settings(config, DeepgramTtsSettings, also=also, check=self._check)
        self._key = read_deepgram_key(secrets)

    def check_key(self) -> None:
        check_deepgram_key(self._key)

    async def start(self) -> None:
        self.check_key()

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> TtsSession:
        """Connects at once, so that the first reply finds the socket open. Mu-law and A-law
        come as wanted: a telephone line's audio is never resampled."""
        audio = _nearest(wanted)
        s = self._settings
        options = live_options(
            s,
            self._key,
            self._dialect.path,
            (
                ("model", self._model),
                ("encoding", encoding_name(audio)),
                ("sample_rate", audio.rate_hz),
                ("speed", s.speed),
            ),
        )
        return SpeechSession(
            options,
            self._dialect,
            audio,
            spawn=spawn,
            first_audio_timeout_ms=s.first_audio_timeout_ms,
            stall_timeout_ms=s.stall_timeout_ms,
        )

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def _check(self, settings: DeepgramTtsSettings) -> Iterator[ConfigProblem]:
        if settings.tag and self._model.startswith("aura"):
            yield ConfigProblem("settings.tag", "Aura takes none")


def _voice_model(config: VendorConfig) -> str:
    if config.voice.startswith(("aura-", "flux-")):
        return config.voice
    family = config.model or "aura-2"
    if not family.startswith(("aura", "flux")):
        raise VendorConfigError("model", f"{family} is no voice model: they start aura or flux")
    if not config.voice:
        if family.count("-") >= 2 and family not in ("aura-2", "flux"):
            return family
        if family != "aura-2":
            raise VendorConfigError("voice", f"{family} needs the name of a voice")
        return "aura-2-thalia-en"
    return f"{family}-{config.voice}-{config.language.partition('-')[0] or 'en'}"


def _nearest(wanted: AudioFormat) -> AudioFormat:
    rates = _LINEAR_RATES if wanted.encoding is Encoding.L16 else _COMPANDED_RATES
    rate = next((rate for rate in rates if rate >= wanted.rate_hz), rates[-1])
    return AudioFormat(wanted.encoding, rate)
