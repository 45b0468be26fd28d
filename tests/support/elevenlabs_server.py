"""A loopback server of ElevenLabs' multi-context speech socket, as strict as its documentation.

Source: elevenlabs.io/docs, "Multi-Context WebSocket". What the documents forbid closes the socket
with 1008 and is kept in ``Connection.fault``. Text is "spoken" as ``MS_PER_CHARACTER`` of audio
for each character, in chunks of ``chunk_characters``; ``Speech`` says how.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.vendor_calls import News

KEY = "test-key"
MS_PER_CHARACTER = 20
MAX_CONTEXTS = 5
BYTES_PER_MS = {"ulaw_8000": 8, "alaw_8000": 8, "pcm_16000": 32, "pcm_24000": 48}
QUERY = {
    "model_id": str.isascii,
    "output_format": BYTES_PER_MS.__contains__,
    "auto_mode": {"true", "false"}.__contains__,
    "sync_alignment": {"true", "false"}.__contains__,
    "enable_ssml_parsing": {"true", "false"}.__contains__,
    "enable_logging": {"true", "false"}.__contains__,
    "inactivity_timeout": lambda value: 1 <= int(value) <= 180,
    "language_code": lambda value: len(value) == 2,
    "apply_text_normalization": {"auto", "on", "off"}.__contains__,
    "seed": str.isdigit,
}
FIELDS: dict[str, type] = {
    "text": str,
    "context_id": str,
    "voice_settings": dict,
    "generation_config": dict,
    "flush": bool,
    "close_context": bool,
    "close_socket": bool,
}
VOICE_FIELDS = {"stability", "similarity_boost", "style", "use_speaker_boost", "speed"}


async def _at_once(context: str, chunk: int) -> None:
    return


class Speech(msgspec.Struct):
    """``before`` is awaited ahead of each audio chunk, with its context and number. ``align``
    gives a chunk's alignment from its characters. ``late`` chunks follow the closing of a
    context that was not flushed. ``confirm`` False never says ``isFinal``. ``loses`` is the bug:
    a context closed before its first audio ends without any."""

    chunk_characters: int = 7
    before: Callable[[str, int], Awaitable[None]] = _at_once
    align: Callable[[str], dict[str, Any]] | None = None
    snake_case: bool = False
    nameless: bool = False
    late: int = 0
    confirm: bool = True
    loses: bool = True
    mute: bool = False


def aligned(text: str, key: str = "alignment") -> dict[str, Any]:
    """The alignment of a chunk whose characters all last equally long."""
    starts = [at * MS_PER_CHARACTER for at in range(len(text))]
    times = {
        "chars": list(text),
        "charStartTimesMs": starts,
        "charDurationsMs": [MS_PER_CHARACTER] * len(text),
    }
    return {"alignment": None, "normalizedAlignment": None, key: times}


class _Objection(Exception):
    pass


class _Context:
    def __init__(self, id_: str) -> None:
        self.id = id_
        self.work: asyncio.Queue[str | None] = asyncio.Queue()
        self.flushed = False
        self.spoken = 0
        self.closed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Connection:
    """One client. ``received`` and ``sent`` are its messages, decoded."""

    def __init__(self, socket: ServerConnection, path: str, speech: Speech) -> None:
        parts = urlsplit(path)
        self.voice = unquote(parts.path.split("/")[3])
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.received: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.contexts: dict[str, _Context] = {}
        self.seen: set[str] = set()
        self.fault = ""
        self.closed = asyncio.Event()
        self.most_contexts = 0
        self._socket = socket
        self._speech = speech
        self._news = News()

    async def until(self, found: Callable[[], bool]) -> None:
        await self._news.until(found)

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        if isinstance(message, dict):
            self.sent.append(message)
        await self._socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def drop(self) -> None:
        self._socket.transport.abort()

    async def run(self) -> None:
        try:
            async for data in self._socket:
                await self._take(data)
        except _Objection as objection:
            self.fault = str(objection)
            await self._object(self.fault)
        except ConnectionClosed:
            pass
        finally:
            for context in self.contexts.values():
                if context.task is not None:
                    context.task.cancel()
            self.closed.set()
            self._news.tell()

    async def _object(self, text: str) -> None:
        name, _, rest = text.partition(": ")
        await self.send({"message": rest or name, "error": name, "code": 1008})
        await self._socket.close(1008, text[:120])

    async def _take(self, data: str | bytes) -> None:
        _require(isinstance(data, str), "invalid_message: binary")
        message = json.loads(data)
        self.received.append(message)
        for name, value in message.items():
            _require(name in FIELDS, f"invalid_message: unknown field {name}")
            _require(isinstance(value, FIELDS[name]), f"invalid_message: type of {name}")
        if message.get("close_socket"):
            await self._socket.close(1000)
        else:
            self._dispatch(message)
        self._news.tell()

    def _dispatch(self, message: dict[str, Any]) -> None:
        id_ = message.get("context_id", "default")
        context = self.contexts.get(id_)
        text = message.get("text")
        if context is None:
            if message.get("close_context") and id_ in self.seen:
                return
            _require(id_ not in self.seen, f"invalid_message: context {id_} is closed")
            _require(text in (" ", ""), "invalid_message: a context begins with a space")
            self._open(id_, message.get("voice_settings", {}))
            return
        _require("voice_settings" not in message, "invalid_message: voice settings only at first")
        if message.get("close_context"):
            context.closed.set()
            context.work.put_nowait(None)
            return
        if text:
            _require(text.endswith(" "), "invalid_message: text must end with a space")
            _require(bool(text.strip()), "invalid_message: no text")
            context.work.put_nowait(text)
        context.flushed = context.flushed or bool(message.get("flush"))

    def _open(self, id_: str, voice: dict[str, Any]) -> None:
        _require(not voice.keys() - VOICE_FIELDS, "invalid_message: unknown voice setting")
        full = len(self.contexts) == MAX_CONTEXTS
        _require(
            not full,
            "max_active_conversations: Maximum simultaneous contexts per WebSocket connection "
            "exceeded (5).",
        )
        context = self.contexts[id_] = _Context(id_)
        self.seen.add(id_)
        self.most_contexts = max(self.most_contexts, len(self.contexts))
        context.task = asyncio.get_running_loop().create_task(self._speak(context))

    async def _speak(self, context: _Context) -> None:
        speech = self._speech
        try:
            while (text := await context.work.get()) is not None:
                if speech.loses and context.closed.is_set() and not context.spoken:
                    break
                await self._speak_text(context, text)
            if context.closed.is_set() and not context.flushed:
                for _ in range(speech.late):
                    await self._audio(context, "late ")
            if speech.confirm:
                name = "is_final" if speech.snake_case else "isFinal"
                await self.send({name: True, **self._name(context)})
                del self.contexts[context.id]
            self._news.tell()
        except ConnectionClosed:
            return

    async def _speak_text(self, context: _Context, text: str) -> None:
        size = self._speech.chunk_characters
        for at in range(0, len(text), size):
            if context.closed.is_set() and not context.flushed:
                return
            await self._speech.before(context.id, context.spoken)
            await self._audio(context, text[at : at + size])

    async def _audio(self, context: _Context, text: str) -> None:
        if self._speech.mute:
            return
        context.spoken += 1
        count = len(text) * MS_PER_CHARACTER * BYTES_PER_MS[self.query["output_format"]]
        audio = bytes([context.spoken % 256]) * count
        align = self._speech.align or aligned
        encoded = base64.b64encode(audio).decode()
        await self.send({"audio": encoded, **align(text), **self._name(context)})

    def _name(self, context: _Context) -> dict[str, str]:
        if self._speech.nameless:
            return {}
        return {"context_id" if self._speech.snake_case else "contextId": context.id}


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Objection(otherwise)


class ElevenLabsServer:
    def __init__(self) -> None:
        self.speech = Speech()
        self.refusal: int | None = None
        self.handshake: asyncio.Event | None = None
        self.connections: list[Connection] = []
        self._news = News()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None
        )
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection in self.connections:
            connection.drop()
        await self._server.wait_closed()

    async def connection(self, number: int = 1) -> Connection:
        """Wait for so many connections; the last of them."""
        await self._news.until(lambda: len(self.connections) >= number)
        return self.connections[number - 1]

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.handshake is not None:
            await self.handshake.wait()
        if self.refusal is not None:
            return socket.respond(HTTPStatus(self.refusal), "refused\n")
        if request.headers.get("xi-api-key") != KEY:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "invalid_api_key\n")
        parts = urlsplit(request.path)
        steps = parts.path.split("/")
        if steps[1:3] != ["v1", "text-to-speech"] or steps[4:] != ["multi-stream-input"]:
            return socket.respond(HTTPStatus.NOT_FOUND, "no such route\n")
        query = parse_qs(parts.query)
        for name, values in query.items():
            if name not in QUERY or len(values) != 1 or not QUERY[name](values[0]):
                return socket.respond(HTTPStatus.BAD_REQUEST, f"query {name}\n")
        if "model_id" not in query or "output_format" not in query:
            return socket.respond(HTTPStatus.BAD_REQUEST, "query incomplete\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = Connection(socket, socket.request.path, self.speech)
        self.connections.append(connection)
        self._news.tell()
        await connection.run()
