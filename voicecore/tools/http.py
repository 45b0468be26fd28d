"""Carrying out an agent's HTTP tools."""

import asyncio
from collections.abc import Mapping

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from voicecore.agents.secrets import UnresolvedSecretError, redact, references, resolve
from voicecore.tools.addresses import AddressRefusedError, PublicResolver, is_numeric, is_public
from voicecore.tools.answers import AnswerError, decode_text, is_readable, read_answer, shorten
from voicecore.tools.requests import HttpCall, ToolResult, failed

MAX_BODY_BYTES = 262_144
MAX_REDIRECTS = 3
MAX_ERROR_DETAIL_BYTES = 600
MAX_CONNECTIONS = 200

_REDIRECTS = (301, 302, 303, 307, 308)


class _FailedError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class HttpToolRunner:
    """One connection pool for the HTTP tools of all calls.

    :param secrets: what ``${NAME}`` in headers may refer to.
    :param allow_private: whether tools may reach loopback and private addresses. Only for a
        server whose agents are all written by its owner."""

    def __init__(self, *, secrets: Mapping[str, str], allow_private: bool = False) -> None:
        self._secrets = secrets
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool. Called once, in the event loop that ``run`` is used in."""
        resolver = None if self._allow_private else PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=MAX_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": "voicecore", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )

    def lending(self, secrets: Mapping[str, str]) -> "HttpToolRunner":
        """The same pool for somebody whose headers may refer to these secrets. It is neither
        started nor stopped itself."""
        lent = HttpToolRunner(secrets=secrets, allow_private=self._allow_private)
        lent._session = self._session
        return lent

    async def stop(self) -> None:
        """Close the pool. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def run(self, call: HttpCall) -> ToolResult:
        """Make the request. Every trouble of the tool's becomes a result that tells the model
        of it, with a stable code: ``timeout``, ``connect_failed``, ``address_refused``,
        ``redirect_refused``, ``http_status``, ``result_too_large``, ``wrong_content_type``,
        ``bad_response``, ``no_such_result``, ``secret_missing``. No secret is in any result."""
        names = set(references(dict(call.headers)))
        hidden = [self._secrets[name] for name in names if name in self._secrets]
        try:
            async with asyncio.timeout(call.timeout_ms / 1000):
                text = await self._fetch(call)
        except (_FailedError, AnswerError) as error:
            # Redact before cutting: half a secret would not be recognised.
            detail = shorten(redact(error.detail, hidden), MAX_ERROR_DETAIL_BYTES)
            return failed(call.call_id, call.name, error.code, detail)
        except TimeoutError:
            detail = f"the tool's server did not answer within {call.timeout_ms} ms"
            return failed(call.call_id, call.name, "timeout", detail)
        except UnresolvedSecretError as error:
            return failed(call.call_id, call.name, "secret_missing", str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return failed(call.call_id, call.name, *_trouble(error))
        text = shorten(redact(text, hidden), call.result_limit_bytes)
        return ToolResult(call.call_id, call.name, text)

    async def _fetch(self, call: HttpCall) -> str:
        if self._session is None:
            raise RuntimeError("the runner has not been started")
        headers = CIMultiDict[str](resolve(dict(call.headers), self._secrets))
        method, url, body = call.method, URL(call.url, encoded=True), call.body
        for _ in range(MAX_REDIRECTS + 1):
            self._check_host(url)
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await _answer(response, call)
                url = _redirected(url, location)
                if response.status == 303 or (response.status < 303 and method == "POST"):
                    method, body = "GET", None
                    headers.popall("Content-Type", None)
        raise _FailedError("redirect_refused", f"more than {MAX_REDIRECTS} redirects")

    def _check_host(self, url: URL) -> None:
        host = url.host or ""
        if not self._allow_private and is_numeric(host) and not is_public(host):
            raise AddressRefusedError(host)


def _redirected(url: URL, location: str) -> URL:
    """Headers carry secrets, so a redirect must stay with its host, and encrypted if it was."""
    target = url.join(URL(location))
    same = target.origin() == url.origin()
    upgraded = (
        target.host == url.host
        and (url.scheme, target.scheme) == ("http", "https")
        and url.is_default_port()
        and target.is_default_port()
    )
    if target.user is not None or not (same or upgraded):
        raise _FailedError("redirect_refused", "the tool's server redirects to another server")
    return target


async def _answer(response: aiohttp.ClientResponse, call: HttpCall) -> str:
    content_type = response.content_type if "Content-Type" in response.headers else ""
    charset = (response.charset or "utf-8").lower()
    if not 200 <= response.status < 300:
        body = await _read(response, MAX_BODY_BYTES) if is_readable(content_type) else b""
        said = decode_text(body, charset).strip()
        detail = f"the tool's server answered with status {response.status}"
        raise _FailedError("http_status", f"{detail}: {said}" if said else detail)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _FailedError("bad_response", "the tool's server sent a compressed answer unasked")
    body = await _read(response, MAX_BODY_BYTES)
    if len(body) > MAX_BODY_BYTES:
        detail = f"the tool's server sent more than {MAX_BODY_BYTES} bytes"
        raise _FailedError("result_too_large", detail)
    if not body:
        return f'{{"status":{response.status}}}'
    return read_answer(body, content_type, charset, call.result_path)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most ``limit`` bytes, and one more if there are more."""
    body = bytearray()
    while len(body) <= limit:
        chunk = await response.content.read(limit + 1 - len(body))
        if not chunk:
            break
        body += chunk
    return bytes(body)


def _trouble(error: Exception) -> tuple[str, str]:
    cause = getattr(error, "os_error", error)
    if isinstance(cause, AddressRefusedError) or isinstance(error.__cause__, AddressRefusedError):
        return "address_refused", "the tool's server is not at a public address"
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, ValueError)):
        return "bad_response", "the tool's server sent an answer that cannot be read"
    return "connect_failed", "the tool's server cannot be reached"
