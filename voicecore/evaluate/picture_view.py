"""A call's events as what a picture shows: who spoke, what the agent was doing, what was
decided. Pure; the events are those of ``docs/call-files.md``, in whatever state they are."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

import msgspec

LONGEST_TEXT = 300


class State(StrEnum):
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PAUSED = "paused"


class Span(msgspec.Struct, frozen=True):
    from_ms: int
    to_ms: int


class StateSpan(msgspec.Struct, frozen=True):
    state: State
    from_ms: int
    to_ms: int


class Decision(msgspec.Struct, frozen=True):
    """Something the agent decided. ``weight`` 1 ends a reply, or is a failure."""

    at_ms: int
    label: str
    weight: int = 0


class Spoken(msgspec.Struct, frozen=True):
    """``unheard`` is what the caller did not hear of it any more."""

    from_ms: int
    to_ms: int
    text: str
    unheard: str = ""


class CallView(msgspec.Struct, frozen=True):
    length_ms: int
    caller_spans: tuple[Span, ...]
    states: tuple[StateSpan, ...]
    decisions: tuple[Decision, ...]
    caller_texts: tuple[Spoken, ...]
    agent_texts: tuple[Spoken, ...]


def view_of(events: Sequence[Mapping[str, Any]], *, audio_ms: int = 0) -> CallView:
    """What the events tell. Events without a time or with odd fields are passed over."""
    usable = [_Event(event) for event in events]
    usable = [event for event in usable if event.at_ms is not None]
    length_ms = max([audio_ms, *(event.when for event in usable)], default=0)
    replies = [event for event in usable if event.type == "agent_turn"]
    return CallView(
        length_ms,
        tuple(_caller_spans(usable, length_ms)),
        tuple(_states(usable, replies, length_ms)),
        tuple(d for event in usable if (d := _decision(event)) is not None),
        tuple(_caller_texts(usable)),
        tuple(text for event in replies if (text := _agent_text(event)) is not None),
    )


class _Event:
    """An event whose fields may be missing or of another type."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.type = str(event.get("type", ""))
        data = event.get("data")
        self._data: Mapping[str, Any] = data if isinstance(data, dict) else {}
        self.at_ms = _number(event.get("at_ms"))

    @property
    def when(self) -> int:
        return self.at_ms or 0

    def number(self, name: str) -> int | None:
        return _number(self._data.get(name))

    def text(self, name: str) -> str:
        return plain_text(self._data.get(name))


def plain_text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text that can be drawn: one line, of printable characters."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: longest * 4].split())
    line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value) if 0 <= value < 1e9 else None


def _caller_spans(events: Sequence[_Event], length_ms: int) -> list[Span]:
    spans: list[Span] = []
    begun: int | None = None
    for event in events:
        edge_ms = event.number("at_ms")
        if edge_ms is None:
            continue
        if event.type == "speech_started" and begun is None:
            begun = edge_ms
        elif event.type == "speech_stopped" and begun is not None:
            spans.append(Span(begun, max(edge_ms, begun)))
            begun = None
    if begun is not None:
        spans.append(Span(begun, length_ms))
    return spans


def _states(events: Sequence[_Event], replies: Sequence[_Event], length_ms: int) -> list[StateSpan]:
    """The whole call in states, without gaps. Later ones of these lie over earlier ones:
    listening, thinking, speaking, paused."""
    layers: list[StateSpan] = []
    for event in events:
        if event.type == "caller_turn":
            layers.append(
                StateSpan(State.THINKING, event.when, _thought_until(event, replies, length_ms))
            )
    for reply in replies:
        start_ms = reply.number("start_ms")
        if start_ms is not None:
            layers.append(StateSpan(State.SPEAKING, start_ms, max(reply.when, start_ms)))
    for place, event in enumerate(events):
        if event.type == "agent_paused":
            ends = (e for e in events[place:] if e.type in ("agent_resumed", "agent_turn"))
            end = next(ends, None)
            to_ms = length_ms if end is None else end.when
            layers.append(StateSpan(State.PAUSED, event.when, to_ms))
    return _flattened(layers, length_ms)


def _thought_until(turn: _Event, replies: Sequence[_Event], length_ms: int) -> int:
    """When the answer to a turn was heard, or was given up."""
    for reply in replies:
        start_ms = reply.number("start_ms")
        until_ms = reply.when if start_ms is None else start_ms
        if until_ms >= turn.when and (start_ms is None or start_ms >= turn.when):
            return until_ms
    return length_ms


def _flattened(layers: Sequence[StateSpan], length_ms: int) -> list[StateSpan]:
    ends = {edge for layer in layers for edge in (layer.from_ms, layer.to_ms)}
    edges = sorted({0, length_ms} | {edge for edge in ends if 0 < edge < length_ms})
    order = list(State)
    made: list[StateSpan] = []
    for begin, end in pairwise(edges):
        over = [layer.state for layer in layers if layer.from_ms <= begin and layer.to_ms >= end]
        state = max(over, key=order.index, default=State.LISTENING)
        if made and made[-1].state is state:
            made[-1] = StateSpan(state, made[-1].from_ms, end)
        else:
            made.append(StateSpan(state, begin, end))
    return made


_ENDINGS = {"interrupted": "cut off", "caller_went_on": "answer withdrawn"}


def _decision(event: _Event) -> Decision | None:
    match event.type:
        case "caller_turn":
            return Decision(event.when, "takes the turn")
        case "agent_paused":
            return Decision(event.when, "pauses")
        case "overlap_judged":
            verdict = event.text("verdict")
            return Decision(event.when, f"hears: {verdict}", int(verdict == "interruption"))
        case "agent_resumed":
            return Decision(event.when, "goes on")
        case "speech_ignored":
            return Decision(event.when, "ignores it")
        case "agent_turn" if event.text("ended") in _ENDINGS:
            return Decision(event.when, _ENDINGS[event.text("ended")], 1)
        case "tool_called":
            return Decision(event.when, f"tool {plain_text(event.text('name'), 30)}")
        case "dtmf":
            return Decision(event.when, f"key {plain_text(event.text('digit'), 3)}")
        case "vendor_failed":
            return Decision(event.when, f"{plain_text(event.text('kind'), 10)} failed", 1)
        case "call_ended":
            return Decision(event.when, f"ends: {plain_text(event.text('reason'), 30)}")
    return None


def _caller_texts(events: Sequence[_Event]) -> list[Spoken]:
    made: list[Spoken] = []
    for event in events:
        start_ms, end_ms = event.number("start_ms"), event.number("end_ms")
        if event.type == "caller_turn" and start_ms is not None and end_ms is not None:
            made.append(Spoken(start_ms, end_ms, event.text("text")))
        elif event.type == "speech_ignored":
            made.append(Spoken(max(event.when - 800, 0), event.when, event.text("text")))
    return made


def _agent_text(event: _Event) -> Spoken | None:
    start_ms = event.number("start_ms")
    if start_ms is None:
        return None
    text, heard = event.text("text"), event.text("heard_text")
    if heard and text.startswith(heard) and heard != text:
        return Spoken(start_ms, event.when, heard, text[len(heard) :].strip())
    return Spoken(start_ms, event.when, text if heard else "", "" if heard else text)
