"""What Deepgram's adapters share: key, addresses, audio names, error texts.

Source: developers.deepgram.com, "Live Audio" (v1/listen), "Flux" (v2/listen), "Text to Speech"
(v1/speak, v2/speak), "WebSocket close frames".
"""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from media.audio.format import AudioFormat, Encoding
from voicecore.adapters.keys import check_key, read_key
from voicecore.adapters.live_socket import SocketOptions
from voicecore.adapters.live_url import QueryValue, live_url
from voicecore.providers.errors import VendorError

VENDOR = "deepgram"
KEY_NAME = "DEEPGRAM_API_KEY"
BASE_URL = "wss://api.deepgram.com"

_ENCODINGS = {Encoding.MULAW: "mulaw", Encoding.ALAW: "alaw", Encoding.L16: "linear16"}


class CommonSettings(BaseModel):
    """What all of Deepgram's settings have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(default=BASE_URL, pattern=r"^wss?://[^/?#\s]+(/[^?#\s]*)?$")
    """``wss://`` and a host: another region's (``wss://api.eu.deepgram.com``), or a self-hosted
    server's."""
    connect_timeout_ms: int = Field(default=4000, ge=100, le=30_000)
    """How long making a connection may take."""
    tag: tuple[str, ...] = ()
    """Labels of the usage in Deepgram's reports. Aura takes none."""
    mip_opt_out: bool | None = None
    """``true`` keeps the audio out of Deepgram's model improvement programme."""


def read_deepgram_key(secrets: Mapping[str, str]) -> str:
    return read_key(secrets, KEY_NAME)


def check_deepgram_key(key: str) -> None:
    """:raises VendorError: there is no key, or it cannot be one."""
    check_key(VENDOR, KEY_NAME, key)


def live_options(
    settings: CommonSettings,
    key: str,
    path: str,
    query: Iterable[tuple[str, QueryValue]],
    *,
    max_audio_bytes: int = 0,
) -> SocketOptions:
    """Where one of the live routes is: ``query`` is its own part, to which what all of them
    know is added. ``max_audio_bytes`` of the caller's audio may wait to be sent."""
    common = (("tag", settings.tag), ("mip_opt_out", settings.mip_opt_out))
    return SocketOptions(
        vendor=VENDOR,
        url=live_url(settings.base_url, path, (*query, *common)),
        headers={"Authorization": f"Token {key}"},
        connect_timeout_ms=settings.connect_timeout_ms,
        max_audio_bytes=max_audio_bytes,
    )


def encoding_name(audio: AudioFormat) -> str:
    return _ENCODINGS[audio.encoding]


def vendor_error(code: str, detail: str, *, retryable: bool = True) -> VendorError:
    return VendorError(VENDOR, code, detail[:300], retryable=retryable)
