"""Carriers' media streams on the common HTTP port (aiohttp).

Reading goes through aiohttp; sending does not: a server's frame is a header and the text
(RFC 6455, section 5.2; servers do not mask), so it is written to the transport whole, without
a coroutine. No compression is agreed on, so nothing else has to happen to it.
"""

import asyncio
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from control.http.errors import log_stream_bug
from media.transport import Connection

STREAM_BUG = "internal_error"
MAX_MESSAGE_BYTES = 64 * 1024
_TEXT = 0x81  # FIN and opcode 1


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final WebSocket text frame."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 65536:
        return bytes((_TEXT, 126, size >> 8, size & 255)) + payload
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + payload


class AiohttpSocket:
    """Implements ``media.transport.Socket`` on an upgraded aiohttp request."""

    def __init__(self, response: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._response = response
        self._transport = transport
        self._closing: asyncio.Task[bool] | None = None

    def send(self, text: bytes) -> None:
        if self._closing is None and not self._transport.is_closing():
            self._transport.write(text_frame(text))

    def unread_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            closing = self._response.close(code=code, message=reason.encode()[:120])
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def closed(self) -> None:
        """Wait for a close that is under way."""
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)


async def serve_media(
    request: web.Request,
    connect: Callable[[AiohttpSocket], Connection],
    request_id: str,
) -> web.StreamResponse:
    """Upgrade the request and feed its messages to a connection until either side closes. A bug
    on the way is logged and closes this socket, with 1011."""
    response = web.WebSocketResponse(
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        autoping=True,
        timeout=2.0,
        decode_text=False,
    )
    await response.prepare(request)
    transport = request.transport
    if transport is None:  # gone already
        return response
    socket = AiohttpSocket(response, transport)
    connection: Connection | None = None
    try:
        connection = connect(socket)
        await _read(response, connection)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - logged
        log_stream_bug(error, request_id)
        socket.close(WSCloseCode.INTERNAL_ERROR, STREAM_BUG)
        if connection is not None:
            connection.unreadable(STREAM_BUG, "")
    finally:
        if connection is not None:
            connection.socket_closed()
        await socket.closed()
    return response


async def _read(response: web.WebSocketResponse, connection: Connection) -> None:
    message = connection.message
    while True:
        received = await response.receive()
        if received.type is WSMsgType.TEXT:
            message(received.data)
        elif received.type is WSMsgType.BINARY:
            connection.unreadable("malformed_message", "a binary frame")
        elif received.type is WSMsgType.ERROR:
            too_large = getattr(received.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
            code = "message_too_large" if too_large else "malformed_frame"
            connection.unreadable(code, str(received.data)[:200])
            return
        else:
            return
