"""Pages of other origins, such as the portals', may call the API (the Fetch standard's CORS).

Of the paths of the API only, and only where an origin is configured. A browser's own credentials,
as cookies, are never asked for: a token is in a header, which a page must have been given. So an
origin of ``*`` opens nothing that a program elsewhere could not do as well, but in a network that
the world does not reach: there it lets pages of the world call what answers without a token.
"""

from collections.abc import Collection, Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from control.http.endpoint import Endpoint
from control.http.errors import REQUEST_ID
from control.http.idempotency import KEY, REPLAYED
from control.http.limits import NAMES

ANY = "*"
MAX_AGE_S = 7200
"""How long a browser need not ask again; more than this Chromium does not take."""
REQUEST_HEADERS = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    KEY,
    "If-Match",
    "If-None-Match",
    "Range",
)
"""What pages may send besides what they always may."""
RESPONSE_HEADERS = (
    REQUEST_ID,
    *NAMES,
    "Retry-After",
    "ETag",
    "Content-Disposition",
    "Content-Range",
    REPLAYED,
    "WWW-Authenticate",
)
"""What pages may read besides what they always may."""


def headers_of(origins: Collection[str], origin: str) -> dict[str, str]:
    """What an answer has for a page of this origin, or for none of it.

    :param origins: those that may call; ``*`` among them: every one."""
    exposed = {"Access-Control-Expose-Headers": ", ".join(RESPONSE_HEADERS)}
    if ANY in origins:
        return {"Access-Control-Allow-Origin": ANY, **exposed}
    vary = {"Vary": "Origin"}  # or else a cache would give one origin's answer to another
    if origin not in origins:
        return vary
    return {"Access-Control-Allow-Origin": origin, **vary, **exposed}


def preflight_of(
    origins: Collection[str], methods: Iterable[str], request: Mapping[str, str]
) -> dict[str, str] | None:
    """What a browser is told that asks before it sends a page's request. None: it does not ask, or
    the page's origin may not.

    :param request: its headers."""
    asks = "Access-Control-Request-Method" in request and "Origin" in request
    if not asks or not ({ANY, request["Origin"]} & set(origins)):
        return None
    return {
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": ", ".join(REQUEST_HEADERS),
        "Access-Control-Max-Age": str(MAX_AGE_S),
    }


def add_cors(
    app: web.Application,
    origins: Collection[str],
    methods: Iterable[str],
    endpoints: Iterable[Endpoint],
) -> None:
    """Let pages of these origins call what is below the endpoints' paths, whatever is answered."""
    served = frozenset(methods)
    roots = {_root_of(one.path) for one in endpoints}
    if "api" in roots:
        roots.add("v1")  # the same by a shorter path

    @web.middleware
    async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS" and _root_of(request.path) in roots:
            headers = preflight_of(origins, served, request.headers)
            if headers is not None:
                return web.Response(status=204, headers=headers)
        return await handler(request)

    async def tell(request: web.Request, response: web.StreamResponse) -> None:
        # Not in a middleware, to which a file or a stream comes when its head is sent already.
        if _root_of(request.path) in roots:
            headers = headers_of(origins, request.headers.get("Origin", ""))
            response.headers.extend(headers)

    app.middlewares.append(preflight)
    app.on_response_prepare.append(tell)


def _root_of(path: str) -> str:
    """A path's first word."""
    return path[1:].partition("/")[0]
