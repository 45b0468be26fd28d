"""The phone's WebSocket over websockets' protocol core, which does no I/O.

websockets' own asyncio client needs an ``await`` for each message sent, and with it a task per
frame; a phone with hundreds of calls cannot afford that.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from voicecore.phone.socket import (
    CLOSE_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    ConnectError,
    Listener,
    PhoneSocket,
    refused,
)


class WebsocketsSocket(asyncio.Protocol):
    """See ``PhoneSocket``."""

    def __init__(self, url: str, headers: Mapping[str, str], listener: Listener) -> None:
        self._websocket = ClientProtocol(parse_uri(url), max_size=MAX_MESSAGE_BYTES)
        self._headers = headers
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._fragments = bytearray()
        self._fragment_opcode = Opcode.TEXT
        self._close_timer: asyncio.TimerHandle | None = None
        self._opened = False
        self._closed = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def buffered_bytes(self) -> int:
        """What the peer has not yet read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, message: bytes) -> None:
        """Send a text message; after the end, nothing."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_text(message)
            self._flush()

    def close(self) -> None:
        """Say goodbye (1000) and wait for the peer's, for a while."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_close(1000)
            self._flush()
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_TIMEOUT_S, self.drop)

    def drop(self, message: bytes | None = None) -> None:
        """Vanish, with ``message`` after half of its frame."""
        if self._transport is None:
            return
        if message is None:
            self._transport.abort()
            return
        frame = Frame(Opcode.TEXT, message).serialize(mask=True)
        self._transport.write(frame[: len(frame) // 2])
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._websocket.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._websocket.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._websocket.receive_data(data)
        self._flush()
        self._take_events()
        if self._websocket.close_expected() and self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_TIMEOUT_S, self.drop)

    def eof_received(self) -> None:
        self._websocket.receive_eof()
        self._flush()
        self._take_events()

    def connection_lost(self, error: Exception | None) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        if not self._opened:
            if not self.ready.done():
                wrong = self._websocket.handshake_exc or "it closed the connection"
                self.ready.set_exception(
                    ConnectError(
                        "upgrade_failed", f"the server did not answer the upgrade: {wrong}"
                    )
                )
            return
        if not self._closed:
            self._closed = True
            received = self._websocket.close_rcvd
            self._listener.on_closed(
                received.code if received else None, received.reason if received else ""
            )

    def _take_events(self) -> None:
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)

    def _answered(self, response: Response) -> None:
        if self.ready.done():
            return
        if response.status_code == 101 and self._websocket.handshake_exc is None:
            self._opened = True
            self.ready.set_result(None)
            return
        if response.status_code == 101:
            wrong = f"the server's upgrade is wrong: {self._websocket.handshake_exc}"
            self.ready.set_exception(ConnectError("upgrade_failed", wrong))
            return
        self.ready.set_exception(refused(response.status_code, bytes(response.body or b"")))

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            if frame.fin:
                self._deliver(frame.opcode, bytes(frame.data))
                return
            self._fragment_opcode = frame.opcode
            self._fragments[:] = frame.data
        elif frame.opcode is Opcode.CONT:
            self._fragments += frame.data
            if frame.fin:
                message = bytes(self._fragments)
                self._fragments.clear()
                self._deliver(self._fragment_opcode, message)

    def _deliver(self, opcode: Opcode, message: bytes) -> None:
        if opcode is Opcode.TEXT:
            self._listener.on_message(message)
        else:
            self._listener.on_binary(message)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            self._websocket.data_to_send()
            return
        for data in self._websocket.data_to_send():
            if data:
                transport.write(data)
            elif transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()


async def connect_websockets(
    url: str, headers: Mapping[str, str], listener: Listener, tls: ssl.SSLContext | None
) -> PhoneSocket:
    """See ``Connector``."""
    try:
        uri = parse_uri(url)
        socket = WebsocketsSocket(url, headers, listener)
    except InvalidURI as error:
        raise ConnectError("bad_url", f"not a WebSocket URL: {error}") from error
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: socket, uri.host, uri.port, ssl=tls)
        await socket.ready
    except BaseException:
        socket.drop()
        raise
    return socket
