"""Carriers' media streams on a port of their own (picows): the same legs, less CPU a frame.

Nothing but media streams is served here. picows calls back with each frame as it is read, so
a 20 ms frame takes no task and no queue at all.
"""

import asyncio
import logging

import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from control.http.errors import (
    INTERNAL_ERROR,
    NOT_FOUND,
    Refusal,
    body_of,
    headers_of,
    log_stream_bug,
    new_request_id,
)
from control.http.media_entrance import MediaEntrance, Upgrade
from control.http.media_socket import MAX_MESSAGE_BYTES, STREAM_BUG
from media.carriers import CARRIERS, CarrierKind
from media.transport import Connection

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
BACKLOG = 128
"""Whatever waits is accepted and upgraded in one go, 0.2 ms each, and live calls wait for it."""
READ_BUFFER_BYTES = 2048
"""At first; a message of 20 ms has 300. Every silent connection has such a buffer."""

log = structlog.get_logger("control.http")

_TEXT, _MORE = WSMsgType.TEXT, WSMsgType.CONTINUATION
_log = logging.getLogger("voicecore.media_port")
_log.setLevel(logging.CRITICAL)  # what goes wrong on a socket is in the call's own record


class PicowsSocket(WSListener):
    """Implements ``media.transport.Socket`` and feeds the connection it belongs to."""

    def __init__(
        self, entrance: MediaEntrance, kind: CarrierKind, path_token: str, request_id: str
    ) -> None:
        self._entrance = entrance
        self._request_id = request_id
        self._kind = kind
        self._path_token = path_token
        self._connection: Connection | None = None
        self._transport: WSTransport | None = None
        self._parts = bytearray()
        self._closing = False

    # From picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        try:
            self._connection = self._entrance.connect(self._kind, self, path_token=self._path_token)
        except Exception as error:  # noqa: BLE001 - logged
            self._fail(error)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            self._take(transport, frame)
        except Exception as error:  # noqa: BLE001 - logged
            self._fail(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        try:
            if self._connection is not None:
                self._connection.socket_closed()
        except Exception as error:  # noqa: BLE001 - logged
            self._fail(error)

    def pause_writing(self) -> None:
        """``unread_bytes`` is watched instead."""

    def resume_writing(self) -> None:
        """See ``pause_writing``."""

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self._connection
        if connection is None:
            return
        kind = frame.msg_type
        if self._closing and kind is not WSMsgType.CLOSE:
            return  # what comes meanwhile is not even kept
        if kind is _TEXT and frame.fin:
            connection.message(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind is _TEXT or (kind is _MORE and self._parts):
            self._fragment(connection, frame)
        elif kind is not WSMsgType.PING and kind is not WSMsgType.PONG:
            connection.unreadable("malformed_message", "a binary frame")

    def _fail(self, error: Exception) -> None:
        """A bug, which picows would keep to itself: it closes this socket and no other."""
        log_stream_bug(error, self._request_id)
        self.close(WSCloseCode.INTERNAL_ERROR.value, STREAM_BUG)
        if self._connection is not None:
            self._connection.unreadable(STREAM_BUG, "")

    def _fragment(self, connection: Connection, frame: WSFrame) -> None:
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > MAX_MESSAGE_BYTES:
            connection.unreadable("message_too_large", "in fragments")
        elif frame.fin:
            message = bytes(self._parts)
            self._parts.clear()
            connection.message(message)

    # To the carrier

    def send(self, text: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.send(_TEXT, text)

    def unread_bytes(self) -> int:
        if self._transport is None:
            return 0
        return self._transport.underlying_transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        self._closing = True
        if transport.is_disconnected:
            return
        transport.send_close(WSCloseCode(code), reason.encode()[:120])
        loop = asyncio.get_running_loop()
        loop.call_later(CLOSE_TIMEOUT_S, transport.disconnect)


async def open_media_port(entrance: MediaEntrance, host: str, port: int) -> asyncio.Server:
    """Listen for media streams; closing the server takes no more of them."""

    def listener(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        request_id = new_request_id()
        try:
            served = _route(entrance, request, request_id)
        except Exception as error:  # as in the middleware: picows would tell the peer of it
            log.error("request failed by a bug", request_id=request_id, exc_info=error)
            served = INTERNAL_ERROR
        return _refusal(served, request_id) if isinstance(served, Refusal) else served

    return await ws_create_server(
        listener,
        host,
        port,
        websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
        max_frame_size=MAX_MESSAGE_BYTES,
        logger_name=_log,
        read_buffer_init_size=READ_BUFFER_BYTES,
        backlog=BACKLOG,
    )


def _route(
    entrance: MediaEntrance, request: WSUpgradeRequest, request_id: str
) -> PicowsSocket | Refusal:
    path = request.path.decode(errors="replace")
    headers = {name.lower(): value for name, value in request.headers.items()}
    for kind in CARRIERS:
        if path == kind.path or path.startswith(kind.path + "/"):
            upgrade = Upgrade(path, headers, request_id=request_id)
            if (problem := entrance.refuses(kind, upgrade)) is not None:
                return problem
            return PicowsSocket(entrance, kind, path[len(kind.path) + 1 :], request_id)
    return NOT_FOUND


def _refusal(refusal: Refusal, request_id: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(
        WSUpgradeResponse.create_error_response(
            refusal.status, body_of(refusal, request_id), headers_of(refusal, request_id)
        ),
        None,
    )
