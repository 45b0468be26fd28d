"""A vendor's settings, checked against the model that its adapter declares."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from voicecore.adapters.registry import ConfigProblem, VendorConfig, VendorConfigError

B = TypeVar("B", bound=BaseModel)
M = TypeVar("M", bound=msgspec.Struct)
S = TypeVar("S", bound=BaseModel | msgspec.Struct)


def read_settings(
    config: VendorConfig,
    kind: type[S],
    *,
    also: Iterable[ConfigProblem] = (),
    check: Callable[[S], Iterable[ConfigProblem]] | None = None,
) -> S:
    """``config.settings`` as a ``kind``, which is a pydantic model or a ``msgspec.Struct``.
    ``also`` is what is wrong with the rest of the block; ``check`` finds what is wrong with
    settings that are right one by one.

    :raises VendorConfigError: with everything that is wrong. A setting's ``field`` is its path
        (``settings.voice.speed``), or ``settings`` where they are wrong as a whole."""
    problems = list(also)
    try:
        settings = _converted(dict(config.settings), kind)
    except VendorConfigError as wrong:
        problems += wrong.problems
    else:
        problems += check(settings) if check is not None else ()
        if not problems:
            return settings
    raise _error(problems)


def missing_names(config: VendorConfig, *fields: str) -> Iterator[ConfigProblem]:
    """Those of the fields (``model``, ``voice``) that are empty."""
    for field in fields:
        if not getattr(config, field):
            yield ConfigProblem(field, f"must name a {field}")


def _error(problems: Iterable[ConfigProblem]) -> VendorConfigError:
    first, *others = problems
    return VendorConfigError(first.field, first.detail, *others)


def _converted(raw: dict[str, Any], kind: type[S]) -> S:
    try:
        if issubclass(kind, BaseModel):
            return kind.model_validate(raw)
        return msgspec.convert(raw, kind)
    except ValidationError as wrong:
        raise _error(_model_problems(wrong, raw)) from None
    except msgspec.ValidationError as wrong:
        parts = tuple(_struct_problems(raw, kind)) if issubclass(kind, msgspec.Struct) else ()
        raise _error(parts or (_struct_problem("settings", wrong),)) from None


def _model_problems(wrong: ValidationError, raw: dict[str, Any]) -> Iterator[ConfigProblem]:
    """One for each field: a value that fits none of a union's types is wrong once."""
    seen: set[str] = set()
    for error in wrong.errors(include_url=False, include_input=False):
        field = ".".join(("settings", *_path(error, raw)))
        if field not in seen:
            seen.add(field)
            own = error["type"] == "value_error"
            yield ConfigProblem(field, str(error["ctx"]["error"]) if own else error["msg"])


def _path(error: ErrorDetails, raw: Any) -> Iterator[str]:
    """Where the value lies in the settings: pydantic adds the names of a union's types."""
    for part in error["loc"]:
        if isinstance(raw, Mapping) and (part in raw or error["type"] == "missing"):
            raw = raw.get(part)
        elif isinstance(raw, list | tuple) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:
            return
        yield str(part)


def _struct_problems(raw: dict[str, Any], kind: type[msgspec.Struct]) -> Iterator[ConfigProblem]:
    """msgspec tells of the first problem only, so each setting is tried by itself."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, value in raw.items():
        if name in fields:
            try:
                msgspec.convert(value, fields[name].type)
            except msgspec.ValidationError as wrong:
                yield _struct_problem(f"settings.{name}", wrong)
        elif kind.__struct_config__.forbid_unknown_fields:
            yield ConfigProblem(f"settings.{name}", "there is no such setting")
    for name, field in fields.items():
        if field.required and name not in raw:
            yield ConfigProblem(f"settings.{name}", "is missing")


def _struct_problem(field: str, wrong: msgspec.ValidationError) -> ConfigProblem:
    # msgspec ends its message with " - at `$.path`" unless the root itself is wrong.
    detail, _, path = str(wrong).partition(" - at `$")
    return ConfigProblem(field + path.rstrip("`"), detail)
