"""YAML with positions: every wrong field is reported by its path and its line."""

from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

T = TypeVar("T", int, float, str, bool)

_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class ScriptError(Exception):
    """A caller script is wrong. ``field`` is a dotted path such as ``steps[2].wait``; ``line``
    counts from 1."""

    def __init__(self, field: str, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {field}: {detail}" if field else f"line {line}: {detail}")
        self.field = field
        self.line = line
        self.detail = detail


class Value:
    """One value of the document, where it stands, and what may be made of it. All methods
    raise ``ScriptError``."""

    def __init__(self, node: yaml.Node | None, field: str, line: int) -> None:
        self._node = node
        self.field = field
        self.line = line

    def error(self, detail: str) -> ScriptError:
        return ScriptError(self.field, self.line, detail)

    @property
    def is_map(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def plain(self) -> Any:
        """As Python objects."""
        return None if self._node is None else _construct(self._node)

    def scalar(self, kind: type[T]) -> T:
        got = self.plain()
        if kind is float and isinstance(got, int) and not isinstance(got, bool):
            got = float(got)
        if not isinstance(got, kind) or (kind is not bool and isinstance(got, bool)):
            raise self.error(f"must be {_TYPE_NAMES[kind]}, not {_shown(got)}")
        return got

    def written(self) -> str:
        """A scalar exactly as it is written: ``007`` stays what it is."""
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error("must be text")
        return str(self._node.value)

    def number(self, low: int, high: int) -> int:
        got = self.scalar(int)
        if not low <= got <= high:
            raise self.error(f"must be {low} to {high}, not {got}")
        return got

    def text(self, *, max_chars: int = 5_000) -> str:
        got = self.scalar(str).strip()
        if not 0 < len(got) <= max_chars:
            raise self.error(f"must be 1 to {max_chars} characters long")
        return got

    def choice(self, allowed: tuple[str, ...]) -> str:
        got = self.plain()
        if got not in allowed:
            raise self.error(f"must be one of {', '.join(allowed)}, not {_shown(got)}")
        return str(got)

    def items(self) -> list["Value"]:
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error(f"must be a list, not {_shown(self.plain())}")
        return [
            Value(node, f"{self.field}[{index}]", node.start_mark.line + 1)
            for index, node in enumerate(self._node.value)
        ]

    def fields(self, known: tuple[str, ...] | None = None) -> dict[str, "Value"]:
        """The entries of a map. With ``known``, no others may be there."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error(f"must be a map, not {_shown(self.plain())}")
        found: dict[str, Value] = {}
        for key_node, value_node in self._node.value:
            key, line = _construct(key_node), key_node.start_mark.line + 1
            field = f"{self.field}.{key}" if self.field else str(key)
            if known is not None and key not in known:
                raise ScriptError(field, line, f"unknown field; known: {', '.join(known)}")
            if key in found:
                raise ScriptError(field, line, "given twice")
            found[str(key)] = Value(value_node, field, line)
        return found

    def texts(self) -> Mapping[str, str]:
        """A map of texts; numbers are taken as they are written."""
        return {key: value.written() for key, value in self.fields().items()}


def read_yaml(text: str) -> Value:
    """The document's root.

    :raises ScriptError: it is no YAML, or empty."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ScriptError("", line, f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ScriptError("", 1, f"not YAML: {error}") from error
    if node is None:
        raise ScriptError("", 1, "the script is empty")
    return Value(node, "", node.start_mark.line + 1)


def _construct(node: yaml.Node) -> Any:
    maker = yaml.constructor.SafeConstructor()
    try:
        return maker.construct_document(node)
    except (yaml.constructor.ConstructorError, ValueError) as error:
        raise ScriptError("", node.start_mark.line + 1, f"not understood: {error}") from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
