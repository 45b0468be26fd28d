"""Settings from the environment: ``VOICECORE_*``, and the vendors' own key names."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from control.db.place import is_postgres
from control.secret_keys import parse_keys
from control.sentences import sentence_of

PLATFORM_KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY")
"""What vendors look for by themselves, whoever's agent uses them."""
_REDIS_OPTIONS = {"db", "ssl_ca_certs", "ssl_cert_reqs"}
_SECRET_NAME = re.compile(r"(?!VOICECORE_)[A-Z][A-Z0-9_]{0,127}")


class Settings(BaseSettings):
    """What the process is told about its surroundings."""

    model_config = SettingsConfigDict(env_prefix="VOICECORE_", extra="ignore", frozen=True)

    public_url: str = Field(
        default="",
        description="How carriers reach this server, such as https://voice.example.com. Needed "
        "for answer documents and for checking Twilio's signatures.",
    )
    streams_url: str = Field(
        default="",
        description="How carriers' streams reach this very process, such as "
        "https://voice-3.example.com, where several processes share VOICECORE_PUBLIC_URL: a call's "
        "stream must come to the one that answered its webhook. When empty: as the public URL.",
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
    twilio_account_sid: str = Field(
        default="",
        pattern=r"^(AC[0-9a-f]{32})?$",
        description="Twilio's account SID: `voicecore doctor` tries the auth token with it.",
    )
    twilio_api_url: str = Field(
        default="https://api.twilio.com", description="Where Twilio's REST API is."
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
        description="Take webhooks though there is no key to check them by: for trials. Where any "
        "carrier has a key it does nothing.",
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
        "empty, one of its own runs in the data directory. A pooler between must pool sessions: "
        "what a connection may see is said once for several statements.",
    )
    database_connections: int = Field(
        default=10, ge=2, le=200, description="Connections to PostgreSQL of this process."
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis 6 or newer, as redis://user:password@host:6379/0, rediss:// with TLS or "
        "unix:///path: servers that have the same one count requests together. When empty, or "
        "while it is away, each counts by itself.",
    )
    person_requests_per_min: int = Field(
        default=600,
        ge=0,
        le=1_000_000_000,
        description="How often a person or an admin may call the API in a minute: ten times a "
        "second is more than a portal asks for, and little of what a server answers. 0: no limit.",
    )
    public_requests_per_min: int = Field(
        default=300,
        ge=0,
        le=1_000_000_000,
        description="How often an address (of IPv6 a /64) may call what needs no token, as logging "
        "in, in a minute. An office or a proxy that is not in VOICECORE_TRUSTED_PROXIES is one "
        "address. 0: no limit.",
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
        default="",
        description="The client portal, which links in e-mails lead to, such as "
        "https://portal.example.com. When empty they lead to the public URL, or else to where the "
        "server listens, and the mails say which endpoint takes a link's token.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins whose pages may call the API from a browser, such as "
        "https://app.example.com,https://admin.example.com: portals that are not served from the "
        "API's own. `*` is every origin, which gives nothing away by itself: tokens are in a "
        "header, and no cookies are used. When empty browsers let no other origin's page call.",
    )
    numbers_need_approval: bool = Field(
        default=False,
        description="Numbers that workspaces register are answered once an admin has approved them "
        "(`POST /admin/phone-numbers/{id}/activate`). For platforms whose workspaces do not know "
        "each other: whoever registers a number first has it.",
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
    secret_keys: SecretStr = Field(
        default=SecretStr(""),
        description="What stored secrets are encrypted with: `id:key`, each key 32 bytes in base64 "
        "(`voicecore secrets new-key`), with commas between them. The first one encrypts, all "
        "decrypt. When empty and the database is our own, the data directory's `secret.keys`.",
    )
    drain_timeout_s: float = Field(
        default=600, ge=0, description="How long live calls may go on after SIGTERM."
    )

    @field_validator(
        "trusted_proxies", "agent_vendors", "agent_secrets", "cors_origins", mode="before"
    )
    @classmethod
    def _is_list(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part for name in value.split(",") if (part := name.strip()))

    @property
    def streams_reach(self) -> str:
        """The URL that streams come to; empty where it is not configured."""
        return self.streams_url or self.public_url

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is no network, as 10.0.0.0/8") from None
        return networks

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(text) for text in origins)

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

    @field_validator("secret_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr) -> SecretStr:
        parse_keys(keys.get_secret_value())
        return keys

    @field_validator("storage_url")
    @classmethod
    def _is_storage(cls, url: str) -> str:
        if url and not re.match(r"(s3|gs|az)://[^/\s]+|file:///", url):
            raise ValueError("must begin with s3://, gs://, az:// or file:///")
        return url

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not is_postgres(url.get_secret_value()):
            raise ValueError(
                "must be as postgresql://user:password@host:5432/database, with %40, %2F, %3F and "
                "so on for an @, /, ? and other signs in the user's name and the password"
            )
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not _names_redis(url.get_secret_value()):
            raise ValueError(
                "must be as redis://user:password@host:6379/0, rediss://host or unix:///path; "
                "behind a ? there may be db, and with rediss ssl_ca_certs and ssl_cert_reqs"
            )
        return url

    @field_validator("portal_url")
    @classmethod
    def _is_portal(cls, url: str) -> str:
        if url and not (re.fullmatch(r"https?://[^\s?#]+", url) and _host_of(url)):
            raise ValueError("must be a URL with a host, as https://portal.example.com")
        return url

    @field_validator("public_url", "streams_url")
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
            f"VOICECORE_{str(item['loc'][0]).upper()}: {sentence_of(item)}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("\n".join(lines)) from None


def _has_https_host(url: str) -> bool:
    return bool(re.match(r"https:\S*$", url, re.IGNORECASE) and _host_of(url))


def _host_of(url: str) -> str:
    """Empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _origin(text: str) -> str:
    """As browsers say it (RFC 6454, 6.1): small letters, and no port that goes without saying.

    :raises ValueError: it is none."""
    origin = text.lower()
    host = r"(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    found = re.fullmatch(rf"([a-z][a-z0-9+.-]*)://{host}(:[0-9]{{1,5}})?", origin)
    if origin != "*" and (not found or not 0 < int((found[2] or ":1")[1:]) < 65_536):
        raise ValueError(
            f"{text!r} is no origin, as https://app.example.com or http://localhost:3000: a "
            "scheme, a host and perhaps a port, and nothing behind them"
        )
    if found and (found[1], found[2]) in (("http", ":80"), ("https", ":443")):
        return origin.removesuffix(found[2])
    return origin


def _names_redis(url: str) -> bool:
    """Whether it is a URL in which the Redis client finds nothing wrong later on."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        port = parts.port
    except ValueError:
        return False
    if re.search(r"\s", url) or parts.fragment or not re.fullmatch(r"\d*", options.get("db", "")):
        return False
    if parts.scheme == "unix":
        return bool(parts.path.strip("/")) and port is None and options.keys() <= {"db"}
    return (
        parts.scheme in ("redis", "rediss")
        and bool(parts.hostname)
        and port != 0
        and re.fullmatch(r"/?\d*", parts.path) is not None
        and options.keys() <= ({"db"} if parts.scheme == "redis" else _REDIS_OPTIONS)
        and options.get("ssl_cert_reqs", "none") in ("none", "optional", "required")
    )


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
