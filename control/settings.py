"""Settings from the environment: ``VOICECORE_*``, and the vendors' own key names."""

import os
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the process is told about its surroundings."""

    model_config = SettingsConfigDict(env_prefix="VOICECORE_", extra="ignore", frozen=True)

    public_url: str = Field(
        default="",
        description="How carriers reach this server, such as https://voice.example.com. Needed "
        "for answer documents and for checking Twilio's signatures.",
    )
    stream_secret: SecretStr = Field(
        default=SecretStr(""),
        description="When set, every stream must bring a single-use token made with it.",
    )
    twilio_auth_token: SecretStr = Field(
        default=SecretStr(""),
        description="When set, Twilio's signature is checked on webhooks and on upgrades.",
    )
    telnyx_public_key: str = Field(
        default="", description="When set, Telnyx' signature is checked on webhooks."
    )
    telnyx_outbound_codec: Literal["PCMU", "PCMA", "L16"] = Field(
        default="PCMU",
        description="What Telnyx is asked to take: its `stream_bidirectional_codec`.",
    )
    telnyx_l16_byte_order: Literal["big", "little"] = Field(
        default="big", description="Byte order of Telnyx' L16; its documents do not say."
    )
    max_calls: int = Field(default=500, ge=1, description="Calls answered at the same time.")
    max_waiting: int = Field(
        default=1000, ge=1, description="Connections that have not started a stream yet."
    )
    speech_cache_mb: int = Field(
        default=64,
        ge=0,
        le=65_536,
        description="Speech that is kept for saying it again, of all agents together.",
    )
    drain_timeout_s: float = Field(
        default=600, ge=0, description="How long live calls may go on after SIGTERM."
    )

    @field_validator("public_url")
    @classmethod
    def _is_https(cls, url: str) -> str:
        if url and not _has_https_host(url):
            raise ValueError("must be an https:// URL with a host, as https://voice.example.com")
        return url


class SettingsError(Exception):
    """The environment is wrong; the text names every wrong variable."""


def read_settings() -> Settings:
    """Read the environment.

    :raises SettingsError: a variable is not what it must be."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            # Our own validators' words come without pydantic's in front.
            f"VOICECORE_{str(item['loc'][0]).upper()}: "
            f"{item.get('ctx', {}).get('error', item['msg'])}"
            for item in error.errors(include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None


def _has_https_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and not re.search(r"\s", url)


def read_secrets() -> Mapping[str, str]:
    """Everything that agent files and vendors may refer to by name."""
    return dict(os.environ)


def carrier_options(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """What carriers' codecs need to know, by the carrier's name."""
    return {
        "telnyx": {
            "outbound_codec": settings.telnyx_outbound_codec,
            "l16_byte_order": settings.telnyx_l16_byte_order,
        }
    }
