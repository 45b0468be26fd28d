"""``/docs``: read as a browser reads it, but for the drawing."""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from jsonschema import Draft202012Validator

from control.api import ENDPOINTS
from control.api.shapes import Body, Query
from control.http.access import ADMIN_ROLES, MEMBER_MANAGES, MEMBER_ROLES
from control.http.carrier_docs import HAND_WRITTEN
from control.http.context import Context
from control.http.docs.examples import commands_of, example_of
from control.http.docs.first_steps import ADMINS, MEMBERS
from control.http.docs.shapes import bounds_of, type_of
from control.http.docs_page import add_documentation, page_of
from control.http.endpoint import Answer, Endpoint, endpoint
from control.http.errors import Refusal
from control.http.openapi import openapi, refusals_of

DOCUMENT = openapi(ENDPOINTS, "1.2.3", HAND_WRITTEN)
SCHEMAS = DOCUMENT["components"]["schemas"]
EVIL = "</script><script>alert('1')</script>\"&"
VOID = {"meta", "input"}


class Node:
    """An element."""

    def __init__(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.inside: list[Node | str] = []

    def all(self, tag: str = "") -> Iterator["Node"]:
        """Those below it."""
        for one in self.inside:
            if isinstance(one, Node):
                if not tag or one.tag == tag:
                    yield one
                yield from one.all(tag)

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)


class Reader(HTMLParser):
    """Makes a tree; what is not closed in its order fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        node = Node(tag, dict(attrs))
        self._open[-1].inside.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


@pytest.fixture(scope="module")
def page() -> Node:
    return Reader(page_of(ENDPOINTS, DOCUMENT, HAND_WRITTEN)).root


def operation_of(one: Endpoint) -> Mapping[str, Any]:
    found: Mapping[str, Any] = DOCUMENT["paths"][one.path][one.method.lower()]
    return found


def entry_of(page: Node, one: Endpoint) -> Node:
    name = operation_of(one)["operationId"]
    (entry,) = [node for node in page.all("details") if node.attributes.get("id") == name]
    return entry


def rows_of(entry: Node) -> list[list[str]]:
    return [[cell.text for cell in row.all("td")] for row in entry.all("tr")]


@pytest.mark.parametrize("one", ENDPOINTS, ids=str)
def test_an_endpoint_is_there_with_all_that_is_declared(page: Node, one: Endpoint) -> None:
    entry, operation = entry_of(page, one), operation_of(one)
    (summary,) = entry.all("summary")
    assert summary.text == f"{one.method} {one.path} {operation['summary']}"
    rows = rows_of(entry)
    shown = {row[0] for row in rows if row}
    for parameter in operation["parameters"]:
        assert parameter["name"] in shown
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "$ref" in media["schema"]:
            fields = SCHEMAS[media["schema"]["$ref"].rpartition("/")[2]].get("properties", {})
            assert set(fields) <= shown
    for refusal in refusals_of(one):
        assert [str(refusal.status), refusal.code, refusal.message] in rows
    (caller,) = [node.text for node in entry.all("p") if node.text.startswith("Who may call")]
    for word in (*one.access.roles, one.access.scope):
        assert word in caller


def test_a_field_is_told_with_its_bounds(page: Node) -> None:
    (signup,) = [one for one in ENDPOINTS if (one.method, one.path) == ("POST", "/auth/signup")]
    rows = {row[0]: row for row in rows_of(entry_of(page, signup)) if len(row) == 5}
    assert rows["name"][1:4] == ["string", "1 to 255 characters", "yes"]
    assert rows["email"][1] == "e-mail address"


def test_every_link_leads_somewhere_on_the_page(page: Node) -> None:
    ids = [node.attributes["id"] for node in page.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    links = {node.attributes["href"] for node in page.all("a")}
    assert {link for link in links if link and link[1:] not in ids} == {"/openapi.json"}


def test_nothing_comes_from_elsewhere(page: Node) -> None:
    for node in page.all():
        assert node.tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in node.attributes
        assert not [name for name in node.attributes if name == "style" or name.startswith("on")]
    assert [len(list(page.all(tag))) for tag in ("style", "script", "h1")] == [1, 1, 1]
    (style,), (script,) = page.all("style"), page.all("script")
    assert not re.search(r"url\(|@import", style.text)
    assert not re.search(r"innerHTML|eval|document\.write|https?://(?!localhost)", script.text)


@pytest.mark.parametrize(
    "asked",
    ["webhook twilio", "429", "transfer", "INVALID_TOKEN", "say_while", "telnyx-timestamp",
     "invalid_grant", "if-match", "moonshine"],
)  # fmt: skip
def test_what_is_asked_for_is_found(page: Node, asked: str) -> None:
    entries = [node.attributes["data-words"] or "" for node in page.all("details")]
    assert any(all(word in words for word in asked.lower().split()) for words in entries)


def test_what_carriers_ask_is_there(page: Node) -> None:
    titles = [node.text for node in page.all("h2")]
    assert "Carriers" in titles
    entries = {node.attributes["id"]: node for node in page.all("details")}
    for one in HAND_WRITTEN:
        entry = entries[one.operation["operationId"]]
        rows = rows_of(entry)
        for refusal in one.refusals:
            assert [str(refusal.status), refusal.code, refusal.message] in rows
        assert one.caller in entry.text
        assert "Bearer" not in entry.text


def test_the_grants_of_oauth_are_told(page: Node) -> None:
    (token,) = [one for one in ENDPOINTS if one.path == "/oauth/v2/token"]
    entry = entry_of(page, token)
    shown = {row[0] for row in rows_of(entry) if row}
    assert {"grant_type", "username", "password", "client_id", "client_secret"} <= shown
    assert {"refresh_token", "scope", "error", "error_description"} <= shown
    commands = [node.text for node in entry.all("code") if node.attributes.get("class") == "curl"]
    for grant in ("client_credentials", "password", "refresh_token"):
        assert any(f"grant_type={grant}" in one for one in commands)


def test_the_two_apis_are_told_apart_at_the_top(page: Node) -> None:
    (main,) = page.all("main")
    top = [one.text for one in main.inside if isinstance(one, Node)][:3]
    assert any("Two APIs" in text and "Platform Sapien API" in text for text in top)


def test_who_is_new_here_reads_what_is_first(page: Node) -> None:
    (guide,) = [node for node in page.all("section") if node.attributes.get("class") == "guide"]
    assert [role for role, _, _ in MEMBERS] == list(MEMBER_ROLES)
    assert [role for role, _ in ADMINS] == list(ADMIN_ROLES)
    for word in (*MEMBER_ROLES, *ADMIN_ROLES, "8 to 256 characters", "Retry-After", "total_pages"):
        assert word in guide.text
    paths = re.findall(r"http://localhost:8080(\S+)", guide.text)
    assert len(paths) == 6
    for path in paths:
        pattern = path.replace("WORKSPACE", "{workspace_id}").replace("AGENT", "{agent_id}")
        assert "post" in DOCUMENT["paths"][pattern]


def test_a_header_is_told_where_it_counts(page: Node) -> None:
    by_name = {one.name: one for one in ENDPOINTS}
    change = entry_of(page, by_name["update_agent"])
    assert ["If-Match", "header"] in [row[:2] for row in rows_of(change)]
    assert "ETag" in change.text
    assert "X-Request-Id" in change.text
    assert "If-Match" not in entry_of(page, by_name["get_agent"]).text


def test_it_can_be_searched(page: Node) -> None:
    for one in ENDPOINTS:
        words = entry_of(page, one).attributes["data-words"] or ""
        assert one.path.lower() in words
        assert words == words.lower()
    (search,) = page.all("input")
    assert search.attributes["aria-label"]


@pytest.mark.parametrize("one", ENDPOINTS, ids=str)
def test_an_example_is_a_request_that_fits(one: Endpoint) -> None:
    operation = operation_of(one)
    for command in commands_of(one.method, one.path, operation, SCHEMAS):
        check_command(one, shlex.split(command.replace("\\\n", " ")))
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        schema = media["schema"]
        example = example_of(schema, SCHEMAS)
        whole = {**schema, "components": {"schemas": SCHEMAS}}
        assert [error.message for error in Draft202012Validator(whole).iter_errors(example)] == []


def check_command(one: Endpoint, words: list[str]) -> None:
    """It is the endpoint's."""
    assert words[0] == "curl"
    (url,) = [word for word in words if word.startswith("http://localhost:8080")]
    assert "{" not in url
    assert ("Authorization: Bearer YOUR_TOKEN" in words) == (one.access.kind != "public")
    sends = {"-d", "-F", "--data-urlencode"} & set(words)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if sends else "GET"
    assert method == one.method


