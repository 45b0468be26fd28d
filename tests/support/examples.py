"""The smallest valid bodies of declared endpoints, made from their models."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from control.http.endpoint import Endpoint

_SOME = (
    "Example",
    "someone@example.com",
    "+442079876543",
    "Europe/London",
    "2026-01-01T00:00:00Z",
    "https://example.com/example",
    "Correct-Horse-7",
    "example",
    "2001",
    "en",
    "GB",
    "00000000-0000-4000-8000-000000000000",
    1,
    100,
    0.5,
    True,
    [],
    {},
    ["read"],
    ["Example"],
    None,
)

BODIES: Mapping[str, Mapping[str, Any]] = {}
"""Of endpoints whose models check more than their fields one by one, by the handler's name."""


def example_body(endpoint: Endpoint, **given: Any) -> Any:
    """A body that the endpoint takes; ``given`` are fields that it must have. None: it has none."""
    if endpoint.body is None:
        return None
    body = {**_example(endpoint.body), **BODIES.get(endpoint.name, {}), **given}
    try:
        endpoint.body.model_validate(body)
    except ValidationError as error:
        raise AssertionError(f"{endpoint}: say in BODIES what a valid body is: {error}") from error
    return body


def example_query(endpoint: Endpoint) -> dict[str, str]:
    """What the query must have."""
    if endpoint.query is None:
        return {}
    return {name: str(value) for name, value in _example(endpoint.query).items()}


def example_upload(endpoint: Endpoint) -> dict[str, Any] | None:
    """A form's fields, its files as bytes."""
    if endpoint.upload is None:
        return None
    return {**_example(endpoint.upload), **BODIES.get(endpoint.name, {})}


def _example(model: type[BaseModel]) -> dict[str, Any]:
    """Its required fields; of a model that has none its first one, so that something would
    change."""
    names = [name for name, field in model.model_fields.items() if field.is_required()]
    return {
        model.model_fields[name].alias or name: _value(name, model.model_fields[name])
        for name in names
    }


def _value(name: str, field: FieldInfo) -> Any:
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _example(annotation)
    if get_origin(annotation) is list:
        inner = get_args(annotation)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return [_example(inner)]
    metadata = field.metadata or [None]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[annotation, *metadata])
    if annotation is bytes:
        return b"RIFF"
    for value in (*_choices(adapter), *_SOME):
        try:
            adapter.validate_python(value)
        except ValidationError:
            continue
        return value
    raise AssertionError(f"nothing here is a valid {name}: {annotation}, {field.metadata}")


def _choices(adapter: TypeAdapter[Any]) -> list[Any]:
    """Of a field that may be one of some."""
    schema = adapter.json_schema()
    if "const" in schema:
        return [schema["const"]]
    return list(schema.get("enum", []))


def is_uuid(adapter: TypeAdapter[Any]) -> bool:
    """Whether a place takes a UUID."""
    try:
        return isinstance(adapter.validate_strings(str(UUID(int=0))), UUID)
    except ValidationError:
        return False
