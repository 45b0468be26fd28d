"""HTML that is put together so that whatever is not markup is escaped. Pure."""

import re
from collections.abc import Iterable, Sequence
from html import escape

_CODE = re.compile(r"`([^`]+)`")


class Html(str):
    """Markup. Every other text is escaped."""

    __slots__ = ()


def element(name: str, *inside: str, **attributes: str) -> Html:
    """``class_`` is the attribute ``class``, ``data_x`` is ``data-x``; empty ones are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Html(f"<{name}{given}>{joined(inside)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def separated(separator: str, parts: Sequence[str]) -> Html:
    with_separators = [each for part in parts for each in (separator, part)]
    return joined(with_separators[1:])


def code(text: str, **attributes: str) -> Html:
    return element("code", text, **attributes)


def prose(text: str) -> Html:
    """A sentence in which `this` is code."""
    return Html(_CODE.sub(r"<code>\1</code>", escape(text)))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """Nothing where it has no rows."""
    if not rows:
        return Html("")
    top = element("tr", *(element("th", head, scope="col") for head in heads))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    whole = element("table", element("thead", top), element("tbody", *body))
    return element("div", whole, class_="wide")
