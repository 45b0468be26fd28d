"""What the recorded vendors need to know of the call that goes on: who is being answered. Pure.

It observes the new call's events, which come before what they lead to.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class Assumption(msgspec.Struct, frozen=True):
    """Something that the recorded call did not have, and was made up: an ``answer`` to a turn
    that it did not have, a ``voice`` for a text that it did not say, a ``tool`` result."""

    at_ms: int
    kind: Literal["answer", "voice", "tool"]
    text: str


class Watch:
    """One replay's. Times are milliseconds of the call."""

    def __init__(self) -> None:
        self.begun = False
        self.turn: tuple[str, int, int] = ("", 0, 0)
        self.answering = False
        """A reply to the turn is live and the model was asked for it."""
        self.stopped_ms = 0
        """When the caller last stopped speaking."""
        self.tool_calls: dict[str, tuple[str, str]] = {}
        self.assumptions: list[Assumption] = []

    def event(self, type_: str, data: Mapping[str, Any]) -> None:
        """An event of the new call."""
        match type_:
            case "call_started":
                self.begun = True
            case "caller_turn":
                self.turn = (data["text"], data["start_ms"], data["end_ms"])
                self.answering = False
            case "agent_turn" if data["kind"] == "answer":
                self.answering = False
            case "speech_stopped":
                self.stopped_ms = data["at_ms"]
            case "tool_called":
                self.tool_calls[data["call_id"]] = (data["name"], data["arguments"])

    def assume(self, at_ms: int, kind: Literal["answer", "voice", "tool"], text: str) -> None:
        self.assumptions.append(Assumption(at_ms, kind, text))
