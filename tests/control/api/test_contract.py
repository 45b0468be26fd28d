"""What is served is what the two API documents say, which ``contract.yaml`` sums up."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
import yaml

from control.api import ENDPOINTS
from control.http import carrier_hooks
from control.http.carrier_docs import HAND_WRITTEN
from control.http.endpoint import Endpoint
from control.http.errors import Refusal
from control.http.media_entrance import BUSY, DRAINING, NOT_READY
from control.http.openapi import as_file, openapi
from control.server import Server
from control.settings import Settings
from tests.support.api import Api
from tests.support.postgres import fresh_database

CHECKED_IN = Path(__file__).parents[3] / "docs" / "openapi.json"


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint of a document."""

    endpoint: str
    served: bool
    declared: bool = True
    query: list[str] = []
    query_more: list[str] = []
    status: int = 200
    answer: list[str] = []
    note: str = ""

    @property
    def method(self) -> str:
        return self.endpoint.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.endpoint.partition(" ")[2]

    @property
    def place(self) -> tuple[str, str]:
        return self.method, nameless(self.path)


def nameless(path: str) -> str:
    """A path without its places' names, which are the document's or ours."""
    return re.sub(r"{\w+}", "{}", path)


def entries() -> list[Entry]:
    documents = yaml.safe_load((Path(__file__).parent / "contract.yaml").read_text())
    return [msgspec.convert(one, Entry) for found in documents.values() for one in found]


DECLARED: Mapping[tuple[str, str], Endpoint] = {
    (endpoint.method, nameless(endpoint.path)): endpoint for endpoint in ENDPOINTS
}
SERVED = [entry for entry in entries() if entry.served and entry.declared]
UNDECLARED = [entry for entry in entries() if entry.served and not entry.declared]
UNSERVED = [entry for entry in entries() if not entry.served]
DOCUMENT = openapi(ENDPOINTS, "test", HAND_WRITTEN)


def test_no_endpoint_is_listed_twice() -> None:
    places = [entry.place for entry in entries()]
    assert len(places) == len(set(places)) == 132


def test_no_place_is_declared_twice() -> None:
    assert len(DECLARED) == len(ENDPOINTS)


@pytest.mark.parametrize("entry", SERVED, ids=lambda entry: entry.endpoint)
def test_an_endpoint_is_as_its_document_says(entry: Entry) -> None:
    endpoint = DECLARED[entry.place]
    operation = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
    names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    assert sorted(names) == sorted(entry.query + entry.query_more)
    if not entry.answer:
        return
    if entry.status != 200:
        assert endpoint.status == entry.status
    shape = operation["responses"][str(endpoint.status)]["content"]["application/json"]["schema"]
    missing = [key for key in entry.answer if not has_key(shape, key.split("."))]
    assert missing == []


@pytest.mark.parametrize("entry", UNSERVED, ids=lambda entry: entry.endpoint)
def test_what_is_not_served_is_not_declared(entry: Entry) -> None:
    assert entry.place not in DECLARED


async def test_what_is_not_served_is_not_there(api: Api) -> None:
    """A path that something else of this shape has knows other methods only."""
    token = await api.admin()
    for entry in UNSERVED:
        path = re.sub(r"{\w+}", str(uuid4()), entry.path)
        answer = await api.send(entry.method, path, token=token)
        fitting = [one for one in ENDPOINTS if fits(one.path, path)]
        if any(one.method == entry.method for one in fitting):  # a place takes the word for an id
            assert answer.status in (401, 404, 422), entry
        else:
            assert answer.status == (405 if fitting else 404), entry


def test_every_error_of_the_webhook_is_written_down() -> None:
    (inbound,) = [one for one in HAND_WRITTEN if one.path == "/webhooks/calls/inbound"]
    own = {one for one in vars(carrier_hooks).values() if isinstance(one, Refusal)}
    assert own | {BUSY, DRAINING, NOT_READY} <= set(inbound.refusals)


async def test_what_is_served_though_not_declared(tmp_path: Path) -> None:
    """By the whole server, with the errors that are written down; and all of it is documented."""
    assert [entry.endpoint for entry in UNDECLARED] == ["POST /webhooks/calls/inbound"]
    assert {entry.place for entry in UNDECLARED} <= {(one.method, one.path) for one in HAND_WRITTEN}
    async with fresh_database() as url, AsyncExitStack() as stack:
        server = await Server.open(Settings(database_url=url), tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        stack.push_async_callback(server.stop, 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for one in HAND_WRITTEN:
            assert (one.method, one.path) not in DECLARED
            operation = DOCUMENT["paths"][one.path][one.method.lower()]
            target = f"http://127.0.0.1:{port}{one.path.replace('{token}', 'x')}"
            async with session.request(one.method, target, data=b"{}") as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"]) in {
                (refusal.status, refusal.code) for refusal in one.refusals
            }
            assert (
                f"`{error['code']}`" in operation["responses"][str(response.status)]["description"]
            )


def test_the_documents_file_is_fresh() -> None:
    """Write it anew: ``python -m control.http.openapi docs/openapi.json``."""
    assert CHECKED_IN.read_bytes() == as_file(ENDPOINTS)


def test_the_document_holds_together() -> None:
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names)) == len(ENDPOINTS) + len(HAND_WRITTEN)
    components = DOCUMENT["components"]
    for reference in references(DOCUMENT):
        _, _, kind, name = reference.split("/")
        assert name in components[kind]
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


def fits(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", pattern), path) is not None


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def has_key(shape: Mapping[str, Any], key: list[str]) -> bool:
    """Whether an answer of this shape has the key. What is open may have any."""
    if "$ref" in shape:
        name = shape["$ref"].removeprefix("#/components/schemas/")
        return has_key(DOCUMENT["components"]["schemas"][name], key)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in shape:
            return any(has_key(one, key) for one in shape[several])
    if not key:
        return True
    if shape.get("type") == "array":
        return has_key(shape.get("items", {}), key)
    properties = shape.get("properties")
    if properties is None:
        return shape.get("type", "object") == "object" and bool(
            shape.get("additionalProperties", True)
        )
    return key[0] in properties and has_key(properties[key[0]], key[1:])
