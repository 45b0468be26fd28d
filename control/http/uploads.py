"""Request bodies: read with a bound and a deadline."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import UNSUPPORTED_MEDIA_TYPE, VALIDATION_ERROR

BODY_TIMEOUT_S = 30.0
FIELD_LIMIT_BYTES = 64 * 1024
MOST_FIELDS = 32

INCOMPLETE_BODY = Refusal(408, "INCOMPLETE_BODY", "The request did not come whole")
BODY_TOO_LARGE = Refusal(413, "BODY_TOO_LARGE", "The request's body is too large")


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """:raises Refused: it is too large, or did not come."""
    if (request.content_length or 0) > limit_bytes:
        raise Refused(BODY_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise Refused(BODY_TOO_LARGE)
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Refused(INCOMPLETE_BODY) from None
    return bytes(body)


async def read_upload(request: web.Request, limit_bytes: int) -> dict[str, Any]:
    """A form's fields as text, and its files as bytes.

    :raises Refused: it is no form, too large, or did not come."""
    if not request.content_type.startswith("multipart/form-data"):
        raise Refused(UNSUPPORTED_MEDIA_TYPE)
    if (request.content_length or 0) > limit_bytes + MOST_FIELDS * FIELD_LIMIT_BYTES:
        raise Refused(BODY_TOO_LARGE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _fields(request, limit_bytes)
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise Refused(INCOMPLETE_BODY) from None
    except (ValueError, AssertionError, HttpProcessingError):  # aiohttp's, of what is no multipart
        raise Refused(VALIDATION_ERROR) from None


async def _fields(request: web.Request, limit_bytes: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None or len(fields) >= MOST_FIELDS:
            raise Refused(VALIDATION_ERROR)
        is_file = part.filename is not None
        content = bytearray()
        while chunk := await part.read_chunk():
            content += chunk
            if len(content) > (limit_bytes if is_file else FIELD_LIMIT_BYTES):
                raise Refused(BODY_TOO_LARGE)
        fields[part.name] = bytes(content) if is_file else _text(part.name, content)
    return fields


def _text(name: str, content: bytearray) -> str:
    """:raises Refused: it is no text, or none that the database takes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        wrong = Invalid(name, "must be text in UTF-8 without NUL characters")
        raise Refused(VALIDATION_ERROR, details=[wrong])
    return text


def digest_of(fields: Mapping[str, str | bytes]) -> bytes:
    """What tells one form from another, however it was cut into parts."""
    digest = hashlib.sha256()
    for name, value in sorted(fields.items()):
        content = value.encode() if isinstance(value, str) else value
        digest.update(f"{name!r} {type(value).__name__} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()
