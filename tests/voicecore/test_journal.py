from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicecore import journal
from voicecore.journal import (
    EVENT_EVERY_MS,
    EVENT_LIMIT_BYTES,
    EVENTS_BURST,
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


class Dropped(list[tuple[str, str]]):
    """What a journal says that it left out."""

    def __call__(self, code: str, detail: str) -> None:
        self.append((code, detail))

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self]


def test_a_flood_of_one_type_leaves_the_others_alone() -> None:
    lines: list[bytes] = []
    seen: list[Event] = []
    dropped = Dropped()
    book = Journal(lines.append, dropped=dropped)
    book.observe(seen.append)
    for _ in range(EVENTS_BURST + 5000):
        book.write("dtmf", 1000, digit="5")
    book.write("caller_turn", 1000, text="hello")
    book.write("call_ended", 1000, reason="caller_hangup")
    events = read_events(b"".join(lines))
    assert [event.type for event in events] == [
        *["dtmf"] * EVENTS_BURST,
        "events_dropped",
        "caller_turn",
        "call_ended",
    ]
    assert events[EVENTS_BURST].data == {"name": "dtmf", "reason": "rate"}
    # The numbers tell how many are missing, and where.
    assert events[EVENTS_BURST].sequence == EVENTS_BURST + 1
    assert events[-2].sequence == EVENTS_BURST + 5001
    assert len(seen) == EVENTS_BURST + 5002
    assert dropped.codes == ["flooded"]
    assert "dtmf" in dropped[0][1]


def test_after_a_flood_events_come_at_a_rate() -> None:
    lines: list[bytes] = []
    book = Journal(lines.append)
    for at_ms in range(10_000):
        for _ in range(3):
            book.write("dtmf", at_ms)
    types = [event.type for event in read_events(b"".join(lines))]
    assert types.count("dtmf") == EVENTS_BURST + 10_000 // EVENT_EVERY_MS
    assert types.count("events_dropped") == 1
    lines.clear()
    later_ms = 10_000 + EVENTS_BURST * EVENT_EVERY_MS
    for _ in range(EVENTS_BURST + 100):
        book.write("dtmf", later_ms + 60_000)  # a pause saves up no more than a burst
    assert len(lines) == EVENTS_BURST


def test_what_a_telephone_call_can_do_is_never_too_fast() -> None:
    lines: list[bytes] = []
    dropped = Dropped()
    book = Journal(lines.append, dropped=dropped)
    for at_ms in range(0, 3_600_000, 60):  # an hour of a key every 60 ms
        book.write("dtmf", at_ms)
    assert len(lines) == 60_000
    assert dropped == []


def test_a_journal_has_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "JOURNAL_LIMIT_BYTES", 10_000)
    lines: list[bytes] = []
    dropped = Dropped()
    book = Journal(lines.append, dropped=dropped)
    for turn in range(100):
        book.write("caller_turn", turn * 1000, text="x" * 1000)
        book.write("dtmf", turn * 1000)  # would still fit, but a full journal has no holes
    book.write("line_quality", 100_000, inbound_gap_ms=20)
    book.write("call_ended", 100_000, reason="silence")
    events = read_events(b"".join(lines))
    types = [event.type for event in events]
    assert types[-3:] == ["events_dropped", "line_quality", "call_ended"]
    assert set(types[:-3]) == {"caller_turn", "dtmf"}
    assert events[-3].data == {"name": "caller_turn", "reason": "full"}
    assert [event.sequence for event in events[:-2]] == list(range(1, len(events) - 1))
    assert [event.sequence for event in events[-2:]] == [201, 202]
    assert 8000 < len(b"".join(lines)) < 10_200
    assert dropped.codes == ["too_long"]


def test_no_flood_outgrows_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "JOURNAL_LIMIT_BYTES", 100_000)
    lines: list[bytes] = []
    dropped = Dropped()
    book = Journal(lines.append, dropped=dropped)
    for at_ms in range(5000):
        for type_ in ("dtmf", "carrier_fault", "call_ended"):
            book.write(type_, at_ms, detail="x" * 100)
    assert set(dropped.codes) == {"flooded", "too_long"}
    # What is always written has its rate as well.
    ended = sum(b"call_ended" in line for line in lines)
    assert ended <= EVENTS_BURST + 5000 // EVENT_EVERY_MS + 1
    assert sum(len(line) for line in lines if b"call_ended" not in line) < 101_000


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
