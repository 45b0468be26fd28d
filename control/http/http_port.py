"""The common port: HTTP and media streams (aiohttp), behind a deadline for the first request.

aiohttp closes a connection that says nothing after its keep-alive timeout, which has to be
long, and its errors for what is no HTTP have a form of their own. Both are mended from
outside: ``Newcomers`` accepts the connections, and one method of aiohttp's ``RequestHandler``,
``handle_error``, is replaced. That it is called, and that a handler can be made by hand, is
all that is relied on here besides aiohttp's documentation; tests/control/test_newcomers.py
fails where it is not so.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from control.http.errors import BAD_REQUEST, INTERNAL_ERROR, new_request_id, response_of
from control.http.newcomers import Newcomers

BACKLOG = 1024
KEEPALIVE_S = 75.0
"""How long a connection may wait for its next request, and for that one's whole head."""
HEAD_TIMEOUT_S = 10.0
"""How long the head of the first request may take."""
LINGER_S = 2.0
"""How long the rest of a body is read that nobody wants, so that the peer reads our answer."""
MAX_NEWCOMERS = 2 * BACKLOG
"""More than come at once: a rush of calls makes its requests before it is taken for a crowd of
silent connections."""


class HttpPort:
    """Serves an application."""

    def __init__(
        self, app: web.Application, *, on_dropped: Callable[[str], None] = lambda code: None
    ) -> None:
        """``on_dropped(code)``: a connection was closed that made no request, see
        ``Newcomers``."""
        self._runner = web.AppRunner(app)
        self._newcomers = Newcomers(
            self._serve, timeout_s=HEAD_TIMEOUT_S, limit=MAX_NEWCOMERS, on_dropped=on_dropped
        )
        self._server: asyncio.Server | None = None

    @property
    def newcomers(self) -> int:
        """Connections that have not made a request."""
        return len(self._newcomers)

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one for 0.

        :raises OSError: the address cannot be listened on."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._newcomers, host, port, backlog=BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close the listener and every connection. Requests that are answered may end."""
        if self._server is not None:
            self._server.close()
        self._newcomers.close()
        await self._runner.cleanup()

    def _serve(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the port is closed")
        options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": KEEPALIVE_S,
            "lingering_time": LINGER_S,
            "auto_decompress": False,  # whoever wants a body knows how much it may unfold to
        }
        return _RequestHandler(server, loop=asyncio.get_running_loop(), **options)


class _RequestHandler(web.RequestHandler):
    """aiohttp's protocol of one connection, with our form of errors."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what aiohttp could not read as HTTP, or to a peer that is gone. It is
        the peer's doing, so nothing is logged; bugs were logged by the middleware."""
        if request.writer.output_size:
            raise ConnectionResetError("the response had begun")
        refusal = INTERNAL_ERROR if status >= 500 else BAD_REQUEST
        response = response_of(refusal, new_request_id())
        response.force_close()
        return response
