"""The address of a vendor's live socket, its options in the query. Pure."""

from collections.abc import Iterable
from urllib.parse import quote, urlencode

QueryValue = str | int | float | bool | tuple[str, ...] | None


def live_url(base_url: str, path: str, query: Iterable[tuple[str, QueryValue]]) -> str:
    """An address whose query leaves out None, writes truth as ``true`` and ``false``, and
    repeats the name for each item of a tuple."""
    pairs: list[tuple[str, str]] = []
    for name, value in query:
        if value is None:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            text = str(item).lower() if isinstance(item, bool) else str(item)
            pairs.append((name, text))
    return f"{base_url.rstrip('/')}{path}?{urlencode(pairs, quote_via=quote)}"
