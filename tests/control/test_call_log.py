"""What a call tells the database of what was said."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from msgspec import structs

from control.agent_pool import Version
from control.call_facts import (
    MOST_CHARACTERS,
    CallBegan,
    CallEvent,
    CallFact,
    CallOver,
    CallTurn,
    decode_facts,
    encode_facts,
)
from control.call_log import CallLog
from control.call_tickets import Coming, Ticket
from media.audio.format import MULAW_8K
from media.carrier import StreamStarted
from voicecore.transcript import TranscriptWord
from voicecore.turns.heard_word import HeardWord

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
STARTED = StreamStarted("twilio", "CA1", "MZ1", MULAW_8K, MULAW_8K)
WORDS = (
    HeardWord("We", 0, 200, True),
    HeardWord("are", 200, 400, "cut"),
    HeardWord("open", 400, 600, False),
)


def log_of(
    *, is_test: bool = False, started: StreamStarted = STARTED
) -> tuple[CallLog, list[CallFact]]:
    agent: Any = SimpleNamespace(conduct=SimpleNamespace(name="Desk"))
    version = Version(uuid4(), 1)
    ticket = Ticket(Coming("twilio", is_test=is_test), uuid4(), version, agent, "inbound", 0)
    told: list[CallFact] = []
    return CallLog(ticket, started, told.append, lambda: NOW, server=None, files=""), told


def agent_turn(heard_text: str, ended: str) -> dict[str, Any]:
    return {
        "text": "We are open",
        "heard_text": heard_text,
        "words": WORDS,
        "start_ms": 1000,
        "played_ms": 300,
        "ended": ended,
    }


@pytest.mark.parametrize("heard", ["We", ""])
def test_a_turns_text_is_what_was_heard_and_its_words_are_all(heard: str) -> None:
    call_log, told = log_of()
    call_log.event("agent_turn", 1300, agent_turn(heard, "interrupted"))
    (turn,) = [fact for fact in told if isinstance(fact, CallTurn)]
    assert (turn.text, turn.interrupted, turn.end_ms) == (heard, True, 1300)
    assert [(word["text"], word["heard"]) for word in turn.words] == [
        ("We", True),
        ("are", "cut"),
        ("open", False),
    ]
    assert turn.words[0]["start_ms"] == 1000


@pytest.mark.parametrize("is_test", [False, True])
def test_a_test_is_told_as_one(is_test: bool) -> None:
    _, told = log_of(is_test=is_test)
    (began,) = [fact for fact in told if isinstance(fact, CallBegan)]
    assert began.is_test is is_test


BAD = "a\0b\ud800c"
MENDED = "a\ufffdb?c"


def test_every_text_of_every_fact_is_one_that_is_stored() -> None:
    """PostgreSQL knows no NUL, UTF-8 no lone surrogates, and a stream says what it likes."""
    started = structs.replace(STARTED, call_id=BAD, from_number=BAD, to_number="9" * 70_000)
    call_log, told = log_of(started=started)
    words = (TranscriptWord(BAD, 0, 1),)
    data = {"text": BAD, "start_ms": 0, "end_ms": 1, "words": words, BAD: [{"more": (BAD,)}]}
    call_log.event("caller_turn", 1, data)
    call_log.event("agent_turn", 1300, agent_turn(BAD, "played"))
    call_log.ended("hangup" + BAD, 10, has_recording=False)
    began, turn, event, spoken, _, over = told
    assert isinstance(began, CallBegan)
    assert (began.carrier_call_id, began.caller_number) == (MENDED, MENDED)
    assert began.called_number == "9" * 64
    assert isinstance(turn, CallTurn)
    assert (turn.text, turn.words[0]["text"]) == (MENDED, MENDED)
    assert isinstance(event, CallEvent)
    assert event.data[MENDED] == [{"more": [MENDED]}]
    assert isinstance(spoken, CallTurn)
    assert spoken.text == MENDED
    assert isinstance(over, CallOver)
    assert over.end_reason == f"hangup{MENDED}"
    lines = encode_facts(told)
    assert b"\\u0000" not in lines
    assert decode_facts(lines) == (told, b"")


def test_a_text_has_an_end() -> None:
    call_log, told = log_of()
    call_log.event("tool_called", 1, {"text": "x" * (MOST_CHARACTERS + 1)})
    event = told[-1]
    assert isinstance(event, CallEvent)
    assert len(event.data["text"]) == MOST_CHARACTERS
