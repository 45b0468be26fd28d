"""References to secrets, ``${NAME}``, in values of an agent file.

A model of an agent holds references only, so that it may be stored, shown and logged. They are
resolved when a value is used, from a mapping that the caller of this module was given."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}\Z")


class SecretText(str):
    """A resolved value. It is the plain string, but does not show in a ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class UnresolvedSecretError(Exception):
    """A reference names a secret that is not there. ``field`` is the dotted path below the
    value that was resolved."""

    def __init__(self, name: str, field: str = "") -> None:
        super().__init__(f"there is no secret named {name}")
        self.name = name
        self.field = field


def references(value: Any) -> Iterator[str]:
    """The names that a value, or anything in it, refers to."""
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def check_references(value: Any) -> None:
    """:raises ValueError: a reference is not of the form ``${NAME}``."""
    for name in references(value):
        if not _NAME.match(name):
            raise ValueError(
                f"${{{name[:40]}}} is not a reference to a secret; write ${{NAME}} with capital "
                "letters, digits and underscores"
            )


def resolve(value: Any, secrets: Mapping[str, str], field: str = "") -> Any:
    """The value with its references replaced; every string that had one is a ``SecretText``.

    :raises UnresolvedSecretError: a secret is missing."""
    if isinstance(value, str):
        return _resolve_text(value, secrets, field)
    if isinstance(value, Mapping):
        below = f"{field}." if field else ""
        return {key: resolve(item, secrets, f"{below}{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, secrets, f"{field}[{at}]") for at, item in enumerate(value)]
    return value


def redact(text: str, values: Iterable[str]) -> str:
    """The text without these values, plain or as they stand in JSON. Values of less than four
    characters stay: they would also be found where they are not."""
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return text


def _resolve_text(text: str, secrets: Mapping[str, str], field: str) -> str:
    names = _REFERENCE.findall(text)
    if not names:
        return text
    for name in names:
        if name not in secrets:
            raise UnresolvedSecretError(name, field)
    return SecretText(_REFERENCE.sub(lambda match: secrets[match[1]], text))
