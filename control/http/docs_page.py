"""``/openapi.json``, and ``/docs``: the same to read, one page without anything from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.metadata import version
from typing import Any

import orjson
from aiohttp import web

from control.http.carrier_docs import HAND_WRITTEN, HandWritten
from control.http.docs.first_steps import first_steps
from control.http.docs.markup import Html, element, joined, prose
from control.http.docs.operation import caller_of, entry_of
from control.http.docs.search import words_of_shape
from control.http.docs.shapes import fields_table, shape_id
from control.http.endpoint import Endpoint
from control.http.openapi import openapi, refusals_of

_GROUPS: tuple[tuple[str | tuple[str, ...], str, str], ...] = (
    (
        "/api/v1/",
        "Platform Sapien API",
        "For programs that manage telephony. Also under `/v1`. OAuth tokens.",
    ),
    ("/oauth/", "OAuth 2.0", "Tokens for the Platform Sapien API (RFC 6749)."),
    ("/admin/", "Admin portal", "For those who run the platform."),
    (
        ("/webhooks/", "/media/"),
        "Carriers",
        "What Twilio and Telnyx ask: who answers a call, and its audio.",
    ),
    ("/", "Client portal", "For people, their workspaces, and workspaces' API keys."),
)
"""What paths begin with; the first one that fits."""
_APIS = (
    "Two APIs are here. The portals' has calls, agents, numbers and workspaces; who asks is a "
    "person who is logged in, or a workspace's API key, and below `/admin` an admin. The Platform "
    "Sapien API, for telephony management, has customers, users, extensions and audio, with OAuth "
    "tokens; its customers are the workspaces, and its users the people in them."
)
_ABOUT = (
    "The same for programs: ", element("a", "openapi.json", href="/openapi.json"), ". An error is ",
    element("code", '{"error": {"code", "message", "request_id", "details"?}}'),
    " in every API; `details` names the fields that are wrong.",
)  # fmt: skip


def add_documentation(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    """Serve both; who comes to ``/`` is sent there."""
    as_json, page = _documentation(tuple(endpoints))
    headers = {"Content-Security-Policy": _policy(), "X-Content-Type-Options": "nosniff"}

    async def serve_document(_: web.Request) -> web.Response:
        return web.Response(body=as_json, content_type="application/json")

    async def serve_page(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def point_there(_: web.Request) -> web.Response:
        return web.Response(status=303, headers={"Location": "/docs"})

    app.router.add_get("/", point_there)
    app.router.add_get("/openapi.json", serve_document)
    app.router.add_get("/docs", serve_page)


@lru_cache(1)
def _documentation(endpoints: tuple[Endpoint, ...]) -> tuple[bytes, str]:
    """JSON, and HTML."""
    document = openapi(endpoints, version("voicecore"), HAND_WRITTEN)
    return orjson.dumps(document), page_of(endpoints, document, HAND_WRITTEN)


def page_of(
    endpoints: Sequence[Endpoint],
    document: Mapping[str, Any],
    by_hand: Sequence[HandWritten] = (),
) -> str:
    """The document as a page, with who may call and what errors mean, as the endpoints say."""
    schemas = document["components"]["schemas"]
    groups: dict[str, dict[str, list[Html]]] = {title: {} for _, title, _ in _GROUPS}
    told = [((one.path, one.method), caller_of(one.access), refusals_of(one)) for one in endpoints]
    told += [((one.path, one.method), joined([one.caller]), one.refusals) for one in by_hand]
    for (path, method), caller, refusals in sorted(told, key=lambda one: one[0]):
        operation = document["paths"][path][method.lower()]
        entry = entry_of((method, path), caller, operation, refusals, schemas)
        group, tag = _place_of(path)
        groups[group].setdefault(tag, []).append(entry)
    shapes = [
        element(
            "details",
            element("summary", element("code", name)),
            element("div", prose(" ".join(schema.get("description", "").split())),
                    fields_table(schema, schemas), class_="inside"),
            id=shape_id(name),
            class_="shape",
            data_words=words_of_shape(name, schema, schemas),
        )
        for name, schema in sorted(schemas.items())
    ]  # fmt: skip
    return _whole(document["info"], groups, shapes)


def _whole(
    info: Mapping[str, str],
    groups: Mapping[str, Mapping[str, list[Html]]],
    shapes: list[Html],
) -> str:
    abouts = {title: about for _, title, about in _GROUPS}
    there = {title: tags for title, tags in groups.items() if tags}
    about = joined(part if isinstance(part, Html) else prose(part) for part in _ABOUT)
    sections = [
        element(
            "section",
            element("h2", title, class_="group", id=_slug(title)),
            element("p", prose(abouts[title])),
            *(
                element("section", element("h3", tag, id=_slug(title, tag)), *entries)
                for tag, entries in tags.items()
            ),
        )
        for title, tags in there.items()
    ]
    page = element(
        "html",
        _head(),
        element(
            "body",
            _contents(there),
            element(
                "main",
                element("h1", "voicecore API"),
                element("p", f"Version {info['version']}. ", about),
                element("p", prose(_APIS)),
                element("section", *first_steps(), id="first-steps", class_="guide"),
                *sections,
                element("p", "Nothing fits.", id="none", hidden="hidden"),
                element("section", element("h2", "Shapes", class_="group", id="shapes"), *shapes),
            ),
            element("script", Html(_file("page.js"))),
        ),
        lang="en",
    )
    return f"<!doctype html>{page}"


def _head() -> Html:
    return element(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", "voicecore API"),
        element("style", Html(_file("page.css"))),
    )


def _contents(groups: Mapping[str, Mapping[str, list[Html]]]) -> Html:
    """What is on the page, with the search above."""
    search = Html(
        '<input type="search" placeholder="Search ( / )" aria-label="Search the endpoints">'
    )
    first = element("h2", element("a", "First steps", href="#first-steps"))
    lists = [
        part
        for title, tags in groups.items()
        for part in (
            element("h2", element("a", title, href=f"#{_slug(title)}")),
            element(
                "ul",
                *(element("li", element("a", tag, href=f"#{_slug(title, tag)}")) for tag in tags),
            ),
        )
    ]
    shapes = element("h2", element("a", "Shapes", href="#shapes"))
    return element("nav", search, first, *lists, shapes)


def _place_of(path: str) -> tuple[str, str]:
    """The group, and what the endpoint is about: the first word that is no workspace's place."""
    start, title = next((start, title) for start, title, _ in _GROUPS if path.startswith(start))
    below = path.removeprefix(start) if isinstance(start, str) else path
    words = [word for word in below.split("/") if word]
    plain = [word for word in words if not word.startswith("{")]
    if start == "/" and len(plain) > 1 and plain[0] == "workspaces":
        return title, plain[1]
    return title, plain[0]


def _slug(*words: str) -> str:
    return "-".join(words).lower().replace(" ", "-").replace(".", "-")


@lru_cache(2)
def _file(name: str) -> str:
    return (resources.files("control.http.docs") / name).read_text()


def _policy() -> str:
    """Only the page's own style and script, whatever else gets into it."""
    style, script = (_hash(_file(name)) for name in ("page.css", "page.js"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
