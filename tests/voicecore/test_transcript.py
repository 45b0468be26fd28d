import json

import pytest

from voicecore import transcript
from voicecore.providers.words import Word
from voicecore.transcript import (
    Transcript,
    TranscriptEntry,
    TranscriptWord,
    agent_entry,
    caller_entry,
    read_transcript,
)
from voicecore.turns.heard_word import HeardWord


def test_what_the_caller_said() -> None:
    words = (Word("hello", 1000, 1300), Word("there", 1300, 1700))
    entry = caller_entry(1, 1000, 1700, "hello there", words)
    assert json.loads(json.dumps(read(entry))) == {
        "turn": 1,
        "speaker": "caller",
        "start_ms": 1000,
        "end_ms": 1700,
        "text": "hello there",
        "words": [
            {"text": "hello", "start_ms": 1000, "end_ms": 1300},
            {"text": "there", "start_ms": 1300, "end_ms": 1700},
        ],
        "interrupted": False,
    }


def test_what_the_agent_said_and_the_caller_heard() -> None:
    words = (
        HeardWord("yes", 0, 200, True),
        HeardWord("certainly", 200, 600, "cut"),
        HeardWord("sir", 600, 800, False),
    )
    entry = agent_entry(2, 5000, words, end_ms=5300, interrupted=True)
    assert read(entry) == {
        "turn": 2,
        "speaker": "agent",
        "start_ms": 5000,
        "end_ms": 5300,
        "text": "yes certainly sir",
        "words": [
            {"text": "yes", "start_ms": 5000, "end_ms": 5200, "heard": True},
            {"text": "certainly", "start_ms": 5200, "end_ms": 5600, "heard": "cut"},
            {"text": "sir", "start_ms": 5600, "end_ms": 5800, "heard": False},
        ],
        "interrupted": True,
    }


def read(entry: TranscriptEntry) -> object:
    transcript = Transcript()
    transcript.put(entry)
    (only,) = json.loads(transcript.to_json())
    return only


def test_an_agents_entry_ends_with_its_last_word() -> None:
    assert agent_entry(1, 100, [HeardWord("a", 0, 250, True)]).end_ms == 350
    assert agent_entry(1, 100, []).end_ms == 100


def test_entries_are_replaced_by_turn_and_speaker_and_ordered_by_time() -> None:
    transcript = Transcript()
    transcript.put(agent_entry(1, 3000, [HeardWord("b", 0, 1, True)]))
    transcript.put(caller_entry(1, 1000, 2000, "draft"))
    transcript.put(agent_entry(0, 0, [HeardWord("welcome", 0, 1, True)]))
    transcript.put(caller_entry(1, 1000, 2500, "final"))
    assert [entry.text for entry in transcript.entries] == ["welcome", "final", "b"]
    assert [entry["text"] for entry in json.loads(transcript.to_json())] == [
        "welcome",
        "final",
        "b",
    ]


def test_it_reads_what_it_wrote() -> None:
    transcript = Transcript()
    assert read_transcript(transcript.to_json()) == []
    transcript.put(caller_entry(1, 0, 10, "a", [Word("a", 0, 10)]))
    transcript.put(agent_entry(1, 20, [HeardWord("b", 0, 5, "cut")], interrupted=True))
    assert read_transcript(transcript.to_json()) == list(transcript.entries)


def test_text_that_is_no_unicode_is_mended() -> None:
    transcript = Transcript()
    transcript.put(TranscriptEntry(1, "caller", 0, 1, "a\ud800", (TranscriptWord("\ud800", 0, 1),)))
    (entry,) = read_transcript(transcript.to_json())
    assert entry.text == "a?"
    assert entry.words[0].text == "?"


def test_a_full_transcript_ends_and_has_no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "TRANSCRIPT_LIMIT_BYTES", 2000)
    book = Transcript()
    assert book.put(caller_entry(1, 0, 10, "x" * 1500))
    assert not book.put(caller_entry(2, 20, 30, "y" * 1500))
    assert book.full
    assert not book.put(caller_entry(3, 40, 50, "small"))
    assert [entry.turn for entry in book.entries] == [1]
    assert book.size_bytes <= 2000


def test_an_entry_that_is_replaced_needs_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "TRANSCRIPT_LIMIT_BYTES", 2000)
    book = Transcript()
    for text in ("x" * 1500, "y" * 1500, "z"):
        assert book.put(caller_entry(1, 0, 10, text))
    assert book.put(caller_entry(2, 20, 30, "w" * 1500))
    assert book.size_bytes == len(book.to_json()) - len(b"[\n,\n\n]\n")
