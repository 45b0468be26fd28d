"""Request bodies: read with a bound and a deadline, and unpacked. Forms with files are taken apart
here, so that nothing of them is kept, or looked at twice, that no endpoint asks for."""

import asyncio
import hashlib
import zlib
from collections.abc import Collection, Mapping
from email.message import Message
from typing import Any

from aiohttp import web

from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import UNSUPPORTED_MEDIA_TYPE, VALIDATION_ERROR

BODY_TIMEOUT_S = 30.0
FIELD_LIMIT_BYTES = 64 * 1024
FORM_LIMIT_BYTES = 64 * 1024
"""Of a form what is no file."""
MOST_FIELDS = 32
MOST_HEAD, MOST_BOUNDARY, MOST_NAME = 8192, 70, 64
_LINE = b"\r\n"

INCOMPLETE_BODY = Refusal(408, "INCOMPLETE_BODY", "The request did not come whole")
BODY_TOO_LARGE = Refusal(413, "BODY_TOO_LARGE", "The request's body is too large")
INVALID_BODY = Refusal(400, "INVALID_BODY", "The body is not packed as its Content-Encoding says")
UNSUPPORTED_ENCODING = Refusal(
    UNSUPPORTED_MEDIA_TYPE.status,
    UNSUPPORTED_MEDIA_TYPE.code,
    "The Content-Encoding must be gzip, deflate or none; none where files are uploaded",
)


async def read_body(request: web.Request, limit_bytes: int, *, packed: bool = True) -> bytes:
    """A body, unpacked.

    :param packed: whether it may be.
    :raises Refused: it is too large, packed or not, or did not come, or cannot be unpacked."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in (("identity", "gzip", "deflate") if packed else ("identity",)):
        raise Refused(UNSUPPORTED_ENCODING)
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
    return bytes(body) if encoding == "identity" else _unpacked(bytes(body), encoding, limit_bytes)


def _unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """No more than one byte too many is unpacked.

    :raises Refused: it is too large, or it is not what it says."""
    if encoding == "gzip":
        width = 16 + zlib.MAX_WBITS
    else:  # deflate is meant to have a frame (RFC 9110, 8.4.1.2), which many leave away
        width = zlib.MAX_WBITS if body[:1] and body[0] & 0xF == 8 else -zlib.MAX_WBITS
    unpacker = zlib.decompressobj(width)
    try:
        content = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise Refused(INVALID_BODY) from None
    if len(content) > limit_bytes:
        raise Refused(BODY_TOO_LARGE)
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(INVALID_BODY)
    return content


async def read_upload(
    request: web.Request, limit_bytes: int, names: Collection[str]
) -> dict[str, Any]:
    """A form's fields as text, and its files as bytes.

    :param limit_bytes: of its files together.
    :param names: of its fields; what comes under another is left away, but for the name.
    :raises Refused: it is no form, has a field twice, is too large, or did not come."""
    if request.content_type != "multipart/form-data":
        raise Refused(UNSUPPORTED_MEDIA_TYPE)
    boundary = _boundary(request.headers["Content-Type"])
    body = await read_body(request, limit_bytes + FORM_LIMIT_BYTES, packed=False)
    fields: dict[str, Any] = {}
    for head, content in _parts(body, boundary):
        name, is_file = _named(head)
        if name in fields:
            raise _wrong(name, "comes twice")
        if name not in names:
            fields[name] = ""
            continue
        if len(content) > (limit_bytes if is_file else FIELD_LIMIT_BYTES):
            raise Refused(BODY_TOO_LARGE)
        fields[name] = content if is_file else _text(name, content)
    return fields


def _boundary(content_type: str) -> bytes:
    """:raises Refused: there is none."""
    boundary = _parameter("Content-Type", content_type, "boundary") or ""
    if not 0 < len(boundary) <= MOST_BOUNDARY or not boundary.isascii():
        raise Refused(VALIDATION_ERROR)
    return boundary.encode()


def _parts(body: bytes, boundary: bytes) -> list[tuple[bytes, bytes]]:
    """Each part's head and content (RFC 2046, 5.1.1), with nothing before the first one.

    :raises Refused: it is no form, or has too many."""
    mark = b"--" + boundary
    if not body.startswith(mark):
        raise Refused(VALIDATION_ERROR)
    *pieces, end = body[len(mark) :].split(_LINE + mark, MOST_FIELDS + 1)
    if len(pieces) > MOST_FIELDS or not end.startswith(b"--"):
        raise Refused(VALIDATION_ERROR)
    parts = []
    for piece in pieces:
        blanks, line, rest = piece.partition(_LINE)
        head, gap, content = rest.partition(_LINE + _LINE)
        if blanks.strip(b" \t") or not line or not gap or len(head) > MOST_HEAD:
            raise Refused(VALIDATION_ERROR)
        parts.append((head, content))
    return parts


def _named(head: bytes) -> tuple[str, bool]:
    """A part's name, and whether it is a file.

    :raises Refused: it has no name."""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            name = _parameter(key, value, "name")
            is_form = value.partition(";")[0].strip().lower() == "form-data"
            if is_form and name is not None:
                shown = name[:MOST_NAME].encode("utf-8", "replace").decode()
                return shown, _parameter(key, value, "filename") is not None
    raise Refused(VALIDATION_ERROR)


def _parameter(header: str, value: str, name: str) -> str | None:
    """Of a header's value; what is encoded (RFC 2231) is told as it came."""
    message = Message()
    message[header] = value
    found = message.get_param(name, None, header)
    return found[2] if isinstance(found, tuple) else found


def _wrong(name: str, message: str) -> Refused:
    return Refused(VALIDATION_ERROR, details=[Invalid(name, message)])


def _text(name: str, content: bytes) -> str:
    """:raises Refused: it is no text, or none that the database takes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _wrong(name, "must be text in UTF-8 without NUL characters")
    return text


def digest_of(fields: Mapping[str, str | bytes]) -> bytes:
    """What tells one form from another, however it was cut into parts."""
    digest = hashlib.sha256()
    for name, value in sorted(fields.items()):
        content = value.encode() if isinstance(value, str) else value
        digest.update(f"{name!r} {type(value).__name__} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()
