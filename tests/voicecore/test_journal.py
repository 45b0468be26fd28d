from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecore import journal
from voicecore.journal import (
    EVENT_LIMIT_BYTES,
    Event,
    Journal,
    encode_event,
    log_fields,
    read_events,
)
from voicecore.providers.words import Word


def test_events_are_numbered_written_and_shown() -> None:
    lines: list[bytes] = []
    seen: list[Event] = []
    book = Journal(lines.append)
    book.observe(seen.append)
    book.write("turn_started", 20, turn=1)
    last = book.write("stt_final", 940, turn=1, text="hello", words=(Word("hello", 1, 2),))
    assert last.sequence == 2
    assert [event.type for event in seen] == ["turn_started", "stt_final"]
    assert lines[0] == b'{"sequence":1,"at_ms":20,"type":"turn_started","data":{"turn":1}}\n'
    assert read_events(b"".join(lines))[1].data == {
        "turn": 1,
        "text": "hello",
        "words": [{"text": "hello", "start_ms": 1, "end_ms": 2}],
    }


def test_data_may_use_any_key() -> None:
    event = Journal(lambda line: None).write("x", 1, type="a", at_ms=2, self=3)
    assert event.data == {"type": "a", "at_ms": 2, "self": 3}
    assert event.at_ms == 1


def test_an_observer_can_leave_even_while_it_is_called() -> None:
    book = Journal(lambda line: None)
    seen: list[str] = []

    def once(event: Event) -> None:
        seen.append("once")
        leave()

    leave = book.observe(once)
    stay = book.observe(lambda event: seen.append("stays"))
    book.write("a", 0)
    book.write("b", 0)
    stay()
    stay()
    book.write("c", 0)
    assert seen == ["once", "stays", "stays"]


def test_the_line_is_written_before_an_observer_fails() -> None:
    lines: list[bytes] = []
    book = Journal(lines.append)

    def broken(event: Event) -> None:
        raise KeyError("bug")

    book.observe(broken)
    with pytest.raises(KeyError):
        book.write("a", 0)
    with pytest.raises(KeyError):
        book.write("b", 0)
    assert [event.sequence for event in read_events(b"".join(lines))] == [1, 2]


def test_text_that_is_no_unicode_is_mended() -> None:
    data = {"text": "a\ud800b", "deep": [{"\udfff": Word("\ud800", 0, 1)}]}
    (event,) = read_events(encode_event(Event(1, 0, "x", data)))
    assert event.data["text"] == "a?b"
    assert event.data["deep"] == [{"?": {"text": "?", "start_ms": 0, "end_ms": 1}}]


def test_control_characters_stay_on_one_line() -> None:
    line = encode_event(Event(1, 0, "x", {"text": "a\nb\x00\u2028"}))
    assert line.count(b"\n") == 1
    assert read_events(line)[0].data["text"] == "a\nb\x00\u2028"


def test_a_huge_event_loses_its_data_and_nothing_else() -> None:
    line = encode_event(Event(7, 99, "x", {"text": "y" * 10**6}))
    assert len(line) < EVENT_LIMIT_BYTES
    (event,) = read_events(line)
    assert (event.sequence, event.at_ms, event.type) == (7, 99, "x")
    assert event.data["dropped_bytes"] > 10**6


def test_a_flood_is_not_written_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVENTS_LIMIT", 5)
    lines: list[bytes] = []
    seen: list[Event] = []
    book = Journal(lines.append)
    book.observe(seen.append)
    for at_ms in range(20):
        book.write("dtmf", at_ms)
    types = [event.type for event in read_events(b"".join(lines))]
    assert types == ["dtmf"] * 4 + ["journal_full"]
    assert [event.sequence for event in seen] == list(range(1, 21))


def test_a_line_that_was_cut_off_is_left_out() -> None:
    lines = encode_event(Event(1, 0, "a")) + encode_event(Event(2, 0, "b"))
    assert [event.sequence for event in read_events(lines[:-1])] == [1]
    assert [event.sequence for event in read_events(lines)] == [1, 2]
    assert read_events(b"") == []
    with pytest.raises(msgspec.DecodeError):
        read_events(b"nonsense\n")


EVENT = Event(
    3,
    1200,
    "tool_called",
    {
        "text": "my pin is 1234",
        "arguments": {"pin": 1234},
        "digit": 5,
        "from_number": "+15550100",
        "words": [1, 2],
        "name": "lookup",
        "latency_ms": 12,
        "ok": True,
        "rate": 0.5,
        "nothing": None,
    },
)


def test_logs_get_no_personal_data() -> None:
    assert log_fields(EVENT) == {
        "sequence": 3,
        "at_ms": 1200,
        "name": "lookup",
        "latency_ms": 12,
        "ok": True,
        "rate": 0.5,
        "nothing": None,
    }


def test_personal_data_is_marked_when_it_is_asked_for() -> None:
    fields = log_fields(EVENT, personal=True)
    assert fields["pii_text"] == "my pin is 1234"
    assert fields["pii_arguments"] == {"pin": 1234}
    assert fields["pii_digit"] == 5
    assert fields["name"] == "lookup"
    assert "text" not in fields


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=20),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
            max_leaves=5,
        ),
    )
)
def test_any_data_gives_one_line(data: dict[str, Any]) -> None:
    line = encode_event(Event(1, 0, "x", data))
    assert line.endswith(b"\n")
    assert len(read_events(line)) == 1
