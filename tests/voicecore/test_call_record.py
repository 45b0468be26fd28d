"""What a process's calls leave, and that one of them cannot spoil it for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from media.audio.format import MULAW_8K
from media.carrier import StreamStarted
from media.recording_writer import Damage
from tests.support.virtual_loop import VirtualClock
from voicecore.call_record import CallRecord, CallRecords
from voicecore.journal import EVENTS_BURST, Event, read_events
from voicecore.transcript import TranscriptEntry, read_transcript
from voicecore.turns.heard_word import HeardWord


class Made:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.seen: list[str] = []
        self.damage: list[Damage] = []
        self.records = CallRecords(
            base,
            clock=VirtualClock(asyncio.get_running_loop()),
            observer=lambda type_, data: self.seen.append(type_),
            on_damage=self.damage.append,
        )

    def open(self, call_id: str) -> CallRecord:
        started = StreamStarted("twilio", "MZ1", call_id, MULAW_8K, MULAW_8K)
        return self.records.open(started, record_audio=True)

    def events(self, call_id: str) -> list[Event]:
        return read_events((self.base / call_id / "events.jsonl").read_bytes())

    def transcript(self, call_id: str) -> list[TranscriptEntry]:
        return read_transcript((self.base / call_id / "transcript.json").read_bytes())


@asynccontextmanager
async def records(base: Path) -> AsyncIterator[Made]:
    """On leaving, everything is written."""
    made = Made(base)
    yield made
    await made.records.close()


def caller_turn(text: str, start_ms: int) -> dict[str, Any]:
    return {"text": text, "start_ms": start_ms, "end_ms": start_ms + 500, "words": ()}


async def test_a_flood_of_keys_is_noted_and_spoils_nothing_else(tmp_path: Path) -> None:
    async with records(tmp_path) as made:
        flooding, neighbour = made.open("flooding"), made.open("neighbour")
        for number in range(20_000):
            flooding.event("dtmf", 100, {"digit": "1"})
            if number % 100 == 0:
                neighbour.event("dtmf", 100, {"digit": "2"})
        for record in (flooding, neighbour):
            record.event("caller_turn", 900, caller_turn("hello", 200))
            record.event("call_ended", 1000, {"reason": "caller_hangup"})
            record.close()
    assert [event.sequence for event in made.events("neighbour")] == list(range(1, 203))
    events = made.events("flooding")
    assert [event.type for event in events[EVENTS_BURST:]] == [
        "events_dropped",
        "caller_turn",
        "call_ended",
    ]
    assert events[-1].sequence == 20_002
    assert [entry.text for entry in made.transcript("flooding")] == ["hello"]
    assert made.damage == [
        Damage("flooding", "events.jsonl", "flooded", "events of the type dtmf were left out")
    ]
    assert made.seen.count("dtmf") == 20_200


async def test_the_transcript_counts_from_the_start_of_the_call(tmp_path: Path) -> None:
    async with records(tmp_path) as made:
        record = made.open("call")
        words = (HeardWord("hi", 40, 90, "cut"),)
        data = {"reply": 4, "start_ms": 2000, "played_ms": 60, "ended": "interrupted"}
        record.event("caller_turn", 900, caller_turn("a b", 200))
        record.event("agent_turn", 2100, {**data, "words": words})
        record.event("agent_turn", 2200, {**data, "reply": 5, "start_ms": None, "words": ()})
        record.close()
        record.event("dtmf", 3000, {"digit": "1"})
    caller, agent = made.transcript("call")
    assert [(word.start_ms, word.end_ms) for word in caller.words] == [(200, 450), (450, 700)]
    assert (agent.turn, agent.interrupted, agent.end_ms) == (4, True, 2060)
    assert [(one.start_ms, one.end_ms, one.heard) for one in agent.words] == [(2040, 2090, "cut")]
    assert [event.type for event in made.events("call")] == [
        "caller_turn",
        "agent_turn",
        "agent_turn",
    ]
    assert made.damage == []
