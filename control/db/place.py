"""Where a database is, in words that have neither its user nor its password in them."""

from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES = ("postgresql", "postgres")
_PORT = 5432


def is_postgres(url: str) -> bool:
    """Whether it is a URL of PostgreSQL's, all of whose parts are where they belong: what of a
    password's signs is not escaped would be taken for a host or a database."""
    try:
        parts = urlsplit(url)
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2]
    return (
        parts.scheme in _SCHEMES
        and url.startswith(f"{parts.scheme}://")
        and not any(one.isspace() for one in url)
        and not parts.fragment
        and "@" not in parts.path
        and "/" not in parts.path[1:]
        and all(_is_host(host) for host in hosts.split(","))
    )


def place_of(url: str) -> str:
    """Host, port and database, as ``db.example.com:5432/voicecore``."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    hosts = parts.netloc.rpartition("@")[2] or options.get("host", "the default host")
    port = options.get("port", str(_PORT))
    placed = [
        host if host.startswith("/") or _port_of(host) else f"{host}:{port}"
        for host in map(unquote, hosts.split(","))
    ]
    database = unquote(parts.path.strip("/")) or options.get("dbname", "")
    return f"{','.join(placed)}/{database}" if database else ",".join(placed)


def why_away(error: Exception, url: str, *, configured: bool) -> str:
    """Where nobody answers, or who refuses us, and why."""
    advice = "; it is what VOICECORE_DATABASE_URL names" if configured else ""
    return f"{place_of(url)}: {words_of(error)}{advice}"


def words_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _is_host(text: str) -> bool:
    """Of one host, with or without its port; empty is a default."""
    port = _port_of(text)
    return not port or (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)


def _port_of(text: str) -> str:
    """Empty where there is none; an IPv6 address stands in brackets."""
    behind = text.rpartition("]")[2] if text.startswith("[") else text
    return behind.partition(":")[2]
