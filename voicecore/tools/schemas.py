"""JSON schemas of tool arguments (JSON Schema 2020-12): checking them, checking by them."""

from collections.abc import Mapping
from typing import Any

import msgspec
import referencing
from jsonschema import Draft202012Validator, SchemaError, validators
from jsonschema.exceptions import ValidationError, relevance
from jsonschema.protocols import Validator

from voicecore.yaml_lines import dotted

MAX_SCHEMA_BYTES = 32_768
MAX_SCHEMA_DEPTH = 24
MAX_ARGUMENT_CHARS = 16_384
MAX_ARGUMENT_DEPTH = 24
MAX_ERRORS = 5
MAX_ERROR_CHARS = 200

# A pattern can take exponential time, and Python cannot stop a match: "pattern" is for the model
# and for the tool's own server, and "patternProperties" would run in other keywords' checks.
_REFUSED = ("$ref", "$dynamicRef", "$recursiveRef", "patternProperties")
_UNCHECKED = ("pattern",)

_ArgumentsValidator = validators.create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={
        name: check
        for name, check in Draft202012Validator.VALIDATORS.items()
        if name not in (*_REFUSED, *_UNCHECKED)
    },
    type_checker=Draft202012Validator.TYPE_CHECKER,
)


class ArgumentsError(Exception):
    """Arguments that cannot be used; the text is meant for the model."""


def check_parameters(schema: Mapping[str, Any]) -> None:
    """Check the schema of a tool's arguments.

    :raises ValueError: it is no schema of an object, or uses references."""
    if schema.get("type") != "object":
        raise ValueError("must be the JSON schema of an object: type: object, properties: ...")
    _check_shape(schema)
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        where = dotted(error.absolute_path)
        message = _bounded(error.message)
        raise ValueError(f"{where}: {message}" if where else message) from None
    undefined = set(schema.get("required", ())) - set(schema.get("properties", {}))
    if undefined:
        raise ValueError(f"requires {', '.join(sorted(undefined))}, which properties lack")


def make_validator(schema: Mapping[str, Any]) -> Validator:
    """A validator for ``parse_arguments``; it never fetches anything."""
    made: Validator = _ArgumentsValidator(dict(schema), registry=referencing.Registry())
    return made


def parse_arguments(text: str, validator: Validator) -> dict[str, Any]:
    """Read a model's arguments. Empty text, which some models send, means none.

    :raises ArgumentsError: not JSON, not an object, too large, or not what the schema wants."""
    if len(text) > MAX_ARGUMENT_CHARS:
        raise ArgumentsError(f"arguments are longer than {MAX_ARGUMENT_CHARS} characters")
    try:
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ArgumentsError(_bounded(f"arguments are not valid JSON: {error}")) from None
    if not isinstance(value, dict):
        raise ArgumentsError("arguments must be a JSON object")
    if _depth_exceeds(value, MAX_ARGUMENT_DEPTH):
        raise ArgumentsError(f"arguments are nested deeper than {MAX_ARGUMENT_DEPTH} levels")
    found = sorted(validator.iter_errors(value), key=relevance)[:MAX_ERRORS]
    if found:
        raise ArgumentsError("; ".join(_describe(error) for error in found))
    return value


def _describe(error: ValidationError) -> str:
    where = dotted(error.absolute_path)
    message = _bounded(error.message)
    return f"{where}: {message}" if where else message


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[: MAX_ERROR_CHARS - 3]}..."


def _check_shape(schema: Mapping[str, Any]) -> None:
    if _depth_exceeds(schema, MAX_SCHEMA_DEPTH):
        raise ValueError(f"is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if size > MAX_SCHEMA_BYTES:
        raise ValueError(f"is larger than {MAX_SCHEMA_BYTES} bytes")
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, Mapping):
            used = [key for key in _REFUSED if key in node]
            if used:
                raise ValueError(f"{used[0]} is not supported; write the schema in place")
            todo.extend(node.values())
        elif isinstance(node, (list, tuple)):
            todo.extend(node)


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        below: list[Any] = []
        for node in level:
            if isinstance(node, Mapping):
                below.extend(node.values())
            elif isinstance(node, (list, tuple)):
                below.extend(node)
        if not below:
            return False
        level = below
    return True
