"""One value of a YAML file, its path and its line: what makes a script's errors exact."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import msgspec

from voicecore.yaml_lines import (
    FieldPath,
    YamlDocument,
    YamlFileError,
    did_you_mean,
    dotted,
    parse_yaml,
)

T = TypeVar("T", int, float, str, bool)
R = TypeVar("R")
P = ParamSpec("P")

_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class ScriptProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``field`` is a dotted path such as ``steps[2].wait``, empty for
    the whole script; ``line`` counts from 1."""

    field: str
    line: int
    detail: str

    def describe(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"line {self.line}: {field}{self.detail}"


class ScriptError(Exception):
    """A caller script is wrong. ``problems`` is all that is, in the script's order; the text has
    a line for each."""

    def __init__(self, problems: Iterable[ScriptProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(problem.describe() for problem in self.problems))


class Problems:
    """Collects what is wrong while the reading goes on, so that one attempt shows all that
    there is to mend."""

    def __init__(self) -> None:
        self._found: list[ScriptProblem] = []

    def add(self, error: ScriptError) -> None:
        self._found += error.problems

    def keep(self, instead: R, read: Callable[P, R], /, *args: P.args, **options: P.kwargs) -> R:
        """What ``read`` makes of its arguments; ``instead`` where they are wrong."""
        try:
            return read(*args, **options)
        except ScriptError as error:
            self.add(error)
            return instead

    def check(self) -> None:
        """:raises ScriptError: something is wrong."""
        if self._found:
            raise ScriptError(self._found)


class Value:
    """One value of the document, where it stands, and what may be made of it. All methods
    raise ``ScriptError``."""

    def __init__(self, document: YamlDocument, path: FieldPath, value: Any) -> None:
        self._document = document
        self._path = path
        self._value = value
        self.field = dotted(path)
        self.line = document.places[path].line

    def error(self, detail: str) -> ScriptError:
        return ScriptError([ScriptProblem(self.field, self.line, detail)])

    @property
    def is_map(self) -> bool:
        return isinstance(self._value, dict)

    def plain(self) -> Any:
        """As Python objects."""
        return self._value

    def scalar(self, kind: type[T]) -> T:
        got = self._value
        if kind is float and isinstance(got, int) and not isinstance(got, bool):
            got = float(got)
        if not isinstance(got, kind) or (kind is not bool and isinstance(got, bool)):
            raise self.error(f"must be {_TYPE_NAMES[kind]}, not {_shown(got)}")
        return got

    def written(self) -> str:
        """Text, or a whole number as text."""
        got = self._value
        if not isinstance(got, str | int) or isinstance(got, bool):
            raise self.error(f"must be text, not {_shown(got)}; put it in quotes")
        return str(got)

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
        got = self._value
        if got not in allowed:
            raise self.error(f"must be one of {', '.join(allowed)}, not {_shown(got)}")
        return str(got)

    def items(self) -> list["Value"]:
        if not isinstance(self._value, list):
            raise self.error(f"must be a list, not {_shown(self._value)}")
        return [
            Value(self._document, (*self._path, index), item)
            for index, item in enumerate(self._value)
        ]

    def fields(self) -> dict[str, "Value"]:
        """The entries of a map."""
        if not isinstance(self._value, dict):
            raise self.error(f"must be a map, not {_shown(self._value)}")
        return {
            key: Value(self._document, (*self._path, key), value)
            for key, value in self._value.items()
        }

    def known_fields(self, known: tuple[str, ...], problems: Problems) -> dict[str, "Value"]:
        """The entries of a map that are ``known``; all others are problems, the first of which
        says what is known."""
        found = self.fields()
        told = f"; known: {', '.join(known)}"
        for key in [key for key in found if key not in known]:
            detail = f"unknown field{did_you_mean(key, known)}{told}"
            problems.add(found.pop(key).error(detail))
            told = ""
        return found

    def texts(self) -> Mapping[str, str]:
        """A map of texts; whole numbers are taken as text."""
        return {key: value.written() for key, value in self.fields().items()}


def read_script(text: str) -> Value:
    """The document's root.

    :raises ScriptError: it is not the YAML that is accepted (see ``yaml_lines``), or empty."""
    try:
        document = parse_yaml(text, "script")
    except YamlFileError as error:
        raise ScriptError(
            ScriptProblem(dotted(each.path), each.place.line if each.place else 1, each.detail)
            for each in error.problems
        ) from error
    return Value(document, (), document.value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
