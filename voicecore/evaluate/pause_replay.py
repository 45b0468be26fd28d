"""What a policy would have decided in a call that was recorded: the machine's own listener is
fed again with what the VAD and the speech-to-text said, and when. Pure.

Every silence is judged by itself, as if no silence before it had ended the turn: the listener
has heard everything up to there, as it would have. So one early decision does not hide others.
"""

from collections.abc import Sequence
from copy import deepcopy

import msgspec
from msgspec import structs

from voicecore.providers.stt import SttEvent, SttFinal
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.endpointing import Endpointing
from voicecore.turns.listening import Listener
from voicecore.turns.settings import TurnSettings

PATIENCE_MS = 20_000
"""How long after the last event a decision is waited for."""


class Started(msgspec.Struct, frozen=True):
    """The VAD noticed speech at ``at_ms`` that began at ``edge_ms``."""

    at_ms: int
    edge_ms: int


class Stopped(msgspec.Struct, frozen=True):
    """The VAD noticed at ``at_ms`` that speech ended at ``edge_ms``."""

    at_ms: int
    edge_ms: int


class Said(msgspec.Struct, frozen=True):
    """The speech-to-text said something at ``at_ms``."""

    at_ms: int
    event: SttEvent


class Opined(msgspec.Struct, frozen=True):
    """A model of the sound judged at ``at_ms`` the pause that began at ``edge_ms``."""

    at_ms: int
    edge_ms: int
    probability: float


Heard = Started | Stopped | Said | Opined


class Pause(msgspec.Struct, frozen=True):
    """A silence of the caller, in the call's time, as measured in what was sent."""

    from_ms: int
    to_ms: int

    @property
    def duration_ms(self) -> int:
        return self.to_ms - self.from_ms


class RecordedTurn(msgspec.Struct, frozen=True):
    """A caller's turn and what the machine heard of it, from its begin to well after its end.
    Turns of one ``call`` are in order."""

    call: int
    number: int
    kind: str
    text: str
    begin_ms: int
    end_ms: int
    """When its last voiced sample was sent."""
    pauses: tuple[Pause, ...]
    events: tuple[Heard, ...]

    @property
    def whole(self) -> bool:
        """Whether every text that was asked for came before the call ended."""
        asked = sum(isinstance(event, Stopped) for event in self.events)
        texts = [event.event for event in self.events if isinstance(event, Said)]
        came = sum(isinstance(text, SttFinal) and text.flushed for text in texts)
        return 0 < asked <= came


class Judged(msgspec.Struct, frozen=True):
    """A silence within a turn, and the text that the listener had when it decided to answer."""

    pause: Pause
    decided_ms: int | None
    """After the beginning of the pause; None: it waited."""
    text: str = ""

    @property
    def cut_off(self) -> bool:
        """Whether the agent took the turn before the caller went on. Where it decided after
        that, before the VAD had noticed, the answer is withdrawn unheard."""
        return self.decided_ms is not None and self.decided_ms < self.pause.duration_ms


class TurnDecisions(msgspec.Struct, frozen=True):
    turn: RecordedTurn
    holds: tuple[Judged, ...]
    """Every pause within the turn, and whatever else the VAD took for one."""
    delay_ms: int | None
    """From the end of the turn to the decision; None: there was none, no text came."""
    text: str


def replay(
    turns: Sequence[RecordedTurn], settings: TurnSettings, *, by_vad: bool = False
) -> tuple[TurnDecisions, ...]:
    """The decisions for all turns of all calls. What the endpointing learns of a caller it keeps
    for the later turns of the call.

    ``by_vad`` looks at the policy alone: silences begin and end where the VAD heard them to,
    those that it did not notice are none, and speech-to-text and model take no time."""
    made: list[TurnDecisions] = []
    memory = Endpointing(settings.endpointing)
    call: int | None = None
    for turn in turns:
        if turn.call != call:
            call, memory = turn.call, Endpointing(settings.endpointing)
        events = prompt(turn.events) if by_vad else turn.events
        made.append(_judge(turn, events, settings, memory, by_vad=by_vad))
        memory = _learned(events, settings, memory)
    return tuple(made)


def prompt(events: Sequence[Heard]) -> tuple[Heard, ...]:
    """The events with each flushed text, and each opinion, moved to when it was asked for.
    Guesses that came while the text was on its way are left out: nobody would have seen them."""
    made: list[Heard] = []
    asked: list[int] = []
    stops: dict[int, int] = {}
    for event in events:
        if isinstance(event, Stopped):
            asked.append(event.at_ms)
            stops[event.edge_ms] = event.at_ms
        if isinstance(event, Opined):
            asked_ms = stops.get(event.edge_ms, event.at_ms)
            made.append(structs.replace(event, at_ms=asked_ms))
        elif not isinstance(event, Said) or not asked:
            made.append(event)
        elif isinstance(event.event, SttFinal):
            made.append(structs.replace(event, at_ms=asked[0]))
            if event.event.flushed:
                del asked[0]
    return tuple(sorted(made, key=lambda event: event.at_ms))


