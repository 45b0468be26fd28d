"""One endpoint on the page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from control.http.access import Access
from control.http.docs.examples import commands_of
from control.http.docs.markup import Html, code, element, joined, prose, separated, table
from control.http.docs.search import words_of
from control.http.docs.shapes import Schema, bounds_of, fields_table, resolved, type_of
from control.http.errors import Refusal
from control.http.openapi import ERROR

_PARAMETERS = ("parameter", "in", "type", "bounds", "required", "description")


def entry_of(
    place: tuple[str, str],
    caller: Html,
    operation: Mapping[str, Any],
    refusals: Sequence[Refusal],
    schemas: Mapping[str, Schema],
) -> Html:
    """All that is to be known of it, folded. ``place`` is its method and path."""
    method, path = place
    parts = [
        *_paragraphs(operation.get("description", "")),
        element("p", element("strong", "Who may call: "), caller),
        *_titled("Parameters", _parameters(operation)),
        *_titled("Body", _body(operation, schemas)),
        *_titled("Example", _examples(commands_of(method, path, operation, schemas))),
        *_titled("Answers", _answers(operation, schemas)),
        *_titled("Errors", _errors(refusals)),
    ]  # fmt: skip
    summary = element(
        "summary",
        element("span", method, class_=f"method {method.lower()}"),
        " ",
        code(path),
        " ",
        element("span", operation["summary"], class_="about"),
    )
    return element(
        "details",
        summary,
        element("div", *parts, class_="inside"),
        id=operation["operationId"],
        class_="operation",
        data_words=words_of(place, operation, refusals, schemas),
    )


def caller_of(access: Access) -> Html:
    """Who may call, and what he sends."""
    roles = separated(", ", [code(role) for role in access.roles])
    if access.kind == "public":
        return Html("anybody, without a token.")
    if access.kind == "person":
        return Html("whoever has logged in, with the access token.")
    if access.kind == "admin":
        return joined(["admins, with the access token; roles: ", roles, "."])
    if access.kind == "member":
        keys = ", or an API key of it" if access.takes_keys else "; no API key may"
        return joined(
            ["members of the workspace, with the access token", keys, "; roles: ", roles, "."]
        )
    scope = code(access.scope)
    return joined(["OAuth clients, with an access token of the scope ", scope, " or a wider one."])


def _paragraphs(text: str) -> list[Html]:
    return [element("p", prose(one)) for one in text.split("\n\n") if one]


def _examples(commands: Sequence[str]) -> Html:
    return joined(element("pre", code(one, class_="curl")) for one in commands)


def _titled(title: str, content: Html) -> list[Html]:
    return [element("h4", title), content] if content else []


def _parameters(operation: Mapping[str, Any]) -> Html:
    rows = [
        (
            code(one["name"]),
            one["in"],
            type_of(one["schema"]),
            bounds_of(one["schema"]),
            "yes" if one.get("required") else "",
            prose(one.get("description") or one["schema"].get("description", "")),
        )
        for one in operation["parameters"]
    ]
    return table(_PARAMETERS, rows)


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> Html:
    content = operation.get("requestBody", {}).get("content", {})
    return joined(
        part
        for kind, media in content.items()
        for part in (element("p", code(kind)), fields_table(media["schema"], schemas))
    )


def _answers(operation: Mapping[str, Any], schemas: Mapping[str, Schema]) -> Html:
    parts: list[Html] = []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if "$ref" in answer or any(media["schema"] == ERROR for media in content.values()):
            continue
        kinds = separated(", ", [code(kind) for kind in content]) or "nothing"
        about = answer["description"]
        parts.append(element("p", element("strong", status), " ", prose(about), " ", kinds))
        if answer.get("headers"):
            headers = separated(", ", [code(name) for name in answer["headers"]])
            parts.append(element("p", "Headers: ", headers))
        for media in content.values():
            if resolved(media["schema"], schemas).get("type") == "object":
                parts.append(fields_table(media["schema"], schemas))
            for one in media["schema"].get("anyOf", ()):
                parts.append(element("p", type_of(one)))
                if one != ERROR:
                    parts.append(fields_table(one, schemas))
    return joined(parts)


def _errors(refusals: Sequence[Refusal]) -> Html:
    found = sorted({(one.status, one.code, one.message) for one in refusals})
    return table(
        ("status", "code", "message"),
        [(str(status), code(name), message) for status, name, message in found],
    )