def hostile() -> Endpoint:
    class EvilQuery(Query):
        word: str = EVIL

    class EvilBody(Body):
        word: str

    async def evil(context: Context, query: EvilQuery, body: EvilBody) -> Answer:
        """."""

    evil.__doc__ = f"{EVIL}\n\n`{EVIL}` {EVIL}"
    refusals = (Refusal(409, EVIL, EVIL),)
    declare = endpoint("PUT", f"/things/{EVIL}", MEMBER_MANAGES, "text/plain", refusals=refusals)
    return declare(evil)


def test_whatever_is_in_a_declaration_is_text() -> None:
    one = hostile()
    document = openapi([one], EVIL)
    for schema in document["components"]["schemas"].values():
        schema["description"] = EVIL
    page = Reader(page_of([one], document)).root
    assert len(list(page.all("script"))) == 1
    assert EVIL in page.text


@pytest.mark.parametrize(
    ("schema", "kind", "bounds"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer", "1 to 9"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of string",
         "at least 1 entry"),
        ({"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}], "default": None},
         "string or null", "at most 5 characters"),
        ({"enum": ["a", "b"], "default": "a"}, 'one of "a", "b"', 'default "a"'),
        ({"type": "string", "pattern": "^<x>$"}, "string", "^<x>$"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object of string", ""),
        ({"anyOf": [{"type": "string", "maxLength": 9},
                    {"type": "array", "items": {"type": "string"}, "maxItems": 20}]},
         "string or list of string",
         "a text of at most 9 characters, a list of at most 20 entries"),
        ({}, "any JSON", ""),
        ({"const": 3}, "3", ""),
    ],
)  # fmt: skip
def test_schemas_in_words(schema: Mapping[str, Any], kind: str, bounds: str) -> None:
    assert Reader(type_of(schema)).root.text == kind
    assert Reader(bounds_of(schema)).root.text == bounds


async def test_a_browser_runs_the_pages_own_script_only() -> None:
    app = web.Application()
    add_documentation(app, ENDPOINTS)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with ClientSession() as session, session.get(base) as response:  # is sent there
        assert response.url.path == "/docs"
        policy = response.headers["Content-Security-Policy"]
        root = Reader(await response.text()).root
    await runner.cleanup()
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (node,) = root.all(tag)
        digest = base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_its_style_and_script_are_packed() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '"control.http.docs" = ["page.css", "page.js"]' in project
