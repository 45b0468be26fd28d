"""Parameters that are none are refused, and not as if they had not come."""

from pathlib import Path

import pytest
import yaml

from control.http.reading import MOST_NAMED
from tests.support.api import Api, endpoint_of


async def test_a_misspelt_filter_is_no_filter(api: Api) -> None:
    token = await api.admin()
    answer = await api.get("/admin/calls?worksapce_id=1&limit=0&form=2026-01-01", token)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert answer.fields == {"worksapce_id", "form", "limit"}


@pytest.mark.parametrize("query", ["?verbose=1", "?verbose", "?limit=", "?=", "?=1"])
async def test_who_takes_no_query_takes_none(api: Api, query: str) -> None:
    _, token = await api.person()
    answer = await api.get(f"/workspaces{query}", token)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")
    assert answer.fields == {query.strip("?").partition("=")[0]}
    assert (await api.get("/workspaces?", token)).status == 200


async def test_our_own_names_for_parameters_are_none(api: Api) -> None:
    """``from`` is a word of Python's; what we call it is nobody's business."""
    token = await api.admin()
    assert (await api.get("/admin/calls?since=2026-01-01T00:00:00Z", token)).fields == {"since"}
    assert (await api.get("/admin/calls?from=2026-01-01T00:00:00Z", token)).status == 200


async def test_changes_and_forms_too(api: Api) -> None:
    _, token = await api.person()
    answer = await api.post("/workspaces?dry_run=1", {"nane": "Acme"}, token)
    assert (answer.status, answer.fields) == (422, {"dry_run", "nane", "name"})
    answer = await api.send("DELETE", "/admin/users/none?force=1", token=await api.admin())
    assert answer.status == 404


async def test_where_tokens_are_made_they_are_ignored(api: Api) -> None:
    """RFC 6749, 3.2. Nor are the form's fields taken from there (2.3.1)."""
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}
    answer = await api.post("/oauth/v2/token?verbose=1&%00=%00", data=form)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    answer = await api.post("/oauth/v2/token?grant_type=password", data={})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_so_many_are_named_and_no_more(api: Api) -> None:
    _, token = await api.person()
    query = "&".join(f"p{number}=1" for number in range(500))
    answer = await api.get(f"/workspaces?{query}", token)
    assert answer.fields == {*(f"p{number}" for number in range(MOST_NAMED)), "query"}
    assert str(500 - MOST_NAMED) in answer.json["error"]["details"][-1]["message"]
    answer = await api.get(f"/workspaces?{'x' * 5000}=1", token)
    assert answer.fields == {"x" * 64}


@pytest.mark.parametrize("name", ["%00", "%ff", "%ED%A0%80", "a%0d%0ab", "%3Cscript%3E", "%"])
async def test_a_name_may_be_anything(api: Api, name: str) -> None:
    _, token = await api.person()
    answer = await api.get(f"/workspaces?{name}=1", token)
    assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")


def documented() -> list[tuple[str, str, list[str]]]:
    documents = yaml.safe_load((Path(__file__).parent / "contract.yaml").read_text())
    return [
        (*entry["endpoint"].split(" "), entry.get("query", []) + entry.get("query_more", []))
        for found in documents.values()
        for entry in found
        if entry["served"] and entry.get("declared", True)
    ]


@pytest.mark.parametrize(("method", "path", "names"), documented())
def test_every_parameter_of_the_documents_is_taken(
    method: str, path: str, names: list[str]
) -> None:
    endpoint = endpoint_of(method, path)
    assert endpoint is not None
    assert endpoint.query_names == frozenset(names)
