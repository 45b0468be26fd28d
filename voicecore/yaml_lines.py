"""YAML files that people write: strict reading, and errors that say where.

    document = read_yaml(path)                  # or parse_yaml(text, source)
    agent = parse_model(document, Agent)        # yaml_models: every wrong field at once
    document.locate(("stt", "vendor"))          # -> path as in the file, Place(line, column)
    raise YamlFileError(document.source, [document.problem(("stt", "model"), "no such model")])

``YamlFileError`` reads ``agent.yaml:12:7: stt.vendor: ...``, one line for each problem.

What is read is the JSON part of YAML: mappings with text keys, lists, and plain values by the
YAML 1.2 core rules (``no``, ``on``, ``012`` and ``+15550100`` are text, not other things).
Refused, with their line: tags, anchors and aliases (so there are no alias bombs), duplicate
keys, several documents, more than ``MAX_BYTES`` bytes, more than ``MAX_DEPTH`` levels.
"""

import copy
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

MAX_BYTES = 262_144
MAX_DEPTH = 40

FieldPath = tuple[str | int, ...]
"""Keys and list positions from the top of the file: ``("tools", 0, "name")``."""

_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,2})?\Z")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Place(msgspec.Struct, frozen=True):
    """Where something stands in the file; both count from 1."""

    line: int
    column: int


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``place`` is None where no file is known."""

    path: FieldPath
    detail: str
    place: Place | None = None

    def describe(self, source: str) -> str:
        where = f"{source}:{self.place.line}:{self.place.column}" if self.place else source
        return (
            f"{where}: {dotted(self.path)}: {self.detail}"
            if self.path
            else (f"{where}: {self.detail}")
        )


class YamlFileError(Exception):
    """A file that cannot be used. ``problems`` is all that is wrong, in the file's order."""

    def __init__(self, source: str, problems: Iterable[FieldProblem]) -> None:
        self.source = source
        self.problems = tuple(sorted(problems, key=_file_order))
        super().__init__("\n".join(problem.describe(source) for problem in self.problems))


class YamlDocument(msgspec.Struct, frozen=True):
    """A parsed file. ``value`` is made of dict, list, str, int, float, bool and None;
    ``places`` has the place of every key and of every item of a list."""

    source: str
    value: Any
    places: Mapping[FieldPath, Place]

    def locate(self, path: Sequence[str | int]) -> tuple[FieldPath, Place | None]:
        """The path as the file has it, and its place or that of the nearest thing around it; no
        place where the values come from no file.

        Steps that the file does not have are skipped (position 0 of a list that was written as
        a single block, the tag of a union), except the last: it names a missing field."""
        node: Any = self.value
        found: FieldPath = ()
        for position, step in enumerate(path):
            if _has(node, step):
                node, found = node[step], (*found, step)
            elif position == len(path) - 1 and isinstance(node, dict) and isinstance(step, str):
                return (*found, step), self.places.get(found)
        return found, self.places.get(found)

    def problem(self, path: Sequence[str | int], detail: str) -> FieldProblem:
        located, place = self.locate(path)
        return FieldProblem(located, detail, place)


