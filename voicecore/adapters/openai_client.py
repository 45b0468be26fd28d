"""The connection to an OpenAI-compatible server: one SDK client, and its failures as our own.

Shared by ``openai_llm`` and ``openai_tts``. Source: platform.openai.com/docs, "Error codes", and
the ``openai`` SDK. The SDK's own retries are switched off, for the router knows better where to
go next.
"""

import asyncio
import contextlib
import functools
import importlib
import logging
import ssl
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from voicecore.adapters.keys import check_key, read_key
from voicecore.providers.errors import VendorError

if TYPE_CHECKING:
    import httpx2
    import openai

VENDOR = "openai"
_OPENAI_URL = "https://api.openai.com/v1"
_MAX_DETAIL = 300
_IDLE_CONNECTION_S = 120.0
"""A caller may talk for longer than the five seconds that the HTTP client would wait."""

_CLOSE_TIMEOUT_S = 1.0

_log = logging.getLogger(__name__)


class OpenAiLink(BaseModel):
    """Settings of the connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_url: str | None = None
    """Another server with OpenAI's protocol, up to where ``/chat/completions`` or
    ``/audio/speech`` would follow: ``http://127.0.0.1:8000/v1``. Empty: OpenAI's own."""
    api_key_env: str = Field("OPENAI_API_KEY", min_length=1)
    """The name of the secret that is the key. With ``base_url`` the key may be absent, as local
    servers want none."""
    connect_timeout_ms: int = Field(3000, ge=1, le=60_000)
    """How long making a connection may take."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http:// or https:// address")
        return url


def check_extra_body(body: dict[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    """For a settings' validator: ``extra_body`` adds fields and replaces none.

    :raises ValueError: it sets one of ``reserved``."""
    taken = sorted(reserved & body.keys())
    if taken:
        raise ValueError(f"may not set {', '.join(taken)}")
    return body


async def close_in_time(closing: Awaitable[object]) -> None:
    """See something closed, for a second at most and whatever comes of it: nobody who is
    cancelled, or has failed, has to wait for a server."""
    import httpx2

    with contextlib.suppress(TimeoutError, OSError, httpx2.HTTPError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await closing


class OpenAiConnection:
    """One SDK client, with one pool of connections, per configured vendor."""

    def __init__(self, link: OpenAiLink, secrets: Mapping[str, str]) -> None:
        self._link = link
        self._key = read_key(secrets, link.api_key_env)
        self._client: openai.AsyncOpenAI | None = None

    @property
    def client(self) -> "openai.AsyncOpenAI":
        if self._client is None:
            raise RuntimeError("start() was not called")
        return self._client

    def check_key(self) -> None:
        """:raises VendorError: ``auth_failed``, there is no usable key where one is needed."""
        if self._key or self._link.base_url is None:
            check_key(VENDOR, self._link.api_key_env, self._key)

    async def start(self, model: str, *, longest_wait_ms: int) -> None:
        """Import the SDK off the event loop, make the client, and open one connection by asking
        for the models. Only a refused key fails: a server that is away now may be back when a
        call comes, and many servers have no such list.

        :raises VendorError: ``auth_failed``."""
        if self._client is not None:
            return
        self.check_key()
        tls = await asyncio.to_thread(_load_sdk)
        client = self._make_client(tls, longest_wait_ms / 1000 + 1)
        try:
            await self._warm(client, model)
        except BaseException:
            await close_in_time(client.close())
            raise
        self._client = client

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await close_in_time(client.close())

    def failure(self, error: Exception, timeout_code: str) -> VendorError:
        """``error`` (of the SDK, a decoder or a timer) as the failure to act on. A time-out
        after the connection was made is ``timeout_code``."""
        code, retryable = _classify(error, timeout_code)
        detail = str(error) or type(error).__name__
        if self._key:
            detail = detail.replace(self._key, "***")
        return VendorError(VENDOR, code, detail[:_MAX_DETAIL], retryable=retryable)

    def _make_client(self, tls: ssl.SSLContext, timeout_s: float) -> "openai.AsyncOpenAI":
        import httpx2
        import openai

        connect_s = self._link.connect_timeout_ms / 1000
        client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._link.base_url or _OPENAI_URL,
            max_retries=0,
            timeout=httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s),
            # Redirects are not followed: what people say goes where it was configured to go.
            http_client=openai.DefaultAsyncHttpxClient(
                verify=tls, follow_redirects=False, limits=_limits()
            ),
        )
        # The SDK takes these two from the environment, which is not its to read here.
        client.organization = client.project = None
        return client

    async def _warm(self, client: "openai.AsyncOpenAI", model: str) -> None:
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self._link.connect_timeout_ms / 1000 + 2):
                response = await client.get("/models", cast_to=httpx2.Response)
            listed = response.json()
        except openai.AuthenticationError as refused:
            # A key limited to some endpoints is refused this list and works all the same.
            if "scope" in str(refused).lower():
                return
            raise self.failure(refused, "connect_timeout") from refused
        except (openai.OpenAIError, TimeoutError, ValueError, RecursionError) as away:
            _log.info("%s: model list not available: %s", VENDOR, type(away).__name__)
            return
        shutdown = _shutdown_date(listed, model)
        if shutdown:
            _log.warning("%s: model %s will be shut down on %s", VENDOR, model, shutdown)


def _limits() -> "httpx2.Limits":
    import httpx2

    return httpx2.Limits(
        max_connections=1000,
        max_keepalive_connections=100,
        keepalive_expiry=_IDLE_CONNECTION_S,
    )


def _shutdown_date(listed: object, model: str) -> str:
    """``shutdown_date`` of a model in the answer to ``GET /models``, if the vendor gives one."""
    entries = listed.get("data") if isinstance(listed, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("id") == model:
            date = entry.get("shutdown_date")
            return date[:40] if isinstance(date, str) else ""
    return ""


@functools.cache
def _load_sdk() -> ssl.SSLContext:
    """Everything that would hold the event loop up: imports, and the certificate store, which
    every client would otherwise load again."""
    for module in ("openai", "openai.resources.chat", "openai.resources.audio"):
        importlib.import_module(module)
    # At DEBUG the SDK logs every request's body, which here is what people say.
    logging.getLogger("openai").setLevel(logging.WARNING)
    import httpx2

    return httpx2.create_ssl_context()


def _classify(error: Exception, timeout_code: str) -> tuple[str, bool]:
    import httpx2
    import openai

    if isinstance(error, TimeoutError):
        return timeout_code, True
    if isinstance(error, openai.APIConnectionError):
        return _classify_transport(error.__cause__, timeout_code), True
    if isinstance(error, httpx2.TransportError):
        return _classify_transport(error, timeout_code), True
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error.status_code, _error_name(error))
    if isinstance(error, openai.APIError):
        return _classify_name(_error_name(error))
    return "garbage", True


def _classify_transport(error: BaseException | None, timeout_code: str) -> str:
    import httpx2

    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return "connect_timeout"
    if isinstance(error, httpx2.TimeoutException):
        return timeout_code
    return "connect_failed" if isinstance(error, httpx2.ConnectError) else "disconnected"


def _error_name(error: "openai.APIError") -> str:
    return f"{error.code or ''} {error.type or ''}".lower()


def _classify_status(status: int, name: str) -> tuple[str, bool]:
    if "insufficient_quota" in name:
        return "quota_exceeded", False
    if status >= 500:
        return ("overloaded" if status in (503, 529) else "vendor_error"), True
    if status == 400 and "model_not_found" in name:
        return "model_not_found", False
    return {
        401: ("auth_failed", False),
        402: ("quota_exceeded", False),
        403: ("auth_failed", False),
        404: ("model_not_found", False),
        408: ("overloaded", True),
        409: ("vendor_error", True),
        429: ("rate_limited", True),
    }.get(status, ("bad_request", False))


def _classify_name(name: str) -> tuple[str, bool]:
    """An error inside a stream that began well carries no status."""
    if "quota" in name:
        return "quota_exceeded", False
    if "rate_limit" in name:
        return "rate_limited", True
    if "overloaded" in name:
        return "overloaded", True
    return ("bad_request", False) if "invalid_request" in name else ("vendor_error", True)
