"""ElevenLabs speech over its multi-context WebSocket, one per call.

Source: elevenlabs.io/docs, "Multi-Context WebSocket" (API reference and guide), and the message
types of the ``elevenlabs`` SDK, which itself has no asynchronous socket for speech. How replies
share the socket: ``elevenlabs_session``.
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from media.audio.format import ALAW_8K, L16_16K, L16_24K, MULAW_8K, AudioFormat, Encoding
from voicecore.adapters.elevenlabs_messages import VENDOR
from voicecore.adapters.elevenlabs_session import ElevenLabsTtsSession, SpeechOptions
from voicecore.adapters.keys import check_key, read_key
from voicecore.adapters.live_socket import SocketOptions
from voicecore.adapters.live_url import live_url
from voicecore.adapters.registry import ConfigProblem, VendorConfig
from voicecore.adapters.settings import missing_names, read_settings
from voicecore.providers.stt import Spawn

KEY_NAME = "ELEVENLABS_API_KEY"
_FORMATS = {
    MULAW_8K: "ulaw_8000",
    ALAW_8K: "alaw_8000",
    L16_16K: "pcm_16000",
    L16_24K: "pcm_24000",
}
_MAX_KEEPALIVE_MS = 10_000
_MAX_MESSAGE_BYTES = 4 << 20


class VoiceSettings(BaseModel):
    """As the vendor's ``voice_settings``; what is not set is the voice's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    stability: float | None = Field(default=None, ge=0, le=1)
    """Low is lively, high is even."""
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    """How close it keeps to the original voice."""
    style: float | None = Field(default=None, ge=0, le=1)
    """How much it exaggerates the voice's style; above 0 costs time."""
    use_speaker_boost: bool | None = None
    """More likeness to the original speaker; costs time."""
    speed: float | None = Field(default=None, ge=0.7, le=1.2)
    """How fast it speaks; 1.0 is the voice's own pace."""


class ElevenLabsTtsSettings(BaseModel):
    """Settings of ElevenLabs' voices; names that are ElevenLabs' mean what they mean there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_url: str = Field(default="wss://api.elevenlabs.io", pattern=r"^wss?://[^/?#\s]+$")
    """``wss://`` and a host: another region's, or a proxy."""
    voice_settings: VoiceSettings = Field(default_factory=VoiceSettings)
    """How the voice sounds."""
    language_code: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """Forces a language (``en``), for models that take one; empty: the v2.5 models, which do,
    get the agent's."""
    apply_text_normalization: Literal["auto", "on", "off"] | None = None
    """Whether numbers and the like are spelled out; empty: ElevenLabs' default."""
    enable_ssml_parsing: bool | None = None
    """Whether SSML in a text is followed."""
    enable_logging: bool | None = None
    """``false`` asks for zero retention, which needs an enterprise account."""
    seed: int | None = Field(default=None, ge=0, le=4_294_967_295)
    """The same text and seed sound the same, as far as ElevenLabs can."""
    inactivity_timeout_s: int = Field(default=180, ge=20, le=180)
    """How long the vendor keeps a silent connection. It is kept alive during a call in any
    case."""
    connect_timeout_ms: int = Field(default=4000, ge=1, le=60_000)
    """How long making a connection may take."""
    first_audio_timeout_ms: int = Field(default=5000, ge=1, le=120_000)
    """The longest wait from a text to the next audio."""
    stall_timeout_ms: int = Field(default=4000, ge=1, le=120_000)
    """The longest gap in the audio after the last text."""


class ElevenLabsTts:
    """A voice of ElevenLabs; see ``ElevenLabsTtsSettings``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        also = list(missing_names(config, "model", "voice"))
        if config.model.startswith(("eleven_v3", "eleven_v4")):
            also.append(ConfigProblem("model", f"{config.model} is not served on this socket"))
        self.name = f"{VENDOR}/{config.model}"
        self._config = config
        self._settings = read_settings(config, ElevenLabsTtsSettings, also=also)
        self._key = read_key(secrets, KEY_NAME)

    def check_key(self) -> None:
        check_key(VENDOR, KEY_NAME, self._key)

    async def start(self) -> None:
        """Check that there is a key. The vendor is not asked about it: a key limited to speech
        may ask nothing else, and speech costs."""
        self.check_key()

    async def stop(self) -> None:
        """Nothing is held between calls."""

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> ElevenLabsTtsSession:
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
        speech = SpeechOptions(
            voice_settings=settings.voice_settings.model_dump(exclude_none=True),
            first_audio_timeout_ms=settings.first_audio_timeout_ms,
            stall_timeout_ms=settings.stall_timeout_ms,
        )
        return ElevenLabsTtsSession(audio, speech, options, spawn)

    def _url(self, output_format: str) -> str:
        settings = self._settings
        language = settings.language_code
        if language is None and self._config.model.endswith("v2_5"):
            spoken = self._config.language.partition("-")[0].lower()
            language = spoken if spoken.isalpha() and len(spoken) in (2, 3) else None
        return live_url(
            settings.base_url,
            f"/v1/text-to-speech/{quote(self._config.voice, safe='')}/multi-stream-input",
            (
                ("model_id", self._config.model),
                ("output_format", output_format),
                ("auto_mode", True),
                ("sync_alignment", True),
                ("inactivity_timeout", settings.inactivity_timeout_s),
                ("language_code", language),
                ("apply_text_normalization", settings.apply_text_normalization),
                ("enable_ssml_parsing", settings.enable_ssml_parsing),
                ("enable_logging", settings.enable_logging),
                ("seed", settings.seed),
            ),
        )


def _nearest(wanted: AudioFormat) -> AudioFormat:
    if wanted in _FORMATS:
        return wanted
    wide = wanted.encoding is Encoding.L16 and wanted.rate_hz > L16_16K.rate_hz
    return L16_24K if wide else L16_16K
