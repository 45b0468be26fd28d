"""A POST that comes again with the same ``Idempotency-Key`` has its first answer again.

The key is taken in the same transaction in which the work is done: a second request waits for the
first at the key's row, and then finds its answer, or nothing if it failed. After a day a key is
forgotten.
"""

import hashlib

import msgspec
from aiohttp import web

from control.http.context import Context
from control.http.endpoint import Endpoint
from control.http.errors import Refused
from control.http.refusals import IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_WRONG

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255

_TAKE = """
INSERT INTO idempotency_keys (principal, key, fingerprint, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (principal, key) DO NOTHING"""
_TAKEN = "SELECT fingerprint, status, body FROM idempotency_keys WHERE principal = $1 AND key = $2"
_KEEP = "UPDATE idempotency_keys SET status = $3, body = $4 WHERE principal = $1 AND key = $2"


class Kept(msgspec.Struct, frozen=True):
    """A first answer."""

    status: int
    body: bytes


async def begin(
    context: Context, endpoint: Endpoint, request: web.Request, raw_body: bytes
) -> Kept | None:
    """Take the key, if the request has one; the first answer if it was taken before.

    :raises Refused: the key is no key, or was another request's."""
    key = _key_of(endpoint, request)
    if key is None:
        return None
    if not key or len(key) > MAX_LENGTH or not key.isprintable():
        raise Refused(IDEMPOTENCY_KEY_WRONG)
    who, mark = _principal(context), _fingerprint(request, raw_body)
    taken = await context.db.execute(_TAKE, who, key, mark, context.now)
    if taken.endswith(" 1"):
        return None
    row = await context.db.fetchrow(_TAKEN, who, key)
    if row is None or row["fingerprint"] != mark or row["status"] is None:
        raise Refused(IDEMPOTENCY_KEY_REUSED)
    return Kept(row["status"], row["body"])


async def keep(
    context: Context, endpoint: Endpoint, request: web.Request, response: web.StreamResponse
) -> None:
    """Keep the answer for the key's next time."""
    key = _key_of(endpoint, request)
    if key is not None and isinstance(response, web.Response):
        body = response.body if isinstance(response.body, bytes) else b""
        await context.db.execute(_KEEP, _principal(context), key, response.status, body)


def _key_of(endpoint: Endpoint, request: web.Request) -> str | None:
    if endpoint.method != "POST" or endpoint.access.kind == "public" or endpoint.shows_secret:
        return None
    return request.headers.get(KEY)


def _principal(context: Context) -> str:
    bearer = context.bearer
    return f"{bearer.kind}:{bearer.id}:{bearer.client or ''}"


def _fingerprint(request: web.Request, raw_body: bytes) -> bytes:
    return hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + raw_body).digest()
