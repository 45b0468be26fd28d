"""Carrying out the tools that a reply asked for. Part of the turn machine."""

import re
from collections.abc import Callable, Sequence
from typing import assert_never

from voicecore.providers.llm import ToolCall
from voicecore.tools.guard import ToolGuard
from voicecore.tools.requests import (
    CollectDigits,
    EndCall,
    HttpCall,
    SendDtmf,
    ToolProblem,
    ToolRequest,
    ToolResult,
    TransferCall,
    failed,
)
from voicecore.tools.toolset import ToolSet
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.history import History, carriable
from voicecore.turns.outputs import Emit, Output, RunHttpTool
from voicecore.turns.reply import Reply
from voicecore.turns.sentences import speakable
from voicecore.turns.settings import TurnSettings
from voicecore.turns.synthesis import Synthesis

TOOLS, COLLECT = "tools", "collect"
TOOL_SLACK_MS = 2000
"""A tool keeps its own deadline; this much later its answer is given up."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class _Collecting:
    def __init__(self, request: CollectDigits, reply: Reply) -> None:
        self.request = request
        self.reply = reply
        self.digits = ""


class Tooling:
    """Runs each round of tool calls and gathers the results into the history."""

    deadline_names = (TOOLS, COLLECT)

    def __init__(
        self,
        settings: TurnSettings,
        history: History,
        tools: ToolSet,
        guard: ToolGuard,
        deadlines: Deadlines,
        out: list[Output],
        voice: Synthesis,
        done: Callable[[int, Reply], None],
    ) -> None:
        self._settings = settings
        self._history = history
        self._tools = tools
        self._guard = guard
        self._deadlines = deadlines
        self._out = out
        self._voice = voice
        self._done = done
        self._calls: dict[str, ToolCall] = {}
        self._reply: Reply | None = None
        self._collecting: _Collecting | None = None
        self._meanwhile_count = 0
        self._ids: set[str] = set()
        self._until_ms = 0

    def own(self, call: ToolCall) -> ToolCall:
        """The call as it goes into the history, which the model's server must take back: with
        an id of its own (some servers count anew in each answer, or give none) and a name of
        the permitted characters (OpenAI refuses requests with others)."""
        id_, number = carriable(call.id), len(self._ids)
        while not id_ or id_ in self._ids:
            number += 1
            id_ = f"call_{number}"
        self._ids.add(id_)
        name = _NOT_IN_NAMES.sub("_", call.name)[:64] or "unnamed"
        return ToolCall(id_, name, carriable(call.arguments))

    def new_turn(self) -> None:
        self._guard.turn_started()

    @property
    def allowed(self) -> bool:
        """Whether the next request may offer tools."""
        return self._guard.tools_allowed

    @property
    def allowed_in_next_turn(self) -> bool:
        """The same, once the caller's next turn has begun."""
        return self._guard.tools_allowed_in_next_turn

    def run(self, now_ms: int, reply: Reply) -> None:
        """The model's answer is complete and asks for ``reply.calls``."""
        self._guard.round_started()
        self._reply = reply
        calls = tuple(reply.calls)
        self._history.tools_called(speakable(reply.round_text), calls)
        reply.waiting_for = {call.id for call in calls}
        self._until_ms = now_ms
        for call in calls:
            self._calls[call.id] = call
            problem = self._guard.admit(call)
            request = problem or self._tools.validate(call)
            data = {"reply": reply.number, "name": call.name[:64], "call_id": call.id}
            self._out.append(Emit("tool_called", {**data, "arguments": call.arguments[:4000]}))
            self._carry_out(now_ms, reply, call, request)

    def _carry_out(
        self, now_ms: int, reply: Reply, call: ToolCall, request: ToolRequest | ToolProblem
    ) -> None:
        match request:
            case ToolProblem():
                self._finish(now_ms, request.result())
            case HttpCall():
                self._wait_until(now_ms + request.timeout_ms)
                self._say_meanwhile(now_ms, reply, request.say_while)
                self._out.append(RunHttpTool(call.id, request))
            case EndCall():
                reply.end_reason = "agent_hangup"
                if request.farewell:
                    self._voice.say(now_ms, reply, request.farewell)
                self._finish(now_ms, ToolResult(call.id, call.name, '{"status": "ending"}'))
            case TransferCall():
                reply.acted = True
                if request.say:
                    self._voice.say(now_ms, reply, request.say)
                data = {"number": request.number, "target": request.target}
                self._out.append(Emit("transfer_requested", data))
                text = '{"status": "transfer requested"}'
                self._finish(now_ms, ToolResult(call.id, call.name, text))
            case SendDtmf():
                reply.acted = True
                self._voice.press(now_ms, reply, request.digits)
                self._finish(now_ms, ToolResult(call.id, call.name, '{"status": "sent"}'))
            case CollectDigits():
                self._collect(now_ms, reply, request)
            case _:
                assert_never(request)

    def _wait_until(self, at_ms: int) -> None:
        """Give the round's answers up a little after this, or later if one may take longer."""
        self._until_ms = max(self._until_ms, at_ms + TOOL_SLACK_MS)
        self._deadlines.set(TOOLS, self._until_ms)

    def _say_meanwhile(self, now_ms: int, reply: Reply, own: Sequence[str] | None) -> None:
        sentences = self._settings.phrases.tool_meanwhile if own is None else own
        if sentences and not reply.round_text.strip():
            self._voice.say(now_ms, reply, sentences[self._meanwhile_count % len(sentences)])
            self._meanwhile_count += 1

    # Results

    def answered(self, now_ms: int, result: ToolResult) -> None:
        """A result came from outside; of an abandoned reply it is kept for the model."""
        self._finish(now_ms, result)

    def _finish(self, now_ms: int, result: ToolResult) -> None:
        call = self._calls.pop(result.call_id, None)
        if call is None:
            return
        self._guard.finished(call, result)
        self._history.tool_answered(result.call_id, result.text)
        data = {"name": call.name[:64], "call_id": call.id, "error": result.error}
        self._out.append(Emit("tool_answered", {**data, "result": result.text[:4000]}))
        reply = self._reply
        if reply is None or result.call_id not in reply.waiting_for:
            return
        reply.waiting_for.discard(result.call_id)
        if not reply.waiting_for:
            self._deadlines.clear(TOOLS)
            self._reply = None
            self._done(now_ms, reply)

    def abandon(self, reply: Reply) -> None:
        """The reply is over. Requests under way go on: what they do may matter, and their
        results are told to the model later."""
        reply.waiting_for.clear()
        self._deadlines.clear(TOOLS, COLLECT)
        self._reply = None
        if self._collecting is not None:
            request = self._collecting.request
            self._collecting = None
            self._history.tool_answered(request.call_id, '{"error": "interrupted"}')
            self._calls.pop(request.call_id, None)

    def due(self, now_ms: int, name: str) -> None:
        """One of this module's deadlines has come."""
        if name == COLLECT:
            self._collected(now_ms, "timeout")
            return
        self._collecting = None
        self._deadlines.clear(COLLECT)
        reply = self._reply
        for call_id in sorted(reply.waiting_for) if reply is not None else ():
            self._finish(now_ms, failed(call_id, "", "timeout", "the tool did not answer in time"))

    # Keys

    @property
    def awaits_keys(self) -> bool:
        """It is the caller who takes their time."""
        return self._collecting is not None

    def digit(self, now_ms: int, digit: str) -> bool:
        """Take a key, if keys are being collected."""
        collecting = self._collecting
        if collecting is None:
            return False
        request = collecting.request
        if digit == request.finish_on_key:
            self._collected(now_ms, "finished")
            return True
        collecting.digits += digit
        if len(collecting.digits) >= request.count:
            self._collected(now_ms, "complete")
        else:
            self._deadlines.set(COLLECT, now_ms + request.timeout_ms)
            self._wait_until(now_ms + request.timeout_ms)
        return True

    def _collect(self, now_ms: int, reply: Reply, request: CollectDigits) -> None:
        if request.prompt:
            self._voice.say(now_ms, reply, request.prompt)
        self._collecting = _Collecting(request, reply)
        # The wait counts from the end of what is being said, which is not known yet.
        until_ms = now_ms + request.timeout_ms + 80 * len(request.prompt)
        self._deadlines.set(COLLECT, until_ms)
        self._wait_until(until_ms)

    def _collected(self, now_ms: int, status: str) -> None:
        collecting, self._collecting = self._collecting, None
        self._deadlines.clear(COLLECT)
        if collecting is not None:
            text = f'{{"digits": "{collecting.digits}", "status": "{status}"}}'
            self._finish(now_ms, ToolResult(collecting.request.call_id, "collect_digits", text))
