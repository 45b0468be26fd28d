"""Bounds on what one telephone call does with tools.

    guard.turn_started()                    # the caller has spoken
    guard.round_started()                   # the model asked for one or more tools
    problem = guard.admit(call)             # None: carry it out, then
    guard.finished(call, result)
    guard.tools_allowed                     # False: ask the model without tools

Models repeat themselves: a tool that changes nothing is called again and again, or two tools
take turns for ever. Every refusal tells the model why, so that it can go on without."""

import hashlib
from collections import Counter
from typing import Any

import msgspec

from voicecore.agents.conduct import Limits
from voicecore.providers.llm import ToolCall
from voicecore.tools.requests import ToolProblem, ToolResult

_Digest = bytes
_REFUSALS = ("too_many_rounds", "too_many_calls", "repeated_call")


class ToolGuard:
    """One call's history of tool use. Pure; its memory is bounded by ``max_tool_calls``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rounds = 0
        self._calls = 0
        self._same: dict[_Digest, tuple[_Digest, int]] = {}
        self._running: Counter[_Digest] = Counter()

    @property
    def tools_allowed(self) -> bool:
        """Whether the next request to the model may offer tools at all."""
        return (
            self._rounds < self._limits.max_tool_rounds
            and self._calls < self._limits.max_tool_calls
        )

    @property
    def tools_allowed_in_next_turn(self) -> bool:
        """``tools_allowed`` as it will be after ``turn_started``."""
        limits = self._limits
        return limits.max_tool_rounds > 0 and self._calls < limits.max_tool_calls

    def turn_started(self) -> None:
        """A new turn of the caller's: rounds and repetitions count from zero again, for the
        caller may well ask for the same thing twice. The total of the call goes on."""
        self._rounds = 0
        self._same.clear()
        self._running.clear()

    def round_started(self) -> None:
        """The model's answer asks for tools; ``admit`` each of them next."""
        self._rounds += 1

    def admit(self, call: ToolCall) -> ToolProblem | None:
        """Whether the call may be carried out; if not, why."""
        limits = self._limits
        if self._rounds > limits.max_tool_rounds:
            return self._refuse(call, "too_many_rounds", "no more tools in this turn")
        if self._calls >= limits.max_tool_calls:
            return self._refuse(call, "too_many_calls", "no more tools in this telephone call")
        digest = _call_digest(call)
        _, times = self._same.get(digest, (b"", 0))
        times += self._running[digest]
        if times >= limits.max_tool_repeats:
            detail = f"the tool was called {times} times with these arguments, to the same effect"
            return self._refuse(call, "repeated_call", detail)
        self._calls += 1
        self._running[digest] += 1
        return None

    def finished(self, call: ToolCall, result: ToolResult) -> None:
        """The end of a call. Another result than the last time is progress; being refused by
        ``admit`` is not."""
        if result.error in _REFUSALS:
            return
        digest, outcome = _call_digest(call), _digest(result.text)
        self._running[digest] = max(self._running[digest] - 1, 0)
        last, times = self._same.get(digest, (b"", 0))
        self._same[digest] = (outcome, times + 1 if outcome == last else 1)

    @staticmethod
    def _refuse(call: ToolCall, error: str, detail: str) -> ToolProblem:
        hint = "tell the caller what you know, without calling it again"
        return ToolProblem(call.id, call.name[:64], error, f"{detail}; {hint}")


def _call_digest(call: ToolCall) -> _Digest:
    arguments: Any = call.arguments
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
        text = msgspec.json.encode(arguments, order="sorted").decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = call.arguments
    return _digest(f"{call.name}\0{text}")


def _digest(text: str) -> _Digest:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()
