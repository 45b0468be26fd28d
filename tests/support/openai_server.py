"""A loopback server of the OpenAI routes that the adapters use, scripted by the test.

Requests are held to the documented fields (platform.openai.com/docs/api-reference/chat,
.../audio/createSpeech): an unknown field, a wrong type or a broken order of messages is a 400.
Each chat or speech request takes the next plan from ``plans``: a list of steps, see ``Step``.
"""

import asyncio
import json
from collections import deque
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.support.vendor_calls import News

CHAT_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "messages": list,
    "stream": bool,
    "stream_options": dict,
    "tools": list,
    "temperature": (int, float),
    "max_tokens": int,
    "max_completion_tokens": int,
    "reasoning_effort": str,
    "service_tier": str,
    "parallel_tool_calls": bool,
}
SPEECH_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "voice": str,
    "input": str,
    "response_format": str,
    "speed": (int, float),
    "instructions": str,
    "stream_format": str,
}
DONE = "[DONE]"


class Status:
    """Answer with an HTTP status and an error object."""

    def __init__(self, status: int, code: str | None = None, type_: str = "", text: str = "no"):
        self.status = status
        self.error = {"message": text, "type": type_, "param": None, "code": code}


class Wait:
    """Go on when ``gate`` is set; never, if the client goes first."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()


class Drop:
    """Cut the TCP connection."""


class End:
    """End the response properly."""


class Head:
    """Response headers other than the usual; only as the first step."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


Step = Status | Wait | Drop | End | Head | bytes | str | dict[str, Any]
"""``dict``: an SSE event; ``str``: an SSE event's text as it stands; ``bytes``: body bytes."""


class Seen:
    """A request as it came; ``gone`` is set when the client left before the answer's end."""

    def __init__(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.gone = asyncio.Event()
        self.answered = asyncio.Event()


def delta(**fields: Any) -> dict[str, Any]:
    return chunk([{"index": 0, "delta": fields, "finish_reason": None}])


def finish(reason: str, **fields: Any) -> dict[str, Any]:
    return chunk([{"index": 0, "delta": fields, "finish_reason": reason}])


def usage(given: int, made: int, cached: int | None = None) -> dict[str, Any]:
    counts: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made}
    counts["total_tokens"] = given + made
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    return {**chunk([]), "usage": counts}


def chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
    }


def tool(index: int | None, id_: str | None = None, name: str | None = None, args: Any = None):
    fragment: dict[str, Any] = {"type": "function", "function": {}}
    if index is not None:
        fragment["index"] = index
    if id_ is not None:
        fragment["id"] = id_
    if name is not None:
        fragment["function"]["name"] = name
    if args is not None:
        fragment["function"]["arguments"] = args
    return delta(tool_calls=[fragment])


def answer(*texts: str) -> list[Step]:
    """The plan of an ordinary answer."""
    return [
        delta(role="assistant", content=""),
        *(delta(content=text) for text in texts),
        finish("stop"),
        usage(11, 7, 3),
        DONE,
        End(),
    ]


