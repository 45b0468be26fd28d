"""URL templates of HTTP tools: ``https://host/orders/{order_id}?full={full}``.

Scheme, host and port are literal. An argument can only ever become part of one path segment
or of one query value, whatever it holds."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

MAX_TEMPLATE_CHARS = 2_000
MAX_URL_CHARS = 8_000

_TEMPLATE = re.compile(
    r"(?P<origin>https?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?\Z"
)
_ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def template_arguments(template: str) -> tuple[str, ...]:
    """The arguments that a template uses, in order, each once.

    :raises ValueError: the template is not acceptable."""
    if len(template) > MAX_TEMPLATE_CHARS:
        raise ValueError(f"must not be longer than {MAX_TEMPLATE_CHARS} characters")
    if "${" in template:
        raise ValueError("secrets may not stand in a url; put them into a header's value")
    if not all("!" <= character <= "~" and character != "\\" for character in template):
        raise ValueError("must consist of printable ASCII characters; percent-encode others")
    parts = _TEMPLATE.match(template)
    if parts is None:
        raise ValueError(
            "must be http:// or https://, a literal host, and optionally port, path and query; "
            "{argument} may stand only in path and query"
        )
    _check_host(parts["host"], int(parts["port"] or 80))
    if set("{}") & set(_ARGUMENT.sub("", template)):
        raise ValueError("has a brace that does not belong to an {argument}")
    return tuple(dict.fromkeys(_ARGUMENT.findall(template)))


def fill_template(template: str, arguments: Mapping[str, Any]) -> str:
    """The template with arguments in place, percent-encoded (RFC 3986).

    :raises ValueError: an argument is missing, is no text or number, or would change which
        path is meant (empty, or with a ``.`` or ``..`` segment)."""
    parts = _TEMPLATE.match(template)
    if parts is None:
        raise ValueError("not a url template")
    segments = [_fill_segment(part, arguments) for part in (parts["path"] or "").split("/")]
    query = _ARGUMENT.sub(lambda match: _encoded(match[1], arguments), parts["query"] or "")
    return _bounded(parts["origin"] + "/".join(segments) + query)


def add_query(url: str, arguments: Mapping[str, Any]) -> str:
    """The URL with further query parameters. A list repeats its name, None is left out.

    :raises ValueError: a value is a block or a list of lists, or the URL gets too long."""
    pairs = [
        f"{quote(name, safe='')}={_encoded(name, {name: item})}"
        for name, value in arguments.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    if not pairs:
        return url
    return _bounded(f"{url}{'&' if '?' in url else '?'}{'&'.join(pairs)}")


def _check_host(host: str, port: int) -> None:
    labels = host.removesuffix(".").split(".")
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif labels[-1][:1].isdigit():  # no top-level domain begins with one (RFC 3696)
            ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{host[:60]} is not an address") from None
    if not all(1 <= len(label) <= 63 for label in labels) and not host.startswith("["):
        raise ValueError(f"{host[:60]} is not a host's name")
    if not 1 <= port <= 65_535:
        raise ValueError(f"there is no port {port}")


def _fill_segment(segment: str, arguments: Mapping[str, Any]) -> str:
    names = _ARGUMENT.findall(segment)
    if not names:
        return segment
    for name in names:
        if not _text(name, arguments):
            raise ValueError(f"{name} must not be empty")
    # Servers differ in whether they decode %2F and %5C before they resolve dots.
    plain = _ARGUMENT.sub(lambda match: _text(match[1], arguments), segment)
    if any(step in (".", "..") for step in re.split(r"[/\\]", plain)):
        raise ValueError(f"{', '.join(names)} must not name another path")
    return _ARGUMENT.sub(lambda match: _encoded(match[1], arguments), segment)


def _encoded(name: str, arguments: Mapping[str, Any]) -> str:
    return quote(_text(name, arguments), safe="")


def _text(name: str, arguments: Mapping[str, Any]) -> str:
    value = arguments.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"{name} is missing" if value is None else f"{name} must be text or a number")


def _bounded(url: str) -> str:
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"the url would be longer than {MAX_URL_CHARS} characters")
    return url
