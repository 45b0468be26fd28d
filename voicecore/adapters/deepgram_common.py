"""What Deepgram's adapters share: key, settings, addresses, audio names, error texts.

Source: developers.deepgram.com, "Live Audio" (v1/listen), "Flux" (v2/listen), "Text to Speech"
(v1/speak, v2/speak), "WebSocket close frames".
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from media.audio.format import AudioFormat, Encoding
from voicecore.adapters.registry import VendorConfigError
from voicecore.providers.errors import VendorError

VENDOR = "deepgram"
KEY_NAME = "DEEPGRAM_API_KEY"
BASE_URL = "wss://api.deepgram.com"

_ENCODINGS = {Encoding.MULAW: "mulaw", Encoding.ALAW: "alaw", Encoding.L16: "linear16"}


class CommonSettings(BaseModel):
    """``base_url`` is ``wss://`` and a host: another region's (``api.eu.deepgram.com``), or a
    self-hosted one. ``tag`` labels the usage in Deepgram's reports; ``mip_opt_out`` keeps the
    audio out of its model improvement programme."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(default=BASE_URL, pattern=r"^wss?://[^/?#\s]+(/[^?#\s]*)?$")
    connect_timeout_ms: int = Field(default=4000, ge=100, le=30_000)
    tag: tuple[str, ...] = ()
    mip_opt_out: bool | None = None


S = TypeVar("S", bound=BaseModel)


def check_settings(kind: type[S], settings: Mapping[str, Any]) -> S:
    """:raises VendorConfigError: at the first wrong setting, named ``settings.<path>``."""
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise VendorConfigError(f"settings.{path}", first["msg"]) from None


def check_key(key: str) -> None:
    """:raises VendorError: there is no key, or it cannot be one."""
    if not key:
        detail = f"{KEY_NAME} is not set"
        raise VendorError(VENDOR, "auth_failed", detail, retryable=False)
    if not key.isascii() or not key.isprintable() or " " in key:
        detail = f"{KEY_NAME} holds characters that no key has"
        raise VendorError(VENDOR, "auth_failed", detail, retryable=False)


def key_from(secrets: Mapping[str, str]) -> str:
    return secrets.get(KEY_NAME, "").strip()


def headers_for(key: str) -> dict[str, str]:
    return {"Authorization": f"Token {key}"}


def encoding_name(audio: AudioFormat) -> str:
    return _ENCODINGS[audio.encoding]


QueryValue = str | int | float | bool | tuple[str, ...] | None


def live_url(base_url: str, path: str, query: Iterable[tuple[str, QueryValue]]) -> str:
    """An address whose query leaves out None, writes truth as ``true`` and ``false``, and
    repeats the name for each item of a tuple."""
    pairs: list[tuple[str, str]] = []
    for name, value in query:
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            text = str(item).lower() if isinstance(item, bool) else str(item)
            pairs.append((name, text))
    return f"{base_url.rstrip('/')}{path}?{urlencode(pairs, quote_via=quote)}"


def vendor_error(code: str, detail: str, *, retryable: bool = True) -> VendorError:
    return VendorError(VENDOR, code, detail[:300], retryable=retryable)
