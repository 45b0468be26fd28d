"""The document that is made from the declarations."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from control.api.shapes import Body, Id, Query, Shape
from control.http.access import OAUTH_WRITES, PUBLIC
from control.http.carrier_docs import HAND_WRITTEN
from control.http.context import Context
from control.http.endpoint import Answer, Endpoint, Raw, endpoint
from control.http.errors import Refusal
from control.http.form import Form
from control.http.openapi import openapi
from control.http.refusals import PRECONDITION_FAILED


class Span(Query):
    begin: datetime | None = Field(None, alias="from")
    most: int | None = Field(None, ge=1)
    kind: str = "all"


class Upload(Body):
    file: bytes
    note: str | None = None


class Change(Body):
    words: Annotated[str | list[str], Field(min_length=1, max_length=5)]


class Filled(Body):
    kind: str


class Wrong(Shape):
    error: str


def answer_with(key: str, module: str) -> type[Shape]:
    """A model that is called as that of another file is."""
    fields = {"__annotations__": {key: int}, "__module__": module}
    return type("Answered", (Shape,), fields)


FirstAnswer = answer_with("first", "control.api.admin.things")
SecondAnswer = answer_with("second", "control.api.client.things")


def declared() -> list[Endpoint]:
    @endpoint("GET", "/things/{thing_id}", OAUTH_WRITES, FirstAnswer)
    async def get_thing(context: Context, thing_id: Id, query: Span) -> Answer:
        """Get a
        thing. This one.

        If there is one."""

    @endpoint("POST", "/things", OAUTH_WRITES, "audio/*")
    async def upload_thing(context: Context, upload: Upload) -> Answer:
        """Upload a thing."""

    @endpoint(
        "PUT",
        "/things/{thing_id}",
        OAUTH_WRITES,
        FirstAnswer,
        refusals=(PRECONDITION_FAILED,),
        etag=True,
    )
    async def change_thing(context: Context, thing_id: Id, body: Change) -> Answer:
        """Change a thing."""

    @endpoint(
        "POST",
        "/other-forms",
        PUBLIC,
        SecondAnswer,
        other_statuses={400: "`wrong`"},
        other_answer=Wrong,
    )
    async def fill_other_form(context: Context, form: Annotated[Form, Filled]) -> Answer:
        """Fill a form with fields that are known."""

    @endpoint("POST", "/forms", PUBLIC, SecondAnswer, other_statuses={400: "As the RFC says."})
    async def fill_form(context: Context, form: Form) -> Answer:
        """Fill a form."""

    return [get_thing, upload_thing, change_thing, fill_form, fill_other_form]


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
    found = operation("post", "/things")
    assert [one["name"] for one in found["parameters"]] == ["Idempotency-Key"]
    assert "Idempotency-Replayed" in found["responses"]["200"]["headers"]
    assert operation("post", "/forms")["parameters"] == []


def test_a_form_and_its_own_errors() -> None:
    form = operation("post", "/forms")
    assert list(form["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    assert form["responses"]["400"]["description"] == "As the RFC says."
    assert "security" not in form


def test_a_form_of_known_fields_and_errors_in_its_own_form() -> None:
    form = operation("post", "/other-forms")
    shape = form["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert shape == {"$ref": "#/components/schemas/Filled"}
    errors = form["responses"]["400"]["content"]["application/json"]["schema"]["anyOf"]
    assert [one["$ref"].rpartition("/")[2] for one in errors] == ["Wrong", "Error"]


def test_a_form_of_errors_for_all_that_is_refused() -> None:
    """But for what is no HTTP, as nobody knows whom it is for."""

    @endpoint(
        "POST",
        "/tokens",
        PUBLIC,
        SecondAnswer,
        refusals=(Refusal(400, "wrong", "Wrong"), Refusal(429, "slow", "Slow")),
        other_statuses={400: "`wrong`", 429: "`slow`"},
        other_answer=Wrong,
        other_form=lambda refusal: Raw(b"{}", "application/json"),
    )
    async def make_token(context: Context, form: Form) -> Answer:
        """Make a token."""

    responses = openapi([make_token], "1")["paths"]["/tokens"]["post"]["responses"]
    assert set(responses) == {"200", "400", "429"}
    shape = responses["429"]["content"]["application/json"]["schema"]
    assert shape == {"$ref": "#/components/schemas/Wrong"}
    assert "anyOf" in responses["400"]["content"]["application/json"]["schema"]


def test_a_change_may_name_its_version() -> None:
    found = operation("put", "/things/{thing_id}")
    assert "If-Match" in {one["name"] for one in found["parameters"] if one["in"] == "header"}
    assert "ETag" in found["responses"]["200"]["headers"]
    seen = operation("get", "/things/{thing_id}")
    assert "If-Match" not in {one["name"] for one in seen["parameters"]}
    assert "ETag" not in seen["responses"]["200"]["headers"]


def test_every_answer_has_the_requests_id() -> None:
    document = openapi(declared(), "1", HAND_WRITTEN)
    components = document["components"]
    answers = [
        answer if "$ref" not in answer else components["responses"][answer["$ref"].split("/")[-1]]
        for path in document["paths"].values()
        for one in path.values()
        for answer in one["responses"].values()
    ]
    assert len(answers) > 20
    assert all("X-Request-Id" in one["headers"] for one in answers)


def test_a_lists_entries_are_counted_and_not_characters() -> None:
    words = openapi(declared(), "1")["components"]["schemas"]["Change"]["properties"]["words"]
    assert "minLength" not in words
    assert "maxLength" not in words
    text, several = words["anyOf"]
    assert "maxLength" not in text
    assert (several["minItems"], several["maxItems"]) == (1, 5)


def test_models_that_are_called_the_same_stay_two() -> None:
    schemas = openapi(declared(), "1")["components"]["schemas"]
    keys = [set(one["properties"]) for name, one in schemas.items() if "Answered" in name]
    assert sorted(keys, key=str) == [{"first"}, {"second"}]


def test_the_first_sentence_is_the_summary_and_the_docstring_the_description() -> None:
    found = operation("get", "/things/{thing_id}")
    assert found["summary"] == "Get a thing"
    assert found["description"] == "Get a thing. This one.\n\nIf there is one."
    assert found["security"] == [{"oauth": ["write"]}]