class _Ear:
    """A listener with its deadlines, on a clock that is only a number."""

    def __init__(self, settings: TurnSettings, memory: Endpointing) -> None:
        self._deadlines = Deadlines()
        self.listener = Listener(settings, self._deadlines, [])
        self.listener.endpointing = deepcopy(memory)
        self.decides = False
        self.decided_ms: int | None = None
        self.text = ""

    def wait_until(self, now_ms: int) -> None:
        while (due_ms := self._deadlines.next()) is not None and due_ms <= now_ms:
            name = self._deadlines.take_due(due_ms)
            if name is not None:
                self.listener.due(due_ms, name)
            self._settle(due_ms)

    def take(self, event: Heard) -> None:
        self.wait_until(event.at_ms)
        match event:
            case Started():
                self.listener.speech_started(event.edge_ms)
            case Stopped():
                self.listener.speech_stopped(event.at_ms, event.edge_ms)
            case Said():
                self.listener.heard(event.at_ms, event.event)
            case Opined():
                self.listener.audio_opinion(event.at_ms, event.edge_ms, event.probability)
        self._settle(event.at_ms)

    def _settle(self, now_ms: int) -> None:
        if self.decides and self.decided_ms is None:
            turn = self.listener.decide()
            if turn is not None:
                self.decided_ms, self.text = now_ms, turn.text


def _judge(
    turn: RecordedTurn,
    events: Sequence[Heard],
    settings: TurnSettings,
    memory: Endpointing,
    *,
    by_vad: bool,
) -> TurnDecisions:
    holds: dict[Pause, Judged] = {}
    if not by_vad:
        holds = {pause: Judged(pause, None) for pause in turn.pauses}
    delay_ms, text = None, ""
    for place, stop in enumerate(events):
        if not isinstance(stop, Stopped):
            continue
        start = _next_start(events, place)
        if start is None or _edge_ms(events[start]) >= turn.end_ms:
            ear = _run(events, place, len(events), settings, memory)
            end_ms = stop.edge_ms if by_vad else turn.end_ms
            delay_ms = None if ear.decided_ms is None else ear.decided_ms - end_ms
            text = ear.text
            break
        ear = _run(events, place, start, settings, memory)
        pause = Pause(stop.edge_ms, max(_edge_ms(events[start]), stop.edge_ms))
        if not by_vad:
            pause = _pause_at(turn, pause)
        decided_ms = None if ear.decided_ms is None else ear.decided_ms - pause.from_ms
        if decided_ms is not None or pause in holds or by_vad:
            holds[pause] = Judged(pause, decided_ms, ear.text)
    ordered = sorted(holds.values(), key=lambda judged: judged.pause.from_ms)
    return TurnDecisions(turn, tuple(ordered), delay_ms, text)


def _run(
    events: Sequence[Heard], stop: int, end: int, settings: TurnSettings, memory: Endpointing
) -> _Ear:
    """Hear everything, and decide from the event ``stop`` until the event ``end`` comes."""
    ear = _Ear(settings, memory)
    for event in events[:stop]:
        ear.take(event)
    ear.wait_until(events[stop].at_ms - 1)
    ear.decides = True
    for event in events[stop:end]:
        ear.take(event)
    last_ms = events[end].at_ms if end < len(events) else events[-1].at_ms + PATIENCE_MS
    ear.wait_until(last_ms - 1)
    return ear


def _learned(events: Sequence[Heard], settings: TurnSettings, memory: Endpointing) -> Endpointing:
    ear = _Ear(settings, memory)
    for event in events:
        ear.take(event)
    ear.listener.endpointing.ended(ear.listener.text)
    return ear.listener.endpointing


def _next_start(events: Sequence[Heard], place: int) -> int | None:
    later = range(place + 1, len(events))
    return next((index for index in later if isinstance(events[index], Started)), None)


def _edge_ms(event: Heard) -> int:
    """When an edge was, in the call's time."""
    return event.at_ms if isinstance(event, Said) else event.edge_ms


def _pause_at(turn: RecordedTurn, silence: Pause) -> Pause:
    """The pause that shares most time with a silence of the VAD's; else that silence itself."""
    shared = {
        pause: min(pause.to_ms, silence.to_ms) - max(pause.from_ms, silence.from_ms)
        for pause in turn.pauses
    }
    best = max(shared, key=shared.__getitem__, default=None)
    return silence if best is None or shared[best] <= 0 else best
