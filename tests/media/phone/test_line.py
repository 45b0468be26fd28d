import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.convert import convert_all
from media.audio.format import L16_16K, MULAW_8K
from media.phone.line import Dry, Interval, Line
from media.phone.loudness import Loudness
from tests.support.phone_agent import mulaw_tone, tone

MS = 1000


def loud(ms: int) -> bytes:
    return mulaw_tone(ms)


def quiet(ms: int) -> bytes:
    return b"\xff" * (8 * ms)


def test_a_mark_comes_back_when_the_playhead_reaches_it() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(100))
    line.mark(0, "a")
    line.play(10 * MS, loud(50))
    line.mark(10 * MS, "b")
    assert line.next_deadline() == 100 * MS
    assert line.due(99_999) == []
    assert line.due(100 * MS) == ["a"]
    assert line.next_deadline() == 150 * MS
    assert line.due(151 * MS) == ["b"]
    assert line.next_deadline() is None


def test_a_mark_comes_back_at_once_when_nothing_is_queued() -> None:
    line = Line(MULAW_8K)
    line.mark(5, "first")
    assert line.due(5) == ["first"]
    line.play(10, loud(20))
    line.mark(20_011, "later")
    assert line.due(20_011) == ["later"]


def test_a_mark_on_the_last_sample_rounds_up() -> None:
    line = Line(L16_16K)
    line.play(0, b"\x00\x01" * 3)  # 187.5 us
    line.mark(0, "m")
    assert line.due(187) == []
    assert line.due(188) == ["m"]


def test_all_marks_come_back_after_a_clear_in_order() -> None:
    line = Line(MULAW_8K)
    for name in ("a", "b", "c"):
        line.play(0, loud(1000))
        line.mark(0, name)
    line.clear(300 * MS)
    assert line.due(300 * MS) == ["a", "b", "c"]
    assert line.heard == [(0, bytearray(loud(1000)[: 300 * 8]))]
    assert line.clears == [300 * MS]
    line.mark(300 * MS, "d")
    assert line.due(300 * MS) == ["d"]


def test_the_heard_timeline_has_silence_between_replies() -> None:
    line = Line(MULAW_8K)
    line.play(100 * MS, loud(40))
    line.play(110 * MS, loud(40))
    line.play(2_000 * MS, loud(20))
    line.advance(3_000 * MS)
    assert [(start, len(audio) // 8) for start, audio in line.heard] == [
        (100 * MS, 80),
        (2_000 * MS, 20),
    ]
    assert line.audible == [Interval(100 * MS, 180 * MS), Interval(2_000 * MS, 2_020 * MS)]
    assert line.late == []  # a new reply is not late


def test_what_was_audible_is_told_as_it_is_heard_not_as_it_arrives() -> None:
    line = Line(MULAW_8K)
    line.play(0, quiet(100) + loud(100))
    line.advance(110 * MS)
    assert line.take_audible() is None
    line.advance(145 * MS)
    assert line.take_audible() == (100 * MS, 140 * MS)
    line.advance(150 * MS)
    assert line.take_audible() is None
    line.advance(500 * MS)
    assert line.take_audible() == (140 * MS, 200 * MS)


def test_what_is_cleared_is_never_audible() -> None:
    line = Line(MULAW_8K)
    line.play(0, quiet(100) + loud(1000))
    line.clear(90 * MS)
    line.advance(5_000 * MS)
    assert line.audible == []


def test_running_dry_within_speech_is_a_gap_with_its_lateness() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(100))
    line.play(130 * MS, loud(100))
    line.advance(1_000 * MS)
    assert line.late == [Dry(100 * MS, 130 * MS, in_speech=True)]


def test_a_gap_in_a_pause_of_the_speaker_is_not_in_speech() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(100) + quiet(100))
    line.play(300 * MS, quiet(40) + loud(100))
    line.advance(1_000 * MS)
    assert line.late == [Dry(200 * MS, 300 * MS, in_speech=False)]


def test_several_late_frames_of_silence_count_once_speech_goes_on() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(20))
    for index in range(1, 5):
        line.play(index * 25 * MS, quiet(20) if index < 4 else loud(20))
    line.advance(1_000 * MS)
    assert [dry.end_us - dry.start_us for dry in line.late] == [5 * MS] * 4


