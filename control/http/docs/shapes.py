"""JSON schemas as tables. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from control.http.docs.markup import Html, code, element, joined, prose, separated, table

Schema = Mapping[str, Any]

_HEADS = ("field", "type", "bounds", "required", "description")
_FORMATS = {
    "date-time": "time (ISO 8601)",
    "date": "date (ISO 8601)",
    "uuid": "UUID",
    "email": "e-mail address",
    "binary": "file",
    "uri": "URL",
}
_LONGEST_DEFAULT = 60
_ALTERNATIVES = {"string": "a text of ", "array": "a list of "}


def shape_id(name: str) -> str:
    """Where a shape is on the page."""
    return f"shape-{name}"


def fields_table(schema: Schema, schemas: Mapping[str, Schema]) -> Html:
    """An object's fields, each in a row; of another shape's objects only the name, which leads to
    it."""
    whole = resolved(schema, schemas)
    rows = _rows(whole)
    if rows:
        return table(_HEADS, rows)
    return element("p", type_of(schema), ". ", prose(whole.get("description", "")))


def resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """What a reference leads to."""
    while "$ref" in schema:
        schema = {**schemas[_name_of(schema)], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _rows(schema: Schema, prefix: str = "") -> list[Sequence[str]]:
    required = schema.get("required", ())
    rows: list[Sequence[str]] = []
    for name, field in schema.get("properties", {}).items():
        rows.append(
            (
                code(prefix + name),
                type_of(field),
                bounds_of(field),
                "yes" if name in required else "",
                prose(" ".join(field.get("description", "").split())),
            )
        )
        for inner, below in ((field, "."), (field.get("items", {}), "[].")):
            if "properties" in inner:
                rows += _rows(inner, f"{prefix}{name}{below}")
    return rows


def type_of(schema: Schema) -> Html:
    """In words, with links to shapes."""
    if "$ref" in schema:
        name = _name_of(schema)
        return element("a", name, href=f"#{shape_id(name)}")
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return separated(" or ", list(dict.fromkeys(map(type_of, schema[several]))))
    if "const" in schema:
        return code(_json(schema["const"]))
    if "enum" in schema:
        return joined(["one of ", separated(", ", [code(_json(one)) for one in schema["enum"]])])
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return joined(["list of ", type_of(schema.get("items", {}))])
    values = schema.get("additionalProperties")
    if kind == "object" and "properties" not in schema and isinstance(values, Mapping):
        return joined(["object of ", type_of(values)])
    return joined([_FORMATS.get(schema.get("format", ""), str(kind))])


def bounds_of(schema: Schema) -> Html:
    """Lengths, limits, patterns and the default; of the one alternative that is not null, too. Of
    several the text's are told, and a list's as such."""
    choices = list(_choices(schema))
    if len(choices) == 1:
        found = _bounds({**choices[0], **schema})
    else:
        found = _bounds({name: one for name, one in schema.items() if name != "anyOf"})
        found += [
            joined([words, each])
            for one in choices
            if (words := _ALTERNATIVES.get(one.get("type", "")))
            for each in _bounds(one)
        ]
    default = schema.get("default")
    if default not in (None, "", [], {}):
        shown = _json(default)
        if len(shown) <= _LONGEST_DEFAULT:
            found.append(joined(["default ", code(shown)]))
    return separated(", ", found)


def _choices(schema: Schema) -> Iterator[Schema]:
    """The alternatives that are not null."""
    for one in schema.get("anyOf", ()):
        if "anyOf" in one:
            yield from _choices(one)
        elif one != {"type": "null"}:
            yield one


def _bounds(schema: Schema) -> list[Html]:
    found = []
    for low, high, one, several in (
        ("minLength", "maxLength", " character", " characters"),
        ("minItems", "maxItems", " entry", " entries"),
        ("minimum", "maximum", "", ""),
        ("exclusiveMinimum", "exclusiveMaximum", ", excluded", ", both excluded"),
    ):
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None:
            found.append(Html(f"{least} to {most}{several}"))
        elif least is not None:
            found.append(Html(f"at least {least}{one if least == 1 else several}"))
        elif most is not None:
            found.append(Html(f"at most {most}{one if most == 1 else several}"))
    if "multipleOf" in schema:
        found.append(Html(f"a multiple of {schema['multipleOf']}"))
    if "pattern" in schema:
        found.append(code(schema["pattern"], class_="pattern"))
    return found


def _name_of(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
