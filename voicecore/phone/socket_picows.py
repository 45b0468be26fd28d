"""The phone's WebSocket over picows."""

import asyncio
import logging
import ssl
from collections.abc import Mapping

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)
from websockets.frames import Frame, Opcode

from voicecore.phone.socket import (
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    MAX_MESSAGE_BYTES,
    ConnectError,
    Listener,
    PhoneSocket,
    refused,
)

_TEXT, _BINARY, _MORE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION

_NO_CODE = 1005
"""RFC 6455, 7.1.5: the close frame had no code."""

_log = logging.getLogger("voicecore.phone.picows")
_log.setLevel(logging.CRITICAL)
"""What goes wrong on a socket is in the report; picows would also log each disconnect."""


class PicowsSocket(WSListener):
    """See ``PhoneSocket``."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: WSTransport | None = None
        self._fragments = bytearray()
        self._fragment_type = _TEXT
        self._close_timer: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> bool:
        """Has the upgrade succeeded?"""
        return self._transport is not None

    @property
    def buffered_bytes(self) -> int:
        transport = self._transport
        return 0 if transport is None else transport.underlying_transport.get_write_buffer_size()

    def send(self, message: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_disconnected or transport.is_close_frame_sent:
            return
        transport.send(_TEXT, message)

    def close(self) -> None:
        if self._transport is None:
            return
        self._transport.send_close(WSCloseCode.OK)
        self._await_end()

    def drop(self, message: bytes | None = None) -> None:
        if self._transport is None or self._transport.is_disconnected:
            return
        if message is None:
            self._transport.disconnect(graceful=False)
            return
        frame = Frame(Opcode.TEXT, message).serialize(mask=True)
        self._transport.underlying_transport.write(frame[: len(frame) // 2])
        self._transport.disconnect()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            transport.send_close()
            self._await_end()
        elif kind in (_TEXT, _BINARY, _MORE):
            self._data(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.opened:
            return
        if self._close_timer is not None:
            self._close_timer.cancel()
        handshake = transport.close_handshake
        received = None if handshake is None else handshake.recv
        if received is None:
            self._listener.on_closed(None, "")
        else:
            self._listener.on_closed(int(received.code.value) or _NO_CODE, received.reason or "")

    def pause_writing(self) -> None:
        """``buffered_bytes`` is watched instead."""

    def resume_writing(self) -> None:
        """See ``pause_writing``."""

    def _data(self, kind: WSMsgType, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        if kind is not _MORE:
            self._fragment_type = kind
        if not frame.fin or kind is _MORE:
            self._fragments += message
            if len(self._fragments) > MAX_MESSAGE_BYTES:
                self.drop()
            if not frame.fin:
                return
            message = bytes(self._fragments)
            self._fragments.clear()
        if self._fragment_type is _TEXT:
            self._listener.on_message(message)
        else:
            self._listener.on_binary(message)

    def _await_end(self) -> None:
        if self._close_timer is None:
            loop = asyncio.get_running_loop()
            self._close_timer = loop.call_later(CLOSE_TIMEOUT_S, self.drop)


async def connect_picows(
    url: str, headers: Mapping[str, str], listener: Listener, tls: ssl.SSLContext | None
) -> PhoneSocket:
    """See ``Connector``."""
    socket = PicowsSocket(listener)
    try:
        await ws_connect(
            lambda: socket,
            url,
            ssl_context=tls,
            extra_headers=headers,
            max_redirects=0,
            max_frame_size=MAX_MESSAGE_BYTES,
            websocket_handshake_timeout=CONNECT_TIMEOUT_S,
            logger_name=_log,
        )
    except WSHandshakeError as error:
        if error.response is not None and int(error.response.status) != 101:
            raise refused(int(error.response.status), error.raw_body or b"") from error
        raise ConnectError(
            "upgrade_failed", f"the server did not answer the upgrade: {error}"
        ) from error
    except WSError as error:
        raise ConnectError("upgrade_failed", f"the server's upgrade is wrong: {error}") from error
    except BaseException:
        socket.drop()
        raise
    if not socket.opened:
        # picows returns as if all were well when the peer closes before it has answered.
        raise ConnectError("upgrade_failed", "the server closed the connection unanswered")
    return socket
