"""What the page's search looks in. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from control.http.docs.shapes import Schema, resolved
from control.http.errors import Refusal

MOST_DEPTH = 12
_WORD = re.compile(r"[^\s`'\"(),;:]+")


def words_of(
    place: tuple[str, str],
    operation: Mapping[str, Any],
    refusals: Sequence[Refusal],
    schemas: Mapping[str, Schema],
) -> str:
    """Each word once: of the method and path, summary and description, parameters, headers, bodies
    and answers with what is inside them, errors' statuses, codes and messages."""
    texts = [*place, operation["operationId"], *operation["tags"]]
    texts += [operation["summary"], operation.get("description", "")]
    for one in operation["parameters"]:
        texts += [one["name"], one.get("description", "")]
        texts += _texts(one["schema"], schemas, set())
    contents = [operation.get("requestBody", {}), *operation["responses"].values()]
    for one in contents:
        texts += one.get("headers", ())
        for kind, media in one.get("content", {}).items():
            texts += [kind, one.get("description", ""), *_texts(media["schema"], schemas, set())]
    for refusal in refusals:
        texts += [str(refusal.status), refusal.code, refusal.message]
    return unique(texts)


def words_of_shape(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> str:
    """The same of a shape."""
    return unique([name, *_texts(schema, schemas, set())])


def unique(texts: Sequence[str]) -> str:
    """Small letters, each word once."""
    words = (word.rstrip(".") for text in texts for word in _WORD.findall(text.lower()))
    return " ".join(dict.fromkeys(words))


def _texts(
    schema: Schema, schemas: Mapping[str, Schema], seen: set[str], depth: int = 0
) -> Iterator[str]:
    """Names, values and descriptions of a schema and those in it."""
    if depth > MOST_DEPTH or schema.get("$ref", "") in seen:
        return
    if "$ref" in schema:
        seen.add(schema["$ref"])
    schema = resolved(schema, schemas)
    yield str(schema.get("description", ""))
    yield from (str(one) for one in (*schema.get("enum", ()), schema.get("const", "")))
    for name, field in schema.get("properties", {}).items():
        yield name
        yield from _texts(field, schemas, seen, depth + 1)
    inner = [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key, ())]
    inner += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for one in inner:
        if isinstance(one, Mapping):
            yield from _texts(one, schemas, seen, depth + 1)
