"""Whatever is wrong with a field is told in our own words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, core_schema

from control import sentences
from control.api import ENDPOINTS
from control.api.shapes import Body, Name
from control.http.field_errors import invalid_fields
from control.sentences import OTHERWISE, SENTENCES, sentence_of

MODELS = {
    model
    for endpoint in ENDPOINTS
    for model in (endpoint.query, endpoint.body, endpoint.upload)
    if model is not None
}
PYDANTICS = re.compile(r"Input|should|String|Field required|Extra|permitted|Unable|Value error")
OURS = re.compile(r"must |is |has |there is |Email is ", re.ASCII)
WRONG = [
    None, True, 0, -1, 1, 7.5, 1e300, float("nan"), float("inf"), 2**63, 2**80, 10**5000,
    "", " ", "x", "x" * 100_000, "\ud800", "١", "2026-13-45", "2026-01-20", "-1", "9" * 5000,
    "not-a-uuid", "00000000-0000-0000-0000-00000000000", [], [None] * 1000, ["x"], {},
    {"x": 1}, {"type": "x"}, {1: 2}, b"x", b"\xff",
]  # fmt: skip
"""Whatever may come in a field."""
OF_SCHEMA: Mapping[str, set[str]] = {
    "model": {"model_type", "model_attributes_type"},
    "model-fields": {"missing", "extra_forbidden", "invalid_key", "model_attributes_type"},
    "str": {"string_type", "string_unicode"},
    "int": {"int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number"},
    "float": {"float_type", "float_parsing", "finite_number"},
    "decimal": {"decimal_type", "decimal_parsing", "decimal_max_digits", "decimal_max_places",
                "decimal_whole_digits", "finite_number"},
    "bool": {"bool_type", "bool_parsing"},
    "bytes": {"bytes_type", "bytes_invalid_encoding"},
    "uuid": {"uuid_type", "uuid_parsing", "uuid_version"},
    "datetime": {"datetime_type", "datetime_parsing", "datetime_object_invalid",
                 "datetime_from_date_parsing", "timezone_aware", "timezone_naive",
                 "timezone_offset", "datetime_past", "datetime_future"},
    "list": {"list_type", "iterable_type"},
    "tuple": {"tuple_type", "missing", "too_long"},
    "dict": {"dict_type"},
    "none": {"none_required"},
    "literal": {"literal_error"},
    "enum": {"enum"},
    "tagged-union": {"union_tag_invalid", "union_tag_not_found"},
    "union": set(),
}  # fmt: skip
"""The types of error that a schema brings about by itself."""
OF_BOUND = {
    "ge": "greater_than_equal", "gt": "greater_than", "le": "less_than_equal", "lt": "less_than",
    "multiple_of": "multiple_of", "pattern": "string_pattern_mismatch",
}  # fmt: skip
SILENT = {
    "model-field", "default", "nullable", "no-info", "function-after", "function-before",
    "function-wrap", "function-plain", "any", "definitions", "definition-ref", "json-or-python",
}  # fmt: skip
"""Schemas whose errors are those of what they hold, or a validator's own."""


def schemas(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema in a schema."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        for name, inner in node.items():
            if name not in ("metadata", "ref", "serialization"):
                yield from schemas(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from schemas(inner)


def types_of(schema: Mapping[str, Any]) -> set[str]:
    kind = schema["type"]
    found = set(OF_SCHEMA.get(kind, ()))
    found |= {error for bound, error in OF_BOUND.items() if bound in schema}
    if kind == "str":
        found |= {f"string_too_{end}" for end in ("short", "long")}
    if kind == "list":
        found |= {f"too_{end}" for end in ("short", "long")}
    return found


@pytest.mark.parametrize("model", sorted(MODELS, key=str), ids=lambda one: one.__name__)
def test_there_is_a_sentence_for_every_error_of_a_shape(model: type[BaseModel]) -> None:
    for schema in schemas(model.__pydantic_core_schema__):
        assert schema["type"] in OF_SCHEMA or schema["type"] in SILENT, schema["type"]
        assert types_of(schema) <= set(SENTENCES)


def test_every_type_that_pydantic_has_is_known() -> None:
    own = {"value_error", "assertion_error"}
    known = set(SENTENCES) | sentences._OF_PYTHON | own
    assert set(get_args(core_schema.ErrorType)) == known
    assert not set(SENTENCES) & sentences._OF_PYTHON


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_every_sentence_is_ours(kind: str) -> None:
    context = {
        "min_length": 2, "max_length": 3, "gt": 1, "ge": 1, "lt": 1, "le": 1, "multiple_of": 2,
        "pattern": "^x$", "expected": "'a' or 'b'", "max_digits": 3, "decimal_places": 2,
        "whole_digits": 1, "encoding": "utf-8", "expected_tags": "'a', 'b'", "expected_version": 4,
        "expected_schemes": "'https'", "error": ValueError("must be odd"),
    }  # fmt: skip
    item = {"type": kind, "loc": (), "msg": "Input should be nice", "ctx": context}
    sentence = sentence_of(item)
    assert OURS.match(sentence), sentence
    assert not PYDANTICS.search(sentence)
    assert "{" not in sentence


@pytest.mark.parametrize("model", sorted(MODELS, key=str), ids=lambda one: one.__name__)
def test_whatever_comes_is_refused_in_our_words(model: type[BaseModel]) -> None:
    """Each value in each field, and as the whole body."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    tried = [*WRONG, *({name: value} for name in [*names, "no_such"] for value in WRONG)]
    for value in tried:
        try:
            model.model_validate(value)
        except ValidationError as error:
            for wrong in invalid_fields(error):
                assert OURS.match(wrong.message), (value, wrong)
                assert not PYDANTICS.search(wrong.message), (value, wrong)
                assert wrong.message != OTHERWISE, (value, wrong)


class Made(Body):
    name: Name
    names: list[Name]


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"names": []}, "name", "is required"),
        ({"name": 7, "names": []}, "name", "must be a text"),
        ({"name": " ", "names": []}, "name", "must have at least 1 character"),
        ({"name": "x" * 256, "names": []}, "name", "must have at most 255 characters"),
        ({"name": "x", "names": {}}, "names", "must be a list"),
        ({"name": "x", "names": ["x", 3]}, "names.1", "must be a text"),
        ({"name": "x", "names": [], "nmae": 1}, "nmae", "is no field of this request"),
        ([], "body", "must be an object"),
    ],
)
def test_the_field_and_what_it_must_be(value: Any, field: str, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Made.model_validate(value)
    (wrong,) = invalid_fields(refused.value)
    assert (wrong.field, wrong.message) == (field, message)


def test_patterns_are_told_by_what_they_mean() -> None:
    found = {
        schema["pattern"]
        for model in MODELS
        for schema in schemas(model.__pydantic_core_schema__)
        if "pattern" in schema
    }
    assert found <= set(sentences._FORMS)


def test_a_braced_message_of_ours_stays_as_it_is() -> None:
    item: ErrorDetails = {"type": "own", "loc": ("a",), "msg": "must be {this}", "input": 1}
    assert sentence_of(dict(item)) == "must be {this}"
