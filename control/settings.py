"""Settings from the environment: ``VOICECORE_*``, and the vendors' own key names."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PLATFORM_KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY")
"""What vendors look for by themselves, whoever's agent uses them."""
_SECRET_NAME = re.compile(r"(?!VOICECORE_)[A-Z][A-Z0-9_]{0,127}")


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
        description="Of `voicecore answer`: when set, every stream must bring a single-use token "
        "made with it, 120 s old at most.",
    )
    twilio_auth_token: SecretStr = Field(
        default=SecretStr(""),
        description="When set, Twilio's signature is checked on webhooks and on upgrades.",
    )
    telnyx_public_key: str = Field(
        default="", description="When set, Telnyx' signature is checked on webhooks."
    )
    telnyx_api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Telnyx' API key: calls of Call Control applications are answered with it.",
    )
    telnyx_api_url: str = Field(
        default="https://api.telnyx.com", description="Where Telnyx' REST API is."
    )
    allow_unsigned_webhooks: bool = Field(
        default=False,
        description="Take carriers' webhooks though no key is set to check them by: for trials.",
    )
    telnyx_outbound_codec: Literal["PCMU", "PCMA", "L16"] = Field(
        default="PCMU",
        description="What Telnyx is asked to take: its `stream_bidirectional_codec`.",
    )
    telnyx_l16_byte_order: Literal["big", "little"] = Field(
        default="big", description="Byte order of Telnyx' L16; its documents do not say."
    )
    max_calls: int = Field(
        default=500, ge=1, description="Calls at the same time; more are refused with 503."
    )
    max_waiting: int = Field(
        default=1000,
        ge=1,
        description="Connections that have not started a stream; beyond it the oldest is closed.",
    )
    speech_cache_mb: int = Field(
        default=64,
        ge=0,
        le=65_536,
        description="Speech kept for saying it again, of all agents together: fixed phrases and "
        "frequent sentences. 0 keeps the greeting and what else every call may need, no more.",
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="PostgreSQL 14 or newer, as postgresql://user:password@host/database. When "
        "empty, one of its own runs in the data directory.",
    )
    database_connections: int = Field(
        default=10, ge=2, le=200, description="Connections to PostgreSQL of this process."
    )
    storage_url: str = Field(
        default="",
        description="Where files are kept: a bucket's URL such as s3://name/path, gs://name or "
        "az://name, with the keys in that vendor's own variables. When empty they are in the data "
        "directory's `objects`.",
    )
    smtp_host: str = Field(
        default="",
        description="Where e-mails go. When empty they become files in the data directory's "
        "`outbox`.",
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="The SMTP server's port.")
    smtp_user: str = Field(default="", description="Who logs in at the SMTP server.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="That one's password.")
    mail_from: str = Field(
        default="voicecore <noreply@localhost>", description="The sender of e-mails."
    )
    portal_url: str = Field(
        default="http://localhost:8080",
        description="The client portal, which links in e-mails lead to.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Networks of the proxies in front, as `10.0.0.0/8`, with commas between them: "
        "their `X-Forwarded-For` says where a request comes from, which limits on logins go by.",
    )
    agent_vendors: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("deepgram", "moonshine", "openai", "llama", "elevenlabs", "piper"),
        description="The vendors that workspaces' agents may use, with commas between them.",
    )
    agent_secrets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names of environment variables that workspaces' agents may refer to as "
        "`${NAME}`, with commas between them. Every workspace can read them.",
    )
    drain_timeout_s: float = Field(
        default=600, ge=0, description="How long live calls may go on after SIGTERM."
    )

    @field_validator("trusted_proxies", "agent_vendors", "agent_secrets", mode="before")
    @classmethod
    def _is_list(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part for name in value.split(",") if (part := name.strip()))

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is no network, as 10.0.0.0/8") from None
        return networks

    @field_validator("agent_secrets")
    @classmethod
    def _may_be_read(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _SECRET_NAME.fullmatch(name) or name in PLATFORM_KEYS:
                raise ValueError(
                    f"{name!r} must be capital letters, digits and underscores, and neither a "
                    "setting of this server nor a vendor's key"
                )
        return names

    @field_validator("storage_url")
    @classmethod
    def _is_storage(cls, url: str) -> str:
        if url and not re.match(r"(s3|gs|az)://[^/\s]+|file:///", url):
            raise ValueError("must begin with s3://, gs://, az:// or file:///")
        return url

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


def read_agent_secrets(settings: Settings) -> Mapping[str, str]:
    """What an agent of a workspace is made with: the vendors' keys and what it may refer to,
    and nothing else of the environment."""
    names = (*PLATFORM_KEYS, *settings.agent_secrets)
    return {name: os.environ[name] for name in names if name in os.environ}


def carrier_options(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """What carriers' codecs need to know, by the carrier's name."""
    return {
        "telnyx": {
            "outbound_codec": settings.telnyx_outbound_codec,
            "l16_byte_order": settings.telnyx_l16_byte_order,
        }
    }
