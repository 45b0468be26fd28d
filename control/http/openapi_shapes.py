"""The schemas of the models that endpoints take and answer with."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from control.http.endpoint import Endpoint

REF = "#/components/schemas/{model}"


class Shapes:
    """The models' schemas, each under a name of its own though two models be called the same."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        asked: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
        for endpoint in endpoints:
            for model in (endpoint.query, endpoint.body, endpoint.upload, endpoint.form):
                if model is not None:
                    asked[model, "validation"] = None
            for answer in (endpoint.answer, endpoint.other_answer):
                if isinstance(answer, type):
                    asked[answer, "serialization"] = None
        places, found = models_json_schema(list(asked), ref_template=REF)
        self._places = {asked_for: _short(place) for asked_for, place in places.items()}
        self._schemas: dict[str, Any] = _counted(_short(found)).get("$defs", {})
        queries = {self._name(one.query) for one in endpoints if one.query is not None}
        self.components = {
            name: schema for name, schema in sorted(self._schemas.items()) if name not in queries
        }

    def of(self, model: type[BaseModel], mode: JsonSchemaMode = "validation") -> Mapping[str, Any]:
        """A reference to it."""
        place: Mapping[str, Any] = self._places[model, mode]
        return place

    def whole(self, model: type[BaseModel]) -> Mapping[str, Any]:
        """What comes in by this model."""
        schema: Mapping[str, Any] = self._schemas[self._name(model)]
        return schema

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._places[model, "validation"]["$ref"]).rpartition("/")[2]


def _short(schema: Any) -> Any:
    """Of models that are called the same, without what all of their modules begin with."""
    return orjson.loads(orjson.dumps(schema).replace(b"control__api__", b""))


def _counted(schema: Any) -> Any:
    """The same, but that of one thing or a list of them, whose number pydantic bounds as if they
    were characters, the list's entries are bounded."""
    if isinstance(schema, list):
        return [_counted(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _counted(one) for name, one in schema.items()}
    choices = found.get("anyOf")
    if not isinstance(choices, list):
        return found
    for characters, entries in (("minLength", "minItems"), ("maxLength", "maxItems")):
        if isinstance(bound := found.get(characters), int):
            del found[characters]
            for one in choices:
                if one.get("type") == "array":
                    one[entries] = bound
    return found
