"""What a webhook answers to have a call's audio streamed: the part of the document that TwiML
and TeXML share."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

import msgspec

_ILLEGAL_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class StreamRequest(msgspec.Struct, frozen=True):
    """The stream wanted: where to, and the parameters that come back in its start message.
    ``status_url`` is told how the stream fares; empty for nobody."""

    url: str
    parameters: Mapping[str, str] = {}
    status_url: str = ""


class AnswerDocument(msgspec.Struct, frozen=True):
    """The body of the answer to a carrier's webhook."""

    body: bytes
    content_type: str = "text/xml; charset=utf-8"


def connect_stream(
    stream: Mapping[str, str],
    parameters: Mapping[str, str],
    connect: Mapping[str, str] | None = None,
) -> AnswerDocument:
    """``<Response><Connect …><Stream …>`` with a ``<Parameter>`` for each parameter; attributes
    with empty values are left out.

    :raises ValueError: a value holds a character that XML cannot."""
    children = "".join(
        f"<Parameter name={_quoted(name)} value={_quoted(value)}/>"
        for name, value in parameters.items()
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Connect{_attributes(connect or {})}>"
        f"<Stream{_attributes(stream)}>{children}</Stream></Connect></Response>"
    )
    return AnswerDocument(text.encode())


def check_stream_url(url: str, *, query_allowed: bool) -> None:
    """:raises ValueError: not an absolute ``wss`` URL, or one with a query string on a carrier
    that drops it."""
    parts = urlsplit(url)
    if parts.scheme != "wss" or not parts.hostname or any(c.isspace() for c in url):
        raise ValueError("a stream URL is absolute and its scheme is wss")
    if parts.fragment or (parts.query and not query_allowed):
        raise ValueError("this carrier drops what follows the path of a stream URL")


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {name}={_quoted(value)}" for name, value in values.items() if value)


def _quoted(value: str) -> str:
    if _ILLEGAL_IN_XML.search(value):
        raise ValueError("a value holds a character that XML cannot carry")
    return quoteattr(value)
