"""The baseline: the same conversation with no engine, straight on the socket.

    python -m benchmarks.bare OUT.json

It hears the caller (JSON, mu-law, voice activity), answers 335 ms after 200 ms of silence with
two seconds of audio in the same chunks and with the same lead as the engine, and stops when it
is interrupted. No vendors, no turns, no history, no events, no files, no errors handled: what it
costs is the least that any server in this language pays for a call.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import msgspec
import pybase64
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benchmarks.instrumented import Stopwatch
from media.audio.format import MULAW_8K
from media.vad.webrtc import WebRtcVad
from voicecore.adapters.scripted_tts import sound_chunks

HOST = "127.0.0.1"
CHUNK_MS, LEAD_MS = 60, 200
DELAY_MS = 335
GREETING_MS, REPLY_MS = 500, 2000
STOP_FRAMES, START_FRAMES, INTERRUPT_FRAMES = 10, 3, 15

CHUNKS = tuple(pybase64.b64encode(chunk.payload) for chunk in sound_chunks(MULAW_8K, CHUNK_MS, 0))


class _Media(msgspec.Struct, gc=False):
    payload: bytes


class _Start(msgspec.Struct, rename="camel"):
    stream_sid: str


class _Message(msgspec.Struct, gc=False):
    event: str
    media: _Media | None = None
    start: _Start | None = None


_decode = msgspec.json.Decoder(_Message).decode


class BareCall(WSListener):
    """One call: a counter of voiced frames, and a timer for the next chunk."""

    live = 0

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._loop = asyncio.get_running_loop()
        self._is_voiced = WebRtcVad(MULAW_8K, 2).voiced
        self._transport: WSTransport | None = None
        self._head = self._clear = b""
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = 0.0
        self._left_ms = 0
        self._sent = 0
        self._voiced = self._quiet = 0
        self._speaking = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        BareCall.live += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._stop()
        self._transport = None
        BareCall.live -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
            return
        message = _decode(frame.get_payload_as_bytes())
        if message.media is not None:
            self._hear(self._is_voiced(message.media.payload))
        elif message.start is not None:
            sid = message.start.stream_sid.encode()
            self._head = b'{"event":"media","streamSid":"%b","media":{"payload":"' % sid
            self._clear = b'{"event":"clear","streamSid":"%b"}' % sid
            self._say(GREETING_MS, 0)

    def _hear(self, voiced: bool) -> None:
        if voiced:
            self._voiced += 1
            self._quiet = 0
            if self._voiced >= START_FRAMES:
                self._speaking = True
            if self._voiced >= INTERRUPT_FRAMES and self._timer is not None:
                self._stop()
                if self._transport is not None:
                    self._transport.send(WSMsgType.TEXT, self._clear)
        elif self._speaking:
            self._quiet += 1
            if self._quiet >= STOP_FRAMES:
                self._speaking = False
                self._voiced = 0
                self._say(REPLY_MS, DELAY_MS)
        else:
            self._voiced = 0

    def _say(self, duration_ms: int, delay_ms: int) -> None:
        self._stop()
        self._left_ms = duration_ms
        self._sent = 0
        self._due_ms = time.monotonic() * 1000 + delay_ms
        self._arm()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        delay_s = self._due_ms / 1000 - time.monotonic() + 0.0005
        self._timer = self._loop.call_later(max(delay_s, 0), self._chunk)

    def _chunk(self) -> None:
        self._timer = None
        transport = self._transport
        if transport is None:
            return
        self._stopwatch.frame(round(self._due_ms))
        transport.send(WSMsgType.TEXT, self._head + CHUNKS[self._sent % len(CHUNKS)] + b'"}}')
        self._sent += 1
        self._left_ms -= CHUNK_MS
        ahead = (self._sent + 1) * CHUNK_MS <= LEAD_MS
        if self._left_ms > 0:
            self._due_ms += 0 if ahead else CHUNK_MS
            self._arm()


async def serve(stopwatch: Stopwatch) -> None:
    """Answer on a free loopback port until a signal ends it."""
    loop = asyncio.get_running_loop()
    stopwatch.start(loop)

    def listener(_: WSUpgradeRequest) -> WSListener:
        return BareCall(stopwatch)

    async def live_calls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"calls": BareCall.live}).encode()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    media = await ws_create_server(listener, HOST, 0)
    http = await asyncio.start_server(live_calls, HOST, 0)
    for event, server in (("media port", media), ("ready", http)):
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"event": event, "url": f"ws://{HOST}:{port}/media"}), flush=True)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    media.close()
    http.close()


def main(out: str) -> None:
    stopwatch = Stopwatch()
    uvloop.run(serve(stopwatch))
    Path(out).write_bytes(msgspec.json.encode(stopwatch.samples()))


if __name__ == "__main__":
    main(sys.argv[1])
