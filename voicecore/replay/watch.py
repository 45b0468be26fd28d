"""What the recorded vendors need to know of the call that goes on: who is being answered. Pure.

It observes the new call's events, which come before what they lead to.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec


class Assumption(msgspec.Struct, frozen=True):
    """Something that the recorded call did not have, and was made up: an ``answer`` to a turn
    that it did not have, a ``voice`` for a text that it did not say, a ``tool`` result."""

    at_ms: int
    kind: Literal["answer", "voice", "tool"]
    text: str


DraftEvent = Literal["started", "used", "dropped"]


class Draft(msgspec.Struct, frozen=True):
    """An answer that was begun before the caller's turn was decided, and the turn so far."""

    reply: int
    text: str
    start_ms: int
    end_ms: int


class Watch:
    """One replay's. Times are milliseconds of the call."""

    def __init__(self) -> None:
        self.begun = False
        self.turn: tuple[str, int, int] = ("", 0, 0)
        self.answering = False
        """A reply to the turn is live and the model was asked for it."""
        self.stopped_ms = 0
        """When the caller last stopped speaking."""
        self.draft: Draft | None = None
        """Until it is used or dropped."""
        self.on_draft: list[Callable[[DraftEvent, int], None]] = []
        """Are told what becomes of each draft, by its reply's number."""
        self.tool_calls: dict[str, tuple[str, str]] = {}
        self.assumptions: list[Assumption] = []
        self._of_draft: list[Assumption] = []
        """They count if the draft is used."""
        self._turn_ms: int | None = None
        """When the turn began that is not decided yet."""

    def event(self, type_: str, data: Mapping[str, Any]) -> None:
        """An event of the new call."""
        match type_:
            case "call_started":
                self.begun = True
            case "speech_started":
                self._turn_ms = data["at_ms"] if self._turn_ms is None else self._turn_ms
            case "speech_ignored":
                self._turn_ms = None
            case "caller_turn":
                self.turn = (data["text"], data["start_ms"], data["end_ms"])
                self.answering = False
                self._turn_ms = None
            case "draft_started" | "draft_used" | "draft_dropped":
                self._drafted(type_, data)
            case "agent_turn" if data["kind"] == "answer":
                self.answering = False
            case "speech_stopped":
                self.stopped_ms = data["at_ms"]
            case "tool_called":
                self.tool_calls[data["call_id"]] = (data["name"], data["arguments"])

    def assume(self, at_ms: int, kind: Literal["answer", "voice", "tool"], text: str) -> None:
        kept = self.assumptions if self.draft is None else self._of_draft
        kept.append(Assumption(at_ms, kind, text))

    def _drafted(self, type_: str, data: Mapping[str, Any]) -> None:
        number, what = data["reply"], cast(DraftEvent, type_.removeprefix("draft_"))
        if what == "started":
            start_ms = self.stopped_ms if self._turn_ms is None else self._turn_ms
            end_ms = max(self.stopped_ms, start_ms)
            self.draft = Draft(number, data["text"], start_ms, end_ms)
        else:
            self.draft = None
            self.assumptions += self._of_draft if what == "used" else ()
            self._of_draft.clear()
        for told in self.on_draft:
            told(what, number)
