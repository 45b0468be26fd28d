"""A Deepgram of our own on loopback, as strict as the documentation lets it be.

It refuses what Deepgram refuses (unknown or contradictory query parameters, audio in halves of
samples, a KeepAlive where there is none, a Flush over the limit), never claims to have heard more
than it was sent, and does by itself only what has no choice in it. The rest is up to the test:
``Connection.results`` and its like send a message, ``SpeechPlan`` says how text is spoken.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.deepgram_wire import (
    CONNECTED_SPEAK,
    INTERRUPTED,
    METADATA_SPEAK,
    results_message,
    speech_metadata,
    spoken,
    turn_message,
)
from tests.support.vendor_calls import News

KEY = "test-key"
SAMPLE_BYTES = {"linear16": 2, "mulaw": 1, "alaw": 1}
TRUTH = {"true", "false"}

LISTEN_V1 = set(
    "model language encoding sample_rate channels interim_results endpointing utterance_end_ms "
    "punctuate smart_format numerals filler_words profanity_filter redact keyterm tag "
    "mip_opt_out vad_events".split()
)
LISTEN_V2 = set(
    "model encoding sample_rate eot_threshold eager_eot_threshold eot_timeout_ms keyterm "
    "language_hint numerals profanity_filter redact tag mip_opt_out".split()
)
SPEAK_V1 = set("model encoding sample_rate speed mip_opt_out".split())
SPEAK_V2 = SPEAK_V1 | {"tag"}
PARAMETERS = {
    "/v1/listen": LISTEN_V1,
    "/v2/listen": LISTEN_V2,
    "/v1/speak": SPEAK_V1,
    "/v2/speak": SPEAK_V2,
}
CLIENT_TYPES = {
    "/v1/listen": {"KeepAlive", "Finalize", "CloseStream"},
    "/v2/listen": {"ForceEndTurn", "Configure", "CloseStream"},
    "/v1/speak": {"Speak", "Flush", "Clear", "Close"},
    "/v2/speak": {"Speak", "Flush", "Interrupt", "Configure", "Close"},
}


def objection(path: str, query: dict[str, list[str]]) -> str:
    """Why Deepgram would answer 400, or nothing."""
    if unknown := set(query) - PARAMETERS[path]:
        return f"unknown parameters: {sorted(unknown)}"
    one = {name: values[0] for name, values in query.items()}
    if "model" not in one:
        return "no model"
    if one.get("encoding") not in SAMPLE_BYTES or not one.get("sample_rate", "").isdigit():
        return "encoding needs sample_rate"
    for name in ("interim_results", "punctuate", "smart_format", "numerals", "mip_opt_out"):
        if one.get(name, "true") not in TRUTH:
            return f"{name} is not a boolean"
    if "utterance_end_ms" in one and one.get("interim_results") != "true":
        return "utterance_end_ms needs interim_results"
    if path == "/v1/listen" and "keyterm" in one and not one["model"].startswith("nova-3"):
        return "keyterm needs nova-3"
    if "endpointing" in one and one["endpointing"] != "false" and not one["endpointing"].isdigit():
        return "endpointing is neither false nor a number"
    if path == "/v2/listen" and not one["model"].startswith("flux-"):
        return "v2/listen needs a flux model"
    if "eager_eot_threshold" in one and not 0.3 <= float(one["eager_eot_threshold"]) <= 0.9:
        return "eager_eot_threshold out of range"
    family = {"/v1/speak": "aura-", "/v2/speak": "flux-"}.get(path, "")
    return "" if one["model"].startswith(family) else f"{path} needs a {family} model"


class SpeechPlan(msgspec.Struct):
    """How a connection speaks. ``gate`` holds audio back until it is set; ``late`` is sent
    after a Clear and before its answer; ``confirm_clear`` False leaves it unanswered;
    ``drop_after`` breaks the connection once that many audio bytes went out."""

    ms_per_char: int = 10
    chunk_ms: int = 50
    gate: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    late: bytes = b""
    confirm_clear: bool = True
    confirm_flush: bool = True
    drop_after: int | None = None
    flush_window_s: float = 60.0


class Connection:
    """One accepted socket, as the test sees it."""

    def __init__(self, server: "DeepgramServer", socket: ServerConnection, request: Request):
        address = urlsplit(request.path)
        self.server = server
        self.socket = socket
        self.path = address.path
        self.query = parse_qs(address.query)
        self.headers = request.headers
        self.texts: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.audio_messages: list[int] = []
        self.closed = asyncio.Event()
        self.plan = server.plan
        self.spoken_bytes = 0
        self._sequence = 0
        self._buffer = ""
        self._speaking: asyncio.Task[None] | None = None
        self._flushes: list[float] = []
        self._pending: list[str] = []

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.texts]

    @property
    def bytes_per_s(self) -> int:
        return SAMPLE_BYTES[self.query["encoding"][0]] * int(self.query["sample_rate"][0])

    @property
    def heard_s(self) -> float:
        return len(self.audio) / self.bytes_per_s

    async def until(self, condition: Callable[[], bool]) -> None:
        await self.server.news.until(condition)

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def results(self, text: str, start: float, duration: float, **flags: Any) -> None:
        """A ``Results`` whose words share its time evenly."""
        if start + duration > self.heard_s + 0.001:
            raise AssertionError(f"{start + duration} s of {self.heard_s} s heard")
        await self.send(results_message(text, start, duration, **flags))

    async def turn(self, event: str, text: str, end: float, *, index: int = 0, **more: Any) -> None:
        if end > self.heard_s + 0.001:
            raise AssertionError(f"{end} s of {self.heard_s} s heard")
        self._sequence += 1
        await self.send(turn_message(event, text, end, index, self._sequence, **more))

    async def drop(self) -> None:
        """Break the connection without a word."""
        self.socket.transport.abort()
        await self.closed.wait()

    async def run(self) -> None:
        try:
            if self.path == "/v2/listen":
                await self.send({"type": "Connected", "request_id": "r", "sequence_id": 0})
            elif self.path == "/v2/speak":
                await self.send(CONNECTED_SPEAK)
            elif self.path == "/v1/speak":
                await self.send(METADATA_SPEAK)
            while True:
                if not self.server.reading.is_set():
                    await self.server.reading.wait()
                await self._take(await self.socket.recv())
                self.server.news.tell()
        except ConnectionClosed:
            pass
        finally:
            if self._speaking is not None:
                self._speaking.cancel()
            self.closed.set()
            self.server.news.tell()

    async def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._take_audio(message)
            return
        known = json.loads(message)
        self.texts.append(known)
        if known.get("type") not in CLIENT_TYPES[self.path]:
            if known.get("type") == "KeepAlive":
                self.socket.transport.abort()
            await self.socket.close(1008, "DATA-0000 unknown message")
        elif known["type"] in ("CloseStream", "Close"):
            await self.socket.close(1000)
        elif self.path.endswith("/speak"):
            await self._speak(known)

    async def _take_audio(self, message: bytes) -> None:
        if self.path.endswith("/speak"):
            await self.socket.close(1003, "MESSAGE-0000")
        elif not message:
            await self.socket.close(1000)
        elif len(message) % SAMPLE_BYTES[self.query["encoding"][0]]:
            await self.socket.close(1008, "DATA-0000 payload cannot be decoded as audio")
        else:
            self.audio += message
            self.audio_messages.append(len(message))

    async def _speak(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "Speak":
            self._buffer += message["text"]
            if len(self._buffer) > 2000:
                await self.socket.close(1009, "BIG-0001")
        elif kind == "Flush":
            now = asyncio.get_running_loop().time()
            self._flushes = [at for at in self._flushes if now - at < self.plan.flush_window_s] + [
                now
            ]
            if self.path == "/v1/speak" and len(self._flushes) > 20:
                await self.send({"type": "Warning", "code": "FLUSH", "description": "too many"})
                return
            self._pending.append(self._buffer)
            self._buffer = ""
            if self._speaking is None or self._speaking.done():
                self._speaking = asyncio.create_task(self._say_pending())
        else:
            await self._clear()

    async def _clear(self) -> None:
        active = bool(self._pending or self._buffer)
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait([self._speaking])
        self._pending, self._buffer = [], ""
        if self.plan.late:
            await self.send(self.plan.late)
        if not self.plan.confirm_clear:
            return
        if self.path == "/v1/speak":
            await self.send({"type": "Cleared", "sequence_id": self._next()})
        elif active:
            await self.send(INTERRUPTED)
        else:
            await self.send(
                {"type": "Warning", "code": "NO_ACTIVE_SPEECH", "description": "no turn"}
            )

    async def _say_pending(self) -> None:
        try:
            while self._pending:
                await self._say(self._pending[0])
                self._pending.pop(0)
        except ConnectionClosed:
            return

    async def _say(self, text: str) -> None:
        v2 = self.path == "/v2/speak"
        if v2:
            await self.send({"type": "SpeechStarted", "speech_id": "dg_sp_000000000001"})
        duration_ms = len(text.strip()) * self.plan.ms_per_char
        audio = spoken(text, duration_ms * self.bytes_per_s // 1000)
        step = self.plan.chunk_ms * self.bytes_per_s // 1000
        for at in range(0, len(audio), step):
            await self.plan.gate.wait()
            await self.send(audio[at : at + step])
            self.spoken_bytes += len(audio[at : at + step])
            if self.plan.drop_after is not None and self.spoken_bytes >= self.plan.drop_after:
                self.socket.transport.abort()
        if not self.plan.confirm_flush:
            return
        if v2:
            await self.send(speech_metadata(text, duration_ms))
        else:
            await self.send({"type": "Flushed", "sequence_id": self._next()})

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


class DeepgramServer:
    """``async with DeepgramServer() as server``; ``server.url`` is the ``base_url`` setting.

    ``refuse`` answers upgrades with HTTP statuses, one each, then accepts; ``upgrade`` holds
    them back while it is clear; ``reading`` cleared means that nothing is read any more."""

    def __init__(self) -> None:
        self.refuse: list[int] = []
        self.objections: list[str] = []
        self.upgrade = asyncio.Event()
        self.upgrade.set()
        self.reading = asyncio.Event()
        self.reading.set()
        self.plan = SpeechPlan()
        self.plan.gate.set()
        self.connections: list[Connection] = []
        self.news = News()
        self._server: Server | None = None

    async def __aenter__(self) -> "DeepgramServer":
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, close_timeout=0.5, max_queue=4
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.upgrade.set()
        self.reading.set()
        for connection in self.connections:
            connection.socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def connection(self, number: int = 0) -> Connection:
        await self.news.until(lambda: len(self.connections) > number)
        return self.connections[number]

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        await self.upgrade.wait()
        if self.refuse:
            return _answer(self.refuse.pop(0), '{"err_code":"SCRIPTED","err_msg":"as told"}')
        if request.headers.get("Authorization") != f"Token {KEY}":
            return _answer(401, '{"err_code":"INVALID_AUTH"}')
        address = urlsplit(request.path)
        if address.path not in PARAMETERS:
            return _answer(404, "no such path")
        if wrong := objection(address.path, parse_qs(address.query)):
            self.objections.append(wrong)
            return _answer(400, wrong)
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = Connection(self, socket, socket.request)
        self.connections.append(connection)
        self.news.tell()
        await connection.run()


def _answer(status: int, text: str) -> Response:
    body = text.encode()
    headers = Headers([("Content-Length", str(len(body))), ("Connection", "close")])
    return Response(status, "Refused", headers, body)
