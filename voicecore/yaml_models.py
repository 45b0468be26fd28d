"""Pydantic models of YAML files, with errors that say where and what would be right."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from voicecore.yaml_lines import FieldProblem, YamlDocument, YamlFileError, did_you_mean

M = TypeVar("M", bound=BaseModel)

MAX_PROBLEMS = 200
MISSING = "required, but missing"
"""More than these are not explained: a file may have come from anybody."""


def parse_model(document: YamlDocument, model: type[M], *, private: Iterable[str] = ()) -> M:
    """Make a pydantic model of the document. Values under a key named in ``private`` are never
    quoted in errors.

    :raises YamlFileError: with every field that is wrong."""
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise YamlFileError(
            document.source, model_problems(document, error, model, private)
        ) from None


def model_problems(
    document: YamlDocument,
    error: ValidationError,
    model: type[BaseModel],
    private: Iterable[str] = (),
) -> list[FieldProblem]:
    """What pydantic found, in this file's terms: places, allowed values, likely spellings."""
    hidden = frozenset(private)
    schema = model.model_json_schema()
    problems = []
    for item in error.errors(include_url=False)[:MAX_PROBLEMS]:
        path = item["loc"]
        if item["type"] in _TAG_ERRORS:
            path = (*path, item["ctx"]["discriminator"].strip("'"))
        detail = _explain(item, schema, quote=hidden.isdisjoint(path))
        problems.append(document.problem(path, detail))
    return problems


_TAG_ERRORS = ("union_tag_invalid", "union_tag_not_found")


_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "dict": "a block of named values",
    "model": "a block of named fields",
    "tuple": "a list",
    "list": "a list",
}


def _explain(item: Any, schema: Mapping[str, Any], *, quote: bool) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    got = f", not {_quoted(value)}" if quote else ""
    if kind == "missing":
        return MISSING
    if kind == "extra_forbidden":
        known = sorted(_known_fields(schema, item["loc"][:-1]))
        hint = did_you_mean(item["loc"][-1], known)
        return f"unknown field{hint}; known fields: {', '.join(known)}"
    if kind in ("literal_error", "enum"):
        return f"must be {context['expected']}{got}"
    if kind in _TAG_ERRORS:
        known = sorted(_known_tags(schema, item["loc"], context["discriminator"].strip("'")))
        tag = context.get("tag")
        what = MISSING if tag is None else f"there is no {_quoted(tag)}"
        return f"{what}{did_you_mean(tag, known)}; known: {', '.join(known)}"
    if kind == "value_error":
        return str(context["error"])
    words = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    if words != kind and words in _KINDS:
        quotes = "; put it in quotes" if words == "string" and _is_plain(value) else ""
        return f"must be {_KINDS[words]}{got}{quotes}"
    message = re.sub(r"^[A-Z]\w* should ", "must ", str(item["msg"]))
    if kind in ("too_short", "too_long"):
        return message.partition(" after validation")[0]
    return f"{message}{got}"


def _is_plain(value: object) -> bool:
    return isinstance(value, (bool, int, float))


def _quoted(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, (Mapping, list, tuple)):
        return "a list" if isinstance(value, (list, tuple)) else "a block"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_fields(schema: Mapping[str, Any], path: Sequence[str | int]) -> set[str]:
    """The fields that a model's JSON schema has at a path of pydantic's."""
    return {name for node in _nodes(schema, path) for name in node.get("properties", {})}


def _known_tags(schema: Mapping[str, Any], path: Sequence[str | int], name: str) -> set[str]:
    fields = [node.get("properties", {}).get(name, {}) for node in _nodes(schema, path)]
    return {str(field["const"]) for field in fields if "const" in field}


def _nodes(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[Mapping[str, Any]]:
    nodes = _branches(schema, schema)
    for step in path:
        below = [branch for node in nodes for branch in _step(schema, node, step)]
        nodes = below or [node for node in nodes if _has_tag(node, step)] or nodes
    return nodes


def _branches(root: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in node:
        return _branches(root, root["$defs"][node["$ref"].rpartition("/")[2]])
    options = [*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())]
    return [leaf for option in options for leaf in _branches(root, option)] or [node]


def _step(
    root: Mapping[str, Any], node: Mapping[str, Any], step: str | int
) -> list[Mapping[str, Any]]:
    below = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
    return _branches(root, below) if isinstance(below, Mapping) else []


def _has_tag(node: Mapping[str, Any], step: str | int) -> bool:
    return any(field.get("const") == step for field in node.get("properties", {}).values())
