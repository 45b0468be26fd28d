"""``/openapi.json``, and ``/docs``: the same to read, one page without anything from elsewhere."""

import html
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import orjson
from aiohttp import web

from control.http.endpoint import Endpoint
from control.http.openapi import openapi

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:62rem;padding:1rem;color:#222}
summary{cursor:pointer;padding:.3rem 0;border-top:1px solid #ddd}code,pre{font-family:ui-monospace,
monospace}pre{background:#f6f6f6;padding:.6rem;overflow:auto}.m{display:inline-block;width:4.5rem;
font-weight:600}.get{color:#06742b}.post{color:#0b57a4}.put,.patch{color:#8a5a00}.delete{color:#a11}
input{font:inherit;width:100%;padding:.4rem;margin:.5rem 0;box-sizing:border-box}h2{margin-top:2rem}
"""
_SCRIPT = """
document.querySelector('input').oninput=e=>{const t=e.target.value.toLowerCase();
document.querySelectorAll('details').forEach(d=>d.hidden=!d.querySelector('summary')
.textContent.toLowerCase().includes(t))}
"""


def add_documentation(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    """Serve both."""
    as_json, page = _documentation(tuple(endpoints))

    async def serve_document(_: web.Request) -> web.Response:
        return web.Response(body=as_json, content_type="application/json")

    async def serve_page(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app.router.add_get("/openapi.json", serve_document)
    app.router.add_get("/docs", serve_page)


@lru_cache(1)
def _documentation(endpoints: tuple[Endpoint, ...]) -> tuple[bytes, str]:
    """JSON, and HTML."""
    document = openapi(endpoints, version("voicecore"))
    return orjson.dumps(document), page_of(document)


def page_of(document: dict[str, Any]) -> str:
    """The document as a page."""
    tags: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_entry(path, method, operation))
    entries = "".join(
        f"<h2>{html.escape(tag)}</h2>" + "".join(found) for tag, found in tags.items()
    )
    schemas = "".join(
        f"<details id='{html.escape(name)}'><summary><code>{html.escape(name)}</code></summary>"
        f"{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>voicecore API</title>"
        f"<style>{_STYLE}</style><h1>voicecore API</h1><p>The same for programs: "
        "<a href='/openapi.json'>openapi.json</a></p><input placeholder='find'>"
        f"{entries}<h2>Shapes</h2>{schemas}<script>{_SCRIPT}</script></html>"
    )


def _entry(path: str, method: str, operation: dict[str, Any]) -> str:
    details = {
        name: operation[name]
        for name in ("security", "parameters", "requestBody", "responses")
        if operation.get(name)
    }
    return (
        f"<details><summary><span class='m {method}'>{method.upper()}</span> "
        f"<code>{html.escape(path)}</code> {html.escape(operation['summary'])}</summary>"
        f"<p>{html.escape(operation.get('description', ''))}</p>{_json(details)}</details>"
    )


def _json(value: Any) -> str:
    return f"<pre>{html.escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"
