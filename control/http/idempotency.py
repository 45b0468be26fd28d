"""A POST that comes again with the same ``Idempotency-Key`` has its first answer again.

The key is taken in the same transaction in which the work is done: a second request waits for the
first at the key's row, and then finds its answer, or nothing if it failed. After a day a key is
forgotten.

Nobody fills the disk with answers: a long one is not kept, nor more than so many of one caller. The
key is, so that nothing is done twice: whoever brings it again is told that it was done, and what
it made.
"""

import hashlib

import msgspec
import orjson
from aiohttp import web

from control.http.context import Context
from control.http.endpoint import Endpoint
from control.http.errors import Refused
from control.http.refusals import (
    IDEMPOTENCY_KEY_REUSED,
    IDEMPOTENCY_KEY_WRONG,
    idempotency_answer_not_kept,
)

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255
MAX_BODY_BYTES = 16 * 1024
MAX_ANSWERS = 2000
"""Of one caller: more than come again while an answer is on its way."""

_TAKE = """
INSERT INTO idempotency_keys (principal, key, fingerprint, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (principal, key) DO NOTHING"""
_TAKEN = """
SELECT fingerprint, status, body, made FROM idempotency_keys WHERE principal = $1 AND key = $2"""
_KEEP = """
UPDATE idempotency_keys SET status = $3, body = $4, made = $5 WHERE principal = $1 AND key = $2"""
# A hundred at most, so that nobody waits where there are many from before there was a bound.
_DROP_OLDER = """
UPDATE idempotency_keys SET body = NULL WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE principal = $1 AND body IS NOT NULL
        ORDER BY created_at DESC OFFSET $2 LIMIT 100))
    FOR UPDATE SKIP LOCKED))"""


class Kept(msgspec.Struct, frozen=True):
    """A first answer."""

    status: int
    body: bytes


async def begin(
    context: Context, endpoint: Endpoint, request: web.Request, raw_body: bytes
) -> Kept | None:
    """Take the key, if the request has one; the first answer if it was taken before.

    :raises Refused: the key is no key, was another request's, or its answer is not there any
        more."""
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
    if row["body"] is None:
        raise Refused(idempotency_answer_not_kept(row["status"], row["made"]))
    return Kept(row["status"], row["body"])


async def keep(
    context: Context, endpoint: Endpoint, request: web.Request, response: web.StreamResponse
) -> None:
    """Keep the answer for the key's next time."""
    key = _key_of(endpoint, request)
    if key is None or not isinstance(response, web.Response):
        return
    body, who = response.body if isinstance(response.body, bytes) else b"", _principal(context)
    kept = body if len(body) <= MAX_BODY_BYTES else None
    await context.db.execute(_KEEP, who, key, response.status, kept, _made(body))
    if kept is not None:
        await context.db.execute(_DROP_OLDER, who, MAX_ANSWERS)


def _made(body: bytes) -> str | None:
    """The id in an answer: of what it is about, as ``{"agent": {"id": ...}}``."""
    try:
        answer = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    things = [answer, *(value for value in answer.values() if isinstance(value, dict))]
    return next((str(thing["id"]) for thing in things if "id" in thing), None)


def _key_of(endpoint: Endpoint, request: web.Request) -> str | None:
    if endpoint.method != "POST" or endpoint.access.kind == "public" or endpoint.shows_secret:
        return None
    return request.headers.get(KEY)


def _principal(context: Context) -> str:
    bearer = context.bearer
    return f"{bearer.kind}:{bearer.id}:{bearer.client or ''}"


def _fingerprint(request: web.Request, raw_body: bytes) -> bytes:
    return hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + raw_body).digest()