def dotted(path: Iterable[str | int]) -> str:
    """``("tools", 0, "name")`` as people write it: ``tools[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def undotted(text: str) -> FieldPath:
    """The reverse of ``dotted``, for names without dots: ``settings.words[2]``."""
    steps = re.findall(r"[^.\[\]]+", text)
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A question to put behind an error text, or nothing: ``; did you mean 'voice'?``"""
    close = difflib.get_close_matches(str(word)[:60], list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def read_yaml(path: Path, *, max_bytes: int = MAX_BYTES) -> YamlDocument:
    """Read and parse a file.

    :raises YamlFileError: it cannot be read or is not what this module accepts."""
    source = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
        text = raw[:max_bytes].decode() if len(raw) > max_bytes else raw.decode()
    except OSError as error:
        detail = f"cannot be read: {error.strerror}"
        raise YamlFileError(source, [FieldProblem((), detail)]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        if len(error.object) < max_bytes:
            problem = FieldProblem((), "is not UTF-8 text", Place(line, 1))
        else:
            problem = _too_large(max_bytes)
        raise YamlFileError(source, [problem]) from None
    if len(raw) > max_bytes:
        raise YamlFileError(source, [_too_large(max_bytes)])
    return parse_yaml(text, source, max_bytes=max_bytes)


def parse_yaml(text: str, source: str, *, max_bytes: int = MAX_BYTES) -> YamlDocument:
    """Parse text; ``source`` is the name to put into errors.

    :raises YamlFileError: it is not what this module accepts."""
    if len(text) > max_bytes or len(text.encode(errors="replace")) > max_bytes:
        raise YamlFileError(source, [_too_large(max_bytes)])
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.receive(event)
    except _RefusedError as refused:
        builder.problems.append(refused.problem)
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax_problem(error))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        detail = f"a character that YAML forbids: U+{int(error.character):04X}"
        builder.problems.append(FieldProblem((), detail, place))
    except (ValueError, OverflowError):
        # The scanner converts escapes such as "\U99999999" without checking their range.
        detail = "an escape sequence near here is out of range"
        builder.problems.append(FieldProblem((), detail, builder.last))
    if not builder.problems and not builder.places:
        builder.problems.append(FieldProblem((), "the file is empty", Place(1, 1)))
    if builder.problems:
        raise YamlFileError(source, builder.problems)
    return YamlDocument(source, builder.value, builder.places)


def changed(document: YamlDocument, changes: Mapping[FieldPath, Any]) -> YamlDocument:
    """The document with values set at some paths; blocks on the way are made where there are
    none.

    :raises YamlFileError: a path leads through something that is not a block or a list."""
    made = YamlDocument(document.source, copy.deepcopy(document.value), dict(document.places))
    for path, value in changes.items():
        node = made.value
        for position, step in enumerate(path):
            if isinstance(step, str) if isinstance(node, dict) else _has(node, step):
                last = position == len(path) - 1
                node[step] = value if last else node[step] if _has(node, step) else {}
                node = node[step]
                around = made.places[path[:position]]
                cast(dict[FieldPath, Place], made.places).setdefault(path[: position + 1], around)
                continue
            what = "has no such item" if isinstance(node, list) else "is not a block of fields"
            detail = f"cannot set {dotted(path)}: {dotted(path[:position]) or 'the file'} {what}"
            raise YamlFileError(document.source, [FieldProblem((), detail)])
    return made


def _has(node: Any, step: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and 0 <= step < len(node)
    return isinstance(node, dict) and step in node


def _file_order(problem: FieldProblem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _too_large(max_bytes: int) -> FieldProblem:
    return FieldProblem((), f"the file is larger than {max_bytes} bytes")


def _syntax_problem(error: yaml.MarkedYAMLError) -> FieldProblem:
    mark = error.problem_mark or error.context_mark
    detail = ", ".join(part for part in (error.problem, error.context) if part)
    return FieldProblem((), f"not valid YAML: {detail}", _place(mark) if mark else None)


class _RefusedError(Exception):
    def __init__(self, path: FieldPath, detail: str, event: yaml.Event) -> None:
        super().__init__(detail)
        self.problem = FieldProblem(path, detail, _place(event.start_mark))


class _Builder:
    """Makes values of parser events. Working on events, not on PyYAML's own constructors,
    keeps every limit ahead of the memory and the recursion that it bounds."""

    def __init__(self) -> None:
        self.value: Any = None
        self.places: dict[FieldPath, Place] = {}
        self.problems: list[FieldProblem] = []
        self.last = Place(1, 1)
        self._open: list[tuple[dict[str, Any] | list[Any], FieldPath]] = []
        self._key: tuple[str, Place] | None = None

    def receive(self, event: yaml.Event) -> None:
        self.last = _place(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            if self.places:
                raise _RefusedError((), "a second document is not allowed", event)
        elif isinstance(event, yaml.AliasEvent):
            raise _RefusedError(self._path(), "anchors and aliases are not supported", event)
        elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            self._node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def _node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            raise _RefusedError(self._path(), "anchors and aliases are not supported", event)
        if event.tag is not None:
            raise _RefusedError(self._path(), f"the tag {event.tag} is not supported", event)
        if self._open and isinstance(self._open[-1][0], dict) and self._key is None:
            self._take_key(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._put(_scalar(event), event)
        else:
            container: dict[str, Any] | list[Any]
            container = {} if isinstance(event, yaml.MappingStartEvent) else []
            if len(self._open) >= MAX_DEPTH:
                raise _RefusedError((), f"nested deeper than {MAX_DEPTH} levels", event)
            self._open.append((container, self._put(container, event)))

    def _take_key(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        container, path = self._open[-1]
        if not isinstance(event, yaml.ScalarEvent):
            raise _RefusedError(path, "a key must be text", event)
        key = _text(event)
        if key in container:
            first = self.places[(*path, key)].line
            detail = f"the key appears twice (first on line {first})"
            place = _place(event.start_mark)
            self.problems.append(FieldProblem((*path, key), detail, place))
        self._key = (key, _place(event.start_mark))

    def _put(self, value: Any, event: yaml.Event) -> FieldPath:
        path = self._path()
        self.places[path] = self._key[1] if self._key else _place(event.start_mark)
        if not self._open:
            self.value = value
            return path
        container = self._open[-1][0]
        if isinstance(container, list):
            container.append(value)
        elif self._key is not None:
            container[self._key[0]] = value
            self._key = None
        return path

    def _path(self) -> FieldPath:
        if not self._open:
            return ()
        container, path = self._open[-1]
        if isinstance(container, list):
            return (*path, len(container))
        return (*path, self._key[0]) if self._key is not None else path


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _text(event: yaml.ScalarEvent) -> str:
    """:raises ValueError: escapes made half of a surrogate pair."""
    text: str = event.value
    # JSON, which is YAML too, writes characters beyond U+FFFF as pairs of escapes.
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text = _text(event)
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text