@pytest.mark.parametrize("pause_ms", [1_000, 4_000])
def test_a_long_silence_is_no_gap(pause_ms: int) -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(100))
    line.play((100 + pause_ms) * MS, loud(100))
    line.advance(10_000 * MS)
    assert line.late == []


def test_audio_after_a_clear_is_no_gap() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(1000))
    line.clear(100 * MS)
    line.play(300 * MS, loud(100))
    line.advance(1_000 * MS)
    assert line.late == []
    assert len(line.audible) == 2


def test_arriving_exactly_in_time_is_not_late() -> None:
    line = Line(MULAW_8K)
    for index in range(5):
        line.play(index * 20 * MS, loud(20))
    line.advance(1_000 * MS)
    assert line.late == []
    assert line.audible == [Interval(0, 100 * MS)]


def test_frames_a_little_late_do_not_cut_the_speech_up() -> None:
    line = Line(MULAW_8K)
    for index in range(5):
        line.play(index * 22 * MS, loud(20))
    line.advance(1_000 * MS)
    assert len(line.late) == 4
    assert line.audible == [Interval(0, 4 * 22 * MS + 20 * MS)]


def test_more_than_ten_minutes_are_discarded() -> None:
    line = Line(MULAW_8K, keep_audio=False)
    minute = b"\xff" * (8 * 60_000)
    for _ in range(9):
        assert line.play(0, minute) == 0
    assert line.play(0, minute + minute[:8000]) == 1_000_000
    assert line.discarded_us == 1_000_000
    assert line.queued_us(0) == 600_000_000
    assert line.play(1_000_000, minute[:8000]) == 0


def test_hanging_up_silences_the_line_and_keeps_the_marks() -> None:
    line = Line(MULAW_8K)
    line.play(0, loud(1000))
    line.mark(0, "m")
    line.hang_up(500 * MS)
    assert line.due(10_000 * MS) == []
    assert line.heard_us == 500 * MS
    assert line.received_us == 1_000 * MS


def test_audio_need_not_be_kept() -> None:
    line = Line(MULAW_8K, keep_audio=False)
    line.play(0, loud(100))
    line.advance(200 * MS)
    assert line.heard == []
    assert line.audible == [Interval(0, 100 * MS)]


Operation = st.tuples(
    st.sampled_from(["play", "mark", "clear", "wait"]), st.integers(0, 400), st.integers(1, 3000)
)


@given(st.lists(Operation, max_size=40))
def test_marks_return_once_in_order_and_audio_is_heard_once(
    operations: list[tuple[str, int, int]],
) -> None:
    """Against a model that plays one byte every 125 us."""
    line = Line(MULAW_8K)
    now, empty_at, names, due, returned, sent = 0, 0, 0, {}, [], 0
    for kind, step_ms, size in operations:
        now += step_ms * MS
        returned += [(name, now) for name in line.due(now)]
        if kind == "play":
            line.play(now, bytes(size))
            sent += size
            empty_at = max(empty_at, now) + size * 125
        elif kind == "mark":
            due[str(names)] = max(empty_at, now)
            line.mark(now, str(names))
            names += 1
        elif kind == "clear":
            empty_at = now
            due = {name: min(at, now) for name, at in due.items()}
            line.clear(now)
    while (deadline := line.next_deadline()) is not None:
        now = max(now, deadline)
        returned += [(name, now) for name in line.due(now)]
    assert [name for name, _ in returned] == [str(index) for index in range(names)]
    assert all(at >= due[name] for name, at in returned)
    line.advance(now + 10_000_000_000)
    heard = sum(len(audio) for _, audio in line.heard)
    assert heard <= sent
    assert line.heard_us <= heard * 125
    if not line.clears:
        assert heard == sent


def test_loudness_is_the_energy_of_each_twenty_milliseconds() -> None:
    samples = tone(20, level=200.0) + tone(20, level=400.0) + bytes(320) + tone(10)
    judged = Loudness(MULAW_8K, -45.0).audible(
        convert_all(samples, MULAW_8K.__class__(L16_16K.encoding, 8000), MULAW_8K)
    )
    assert judged == [False, True, False, True]  # -47.3, -41.3 dB
    assert Loudness(L16_16K, -45.0).audible(tone(40, rate_hz=16000)) == [True, True]