class OpenAiServer:
    def __init__(self, key: str | None = "test-key") -> None:
        self.key = key
        self.plans: deque[list[Step]] = deque()
        self.models: Step | list[dict[str, Any]] = [{"id": "m"}]
        self.seen: list[Seen] = []
        self.connections: set[object] = set()
        self._news = News()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/audio/speech", self._speech)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def requests(self, count: int) -> list[Seen]:
        """Wait until so many chat or speech requests came."""
        await self._news.until(lambda: len(self.seen) >= count)
        return self.seen

    async def caught_up(self) -> None:
        """Wait until requests that were on their way have come: three later ones, each on a
        connection of its own, have been answered."""
        for _ in range(3):
            async with aiohttp.request("GET", f"{self.base_url}/models") as answer:
                await answer.read()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _refuse(Status(401, "invalid_api_key", text="Incorrect API key provided"))
        if isinstance(self.models, Status):
            return _refuse(self.models)
        if isinstance(self.models, Wait):
            self.models.reached.set()
            await self.models.gate.wait()
        if isinstance(self.models, bytes):
            return web.Response(body=self.models, content_type="application/json")
        given = self.models if isinstance(self.models, list) else []
        listed = [{"object": "model", "created": 1, "owned_by": "o", **each} for each in given]
        return web.json_response({"object": "list", "data": listed})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._take(request, _chat_fault, "text/event-stream")

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        return await self._take(request, _speech_fault, "audio/pcm")

    async def _take(self, request: web.Request, fault: Any, kind: str) -> web.StreamResponse:
        self.connections.add(request.transport)
        body = json.loads(await request.read())
        seen = Seen(request.path, dict(request.headers), body)
        self.seen.append(seen)
        self._news.tell()
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _refuse(Status(401, "invalid_api_key", text="Incorrect API key provided"))
        wrong = fault(body)
        if wrong:
            return _refuse(Status(400, None, "invalid_request_error", wrong))
        try:
            return await self._play(request, self.plans.popleft(), kind)
        except (asyncio.CancelledError, ConnectionError):
            seen.gone.set()
            raise
        finally:
            seen.answered.set()

    async def _play(self, request: web.Request, plan: list[Step], kind: str) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        headers = {"Content-Type": kind}
        for step in plan:
            if isinstance(step, Status):
                return _refuse(step)
            if isinstance(step, Head):
                headers |= step.headers
            elif isinstance(step, Wait):
                step.reached.set()
                await step.gate.wait()
            elif isinstance(step, Drop):
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
            else:
                if response is None:
                    response = web.StreamResponse(headers=headers)
                    await response.prepare(request)
                if not isinstance(step, End):
                    await response.write(_bytes(step))
        if response is None:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
        await response.write_eof()
        return response


def _bytes(step: bytes | str | dict[str, Any]) -> bytes:
    if isinstance(step, bytes):
        return step
    text = step if isinstance(step, str) else json.dumps(step)
    return f"data: {text}\n\n".encode()


def _refuse(status: Status) -> web.Response:
    headers = {"Location": "/v1/chat/completions"} if status.status == 307 else {}
    return web.json_response({"error": status.error}, status=status.status, headers=headers)


def _field_fault(body: dict[str, Any], known: dict[str, Any], needed: tuple[str, ...]) -> str:
    for name, value in body.items():
        if name not in known:
            return f"Unrecognized request argument supplied: {name}"
        if not isinstance(value, known[name]):
            return f"Invalid type for '{name}'"
    missing = [name for name in needed if name not in body]
    return f"Missing required parameter: {missing[0]}" if missing else ""


def _chat_fault(body: dict[str, Any]) -> str:
    wrong = _field_fault(body, CHAT_FIELDS, ("model", "messages"))
    if wrong:
        return wrong
    if not body.get("stream"):
        return "this server only streams"
    if body.get("stream_options", {}).keys() - {"include_usage", "include_obfuscation"}:
        return "Invalid stream_options"
    for each in body.get("tools", []):
        function = each["function"]
        if each["type"] != "function" or function["parameters"].get("type") != "object":
            return "Invalid tool"
        if function.keys() - {"name", "description", "parameters", "strict"}:
            return "Invalid tool"
    return _message_fault(body["messages"])


def _message_fault(messages: list[dict[str, Any]]) -> str:
    wanted: set[str] = set()
    for message in messages:
        role = message["role"]
        if role == "tool":
            if message.get("tool_call_id") not in wanted:
                return "messages with role 'tool' must follow a message with 'tool_calls'"
            wanted.discard(message["tool_call_id"])
            continue
        if wanted:
            return "'tool_calls' must be followed by tool messages"
        if role not in ("system", "developer", "user", "assistant"):
            return f"Invalid role {role}"
        calls = message.get("tool_calls")
        if calls is not None and (role != "assistant" or not calls):
            return "Invalid tool_calls"
        if not isinstance(message.get("content"), str) and not calls:
            return "Invalid content"
        for call in calls or ():
            if call["type"] != "function" or not isinstance(call["function"]["arguments"], str):
                return "Invalid tool call"
            wanted.add(call["id"])
    return "'tool_calls' must be followed by tool messages" if wanted else ""


def _speech_fault(body: dict[str, Any]) -> str:
    wrong = _field_fault(body, SPEECH_FIELDS, ("model", "voice", "input"))
    if wrong:
        return wrong
    if not 0 < len(body["input"]) <= 4096:
        return "input must have 1 to 4096 characters"
    if body.get("response_format") not in ("mp3", "opus", "aac", "flac", "wav", "pcm"):
        return "Invalid response_format"
    return ""
