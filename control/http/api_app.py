"""The API's routes, made from the declarations."""

from collections.abc import Iterable
from itertools import product

from aiohttp import web

from control.http.cors import add_cors
from control.http.dispatch import handler_of, others_refused
from control.http.docs_page import add_documentation
from control.http.endpoint import Endpoint
from control.plane import Plane


def add_api(app: web.Application, plane: Plane, endpoints: Iterable[Endpoint]) -> None:
    """Serve the endpoints, and their documentation.

    :raises ValueError: two have the same method and path."""
    declared = tuple(endpoints)
    seen: set[tuple[str, str]] = set()
    for endpoint in declared:
        place = (endpoint.method, endpoint.path)
        if place in seen:
            raise ValueError(f"{endpoint} is declared twice")
        seen.add(place)
    # Of two paths that fit, aiohttp takes the first: fixed words go before places.
    for endpoint in sorted(declared, key=lambda one: one.path.replace("{", "~")):
        handler = handler_of(plane, endpoint)
        paths = [endpoint.path]
        if endpoint.path.startswith("/api/v1/"):
            paths.append(endpoint.path.removeprefix("/api"))
        for method, path in product(methods_of(endpoint), paths):
            app.router.add_route(method, path, handler)
        if endpoint.other_form is not None:  # which has its path for itself
            app.router.add_route("*", endpoint.path, others_refused(endpoint))
    if plane.settings.cors_origins:
        methods = {method for one in declared for method in methods_of(one)}
        add_cors(app, plane.settings.cors_origins, methods, declared)
    add_documentation(app, declared)


def methods_of(endpoint: Endpoint) -> tuple[str, ...]:
    """What it is served by: HEAD is GET, of whose answer aiohttp leaves the body away (RFC 9110,
    9.3.2)."""
    return ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,)
