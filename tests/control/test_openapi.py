"""The document that is made from the declarations."""

from datetime import datetime
from typing import Any

from pydantic import Field

from control.api.shapes import Body, Id, Query, Shape
from control.http.access import OAUTH_WRITES, PUBLIC
from control.http.context import Context
from control.http.endpoint import Answer, Endpoint, endpoint
from control.http.form import Form
from control.http.openapi import openapi


class Span(Query):
    begin: datetime | None = Field(None, alias="from")
    most: int | None = Field(None, ge=1)
    kind: str = "all"


class Upload(Body):
    file: bytes
    note: str | None = None


def answer_with(key: str, module: str) -> type[Shape]:
    """A model that is called as that of another file is."""
    fields = {"__annotations__": {key: int}, "__module__": module}
    return type("Answered", (Shape,), fields)


FirstAnswer = answer_with("first", "control.api.admin.things")
SecondAnswer = answer_with("second", "control.api.client.things")


def declared() -> list[Endpoint]:
    @endpoint("GET", "/things/{thing_id}", OAUTH_WRITES, FirstAnswer)
    async def get_thing(context: Context, thing_id: Id, query: Span) -> Answer:
        """Get a thing.

        If there is one."""

    @endpoint("POST", "/things", OAUTH_WRITES, "audio/*")
    async def upload_thing(context: Context, upload: Upload) -> Answer:
        """Upload a thing."""

    @endpoint("POST", "/forms", PUBLIC, SecondAnswer, other_statuses={400: "As the RFC says."})
    async def fill_form(context: Context, form: Form) -> Answer:
        """Fill a form."""

    return [get_thing, upload_thing, fill_form]


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = openapi(declared(), "1")["paths"][path][method]
    return found


def test_a_query_has_its_own_names_and_no_null() -> None:
    parameters = operation("get", "/things/{thing_id}")["parameters"]
    by_name = {one["name"]: one for one in parameters}
    assert set(by_name) == {"thing_id", "from", "most", "kind"}
    assert by_name["thing_id"]["required"]
    assert not by_name["from"]["required"]
    assert by_name["from"]["schema"]["format"] == "date-time"
    assert by_name["most"]["schema"] == {"type": "integer", "minimum": 1, "title": "Most"}
    assert by_name["kind"]["schema"]["default"] == "all"


def test_a_file_is_binary() -> None:
    document = openapi(declared(), "1")
    upload = document["paths"]["/things"]["post"]
    shape = document["components"]["schemas"]["Upload"]
    assert shape["properties"]["file"]["format"] == "binary"
    assert shape["required"] == ["file"]
    assert list(upload["requestBody"]["content"]) == ["multipart/form-data"]
    answer = upload["responses"]["200"]["content"]["audio/*"]["schema"]
    assert answer == {"type": "string", "format": "binary"}
    assert {"413", "415", "422", "408", "429", "403"} <= set(upload["responses"])


def test_a_post_may_have_a_key() -> None:
    names = [one["name"] for one in operation("post", "/things")["parameters"]]
    assert names == ["Idempotency-Key"]
    assert operation("post", "/forms")["parameters"] == []


def test_a_form_and_its_own_errors() -> None:
    form = operation("post", "/forms")
    assert list(form["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    assert form["responses"]["400"] == {"description": "As the RFC says."}
    assert "security" not in form


def test_models_that_are_called_the_same_stay_two() -> None:
    schemas = openapi(declared(), "1")["components"]["schemas"]
    keys = [set(one["properties"]) for name, one in schemas.items() if "Answered" in name]
    assert sorted(keys, key=str) == [{"first"}, {"second"}]


def test_the_docstring_is_the_summary_and_what_follows_the_description() -> None:
    found = operation("get", "/things/{thing_id}")
    assert (found["summary"], found["description"]) == ("Get a thing", "If there is one.")
    assert found["security"] == [{"oauth": ["write"]}]
