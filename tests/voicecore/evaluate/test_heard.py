"""Records are made as the phone makes them: audio through ``Line``, with clears."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import MULAW_8K
from media.audio.g711 import encode_mulaw
from media.phone.line import Line
from voicecore.evaluate.heard import Segment, continuation_ms, segments
from voicecore.phone.record import CallRecord

MS = 1000


def speech(ms: int, seed: int = 1) -> bytes:
    """Audible noise, the same nowhere."""
    noise = np.random.default_rng(seed).standard_normal(ms * 8) * 3000
    return encode_mulaw(noise.astype("<i2").tobytes())


def record(line: Line, end_ms: int) -> CallRecord:
    line.hang_up(end_ms * MS)
    return CallRecord(
        0, "completed", "", "caller", duration_us=end_ms * MS, clears=tuple(line.clears),
        heard=tuple((at, bytes(audio)) for at, audio in line.heard),
        unheard=tuple(line.unheard),
    )  # fmt: skip


def heard(line: Line, end_ms: int, resumed_ms: tuple[int, ...] = ()) -> tuple[Segment, ...]:
    return segments(record(line, end_ms), MULAW_8K, resumed_ms)


def test_a_reply_that_ends_by_itself() -> None:
    line = Line(MULAW_8K)
    line.play(1000 * MS, MULAW_8K.silence(100) + speech(900) + MULAW_8K.silence(200))
    assert heard(line, 4000) == (Segment(1100, 2000),)


def test_a_reply_that_is_cut_off() -> None:
    line = Line(MULAW_8K)
    line.play(1000 * MS, speech(900))
    line.clear(1500 * MS)
    line.play(3000 * MS, speech(500, seed=2))
    first, second = heard(line, 6000)
    assert (first.start_ms, first.end_ms, first.how) == (1000, 1500, "cut")
    assert (second.start_ms, second.how, second.continues) == (3000, "ended", False)


@pytest.mark.parametrize(
    ("from_ms", "offset_ms", "lost_ms"), [(500, 0, 0), (480, -20, 0), (560, 60, 60), (430, -70, 0)]
)
def test_a_reply_that_goes_on(from_ms: int, offset_ms: int, lost_ms: int) -> None:
    audio = speech(2000)
    line = Line(MULAW_8K)
    line.play(1000 * MS, audio[: 700 * 8])
    line.clear(1500 * MS)
    line.play(1900 * MS, audio[from_ms * 8 :])
    first, second = heard(line, 9000)
    assert (first.how, first.end_ms, second.start_ms) == ("cut", 1500, 1900)
    assert second.continues
    assert (second.offset_ms, second.lost_ms) == (offset_ms, lost_ms)


def test_what_goes_on_after_a_silence_is_found_too() -> None:
    audio = speech(450) + MULAW_8K.silence(250) + speech(900, seed=2)
    line = Line(MULAW_8K)
    line.play(0, audio[: 800 * 8])
    line.clear(500 * MS)
    line.play(900 * MS, audio[500 * 8 :])
    _, second = heard(line, 9000)
    assert (second.continues, second.offset_ms, second.lost_ms) == (True, 0, 0)


class TestWhereOnlySilenceWasTakenBack:
    """The agent was between two sentences; the second begins at 900 ms."""

    def heard(self, taken_back: bytes, resumed_ms: int) -> tuple[Segment, ...]:
        line = Line(MULAW_8K)
        line.play(0, speech(440) + MULAW_8K.silence(60) + taken_back)
        line.clear(500 * MS)
        line.play(900 * MS, speech(900, seed=2))
        return heard(line, 9000, (resumed_ms,))

    @pytest.mark.parametrize("resumed_ms", [810, 900, 990])
    def test_the_server_is_believed_that_it_went_on(self, resumed_ms: int) -> None:
        first, second = self.heard(MULAW_8K.silence(200), resumed_ms)
        assert (first.how, first.end_ms, second.start_ms) == ("cut", 440, 900)
        assert (second.continues, second.offset_ms, second.lost_ms) == (True, 0, 0)

    @pytest.mark.parametrize("resumed_ms", [500, 1100])
    def test_not_if_it_says_so_of_another_moment(self, resumed_ms: int) -> None:
        assert not self.heard(MULAW_8K.silence(200), resumed_ms)[1].continues

    def test_not_if_there_was_sound(self) -> None:
        assert not self.heard(MULAW_8K.silence(100) + speech(100, seed=3), 900)[1].continues


def test_late_audio_does_not_end_a_reply() -> None:
    line = Line(MULAW_8K)
    line.play(0, speech(500))
    line.play(700 * MS, speech(500, seed=2))
    assert heard(line, 5000) == (Segment(0, 1200, late_ms=200),)


def test_the_call_ends_in_the_middle_of_a_reply() -> None:
    line = Line(MULAW_8K)
    line.play(0, speech(2000))
    (only,) = heard(line, 1000)
    assert (only.end_ms, only.how) == (1000, "call_ended")


def test_a_clear_of_nothing_cuts_nothing() -> None:
    line = Line(MULAW_8K)
    line.play(0, speech(500))
    line.clear(900 * MS)
    assert heard(line, 3000) == (Segment(0, 500),)


@given(st.integers(300, 700), st.integers(-40, 100))
def test_any_offset_is_measured(cut_ms: int, offset_ms: int) -> None:
    audio = speech(1500)
    known, tail = audio[: cut_ms * 8], audio[cut_ms * 8 : (cut_ms + 200) * 8]
    after = audio[(cut_ms + offset_ms) * 8 :]
    assert continuation_ms(known, tail, after, MULAW_8K) == offset_ms


def test_a_soft_beginning_is_found() -> None:
    """Between two words a voice is below what counts as audible, and still not silent."""
    soft = (np.random.default_rng(5).standard_normal(150 * 8) * 60).astype("<i2").tobytes()
    audio = speech(500) + encode_mulaw(soft) + speech(900, seed=2)
    line = Line(MULAW_8K)
    line.play(0, audio[: 640 * 8])
    line.clear(500 * MS)
    line.play(900 * MS, audio[480 * 8 :])
    _, second = heard(line, 9000)
    assert (second.continues, second.offset_ms) == (True, -20)


def test_a_reply_that_is_said_again_does_not_go_on() -> None:
    line = Line(MULAW_8K)
    line.play(0, speech(1800))
    line.clear(1500 * MS)
    line.play(2500 * MS, speech(1800))
    _, second = heard(line, 9000)
    assert not second.continues


def test_another_reply_is_no_continuation() -> None:
    assert continuation_ms(speech(900), speech(200, 2), speech(900, 3), MULAW_8K) is None
