"""Connections that have not made a request: a deadline for the first request's head, and a
bound on how many there may be.

A newcomer is nothing but a buffer and a timer. When the head of its first request is whole,
the connection is given to the HTTP server's own protocol, which sees it from its beginning;
after that nothing of this is left in the way.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from control.http.errors import (
    BAD_REQUEST,
    HEAD_TOO_LARGE,
    REQUEST_TIMEOUT,
    Refusal,
    body_of,
    headers_of,
    new_request_id,
)

HEAD_LIMIT_BYTES = 32 * 1024
TOO_MANY = "too_many_waiting"
_END_OF_HEAD = b"\r\n\r\n"


class Newcomers:
    """The newcomers of one listener. Called, it makes the protocol of a new connection:
    ``loop.create_server(newcomers, host, port)``."""

    def __init__(
        self,
        serve: Callable[[], asyncio.Protocol],
        *,
        timeout_s: float,
        limit: int,
        on_dropped: Callable[[str], None] = lambda code: None,
    ) -> None:
        """``serve`` makes the protocol that a connection with a request is given to. The whole
        head may take ``timeout_s``; when there are more than ``limit``, who has come first
        goes. ``on_dropped(code)`` hears of both: ``request_timeout``, ``too_many_waiting``."""
        self.serve = serve
        self.timeout_s = timeout_s
        self._limit = limit
        self.on_dropped = on_dropped
        self._waiting: dict[Newcomer, None] = {}

    def __call__(self) -> "Newcomer":
        return Newcomer(self)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, newcomer: "Newcomer") -> None:
        self._waiting[newcomer] = None
        if len(self._waiting) > self._limit:
            next(iter(self._waiting)).drop()
            self.on_dropped(TOO_MANY)

    def remove(self, newcomer: "Newcomer") -> None:
        self._waiting.pop(newcomer, None)

    def close(self) -> None:
        """Drop all of them."""
        for newcomer in list(self._waiting):
            newcomer.drop()


class Newcomer(asyncio.Protocol):
    """A connection until the head of its first request is whole."""

    __slots__ = ("_head", "_newcomers", "_timer", "_transport")

    def __init__(self, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._newcomers.timeout_s, self._late)
        self._newcomers.add(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        searched = max(len(self._head) - len(_END_OF_HEAD) + 1, 0)
        # RFC 9112, section 2.2: empty lines before the request are to be ignored.
        self._head = head = self._head + data if self._head else data.lstrip(b"\r\n")
        if not head:
            return
        if _END_OF_HEAD in head[searched:]:
            self._hand_over(self._transport, head)
        elif not b"A" <= head[:1] <= b"Z":  # TLS, most likely
            self._refuse(BAD_REQUEST)
        elif len(head) > HEAD_LIMIT_BYTES:
            self._refuse(HEAD_TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def drop(self) -> None:
        """Close without a word."""
        if (transport := self._leave()) is not None:
            transport.abort()

    def _late(self) -> None:
        self._newcomers.on_dropped(REQUEST_TIMEOUT.label)
        if self._head:
            self._refuse(REQUEST_TIMEOUT)
        else:
            self.drop()

    def _hand_over(self, transport: asyncio.Transport, head: bytes) -> None:
        self._leave()
        protocol = self._newcomers.serve()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(head)

    def _refuse(self, refusal: Refusal) -> None:
        if (transport := self._leave()) is not None:
            transport.write(_whole_response(refusal))
            transport.close()

    def _leave(self) -> asyncio.Transport | None:
        """A newcomer no more. The transport, the first time."""
        transport, self._transport = self._transport, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._head = b""
        self._newcomers.remove(self)
        return transport


def _whole_response(refusal: Refusal) -> bytes:
    """An HTTP response after which the connection is closed."""
    request_id = new_request_id()
    body = body_of(refusal, request_id)
    headers = {
        **headers_of(refusal, request_id),
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
