import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.convert import convert_all
from media.audio.format import (
    ALAW_8K,
    L16_8K,
    L16_16K,
    L16_24K,
    MULAW_8K,
    AudioFormat,
    Encoding,
)
from media.recording import SNAP_MS, TAKE_LIMIT_MS, RecordingTimeline

# One sample a millisecond, so that a model can be a list.
TINY = AudioFormat(Encoding.L16, 1000)


def pcm(*samples: int) -> bytes:
    return np.array(samples, "<i2").tobytes()


def tone(audio: AudioFormat, duration_ms: int, hz: int = 400) -> bytes:
    at_s = np.arange(audio.rate_hz * duration_ms // 1000) / audio.rate_hz
    samples = (8000 * np.sin(2 * np.pi * hz * at_s)).astype("<i2").tobytes()
    return convert_all(samples, AudioFormat(Encoding.L16, audio.rate_hz), audio)


def sides(stereo: bytes) -> tuple[list[int], list[int]]:
    both = np.frombuffer(stereo, "<i2").reshape(-1, 2)
    return both[:, 0].tolist(), both[:, 1].tolist()


def test_caller_is_left_agent_is_right_and_gaps_are_silence() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.caller(0, pcm(1, 2))
    timeline.agent(40, pcm(-7, -8, -9))
    left, right = sides(timeline.take(50))
    assert left == [1, 2] + [0] * 48
    assert right == [0] * 40 + [-7, -8, -9] + [0] * 7


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_8K])
def test_a_second_of_frames_in_the_lines_own_encoding(audio: AudioFormat) -> None:
    sound = tone(audio, 1000)
    timeline = RecordingTimeline(audio, audio)
    for at in range(0, len(sound), audio.frame_bytes):
        timeline.caller(audio.duration_ms(at), sound[at : at + audio.frame_bytes])
    left, right = sides(timeline.take(1000))
    assert pcm(*left) == convert_all(sound, audio, L16_8K)
    assert set(right) == {0}


def test_different_encodings_on_the_two_lines() -> None:
    timeline = RecordingTimeline(MULAW_8K, ALAW_8K)
    timeline.caller(0, tone(MULAW_8K, 100))
    timeline.agent(0, tone(ALAW_8K, 100))
    left, right = sides(timeline.take(100))
    assert pcm(*left) == convert_all(tone(MULAW_8K, 100), MULAW_8K, L16_8K)
    assert pcm(*right) == convert_all(tone(ALAW_8K, 100), ALAW_8K, L16_8K)


@pytest.mark.parametrize(
    ("caller", "agent"), [(MULAW_8K, L16_16K), (L16_24K, MULAW_8K), (L16_16K, L16_24K)]
)
def test_lines_of_different_rates_stay_aligned(caller: AudioFormat, agent: AudioFormat) -> None:
    timeline = RecordingTimeline(caller, agent)
    assert timeline.rate_hz == max(caller.rate_hz, agent.rate_hz)
    timeline.caller(1000, tone(caller, 300))
    timeline.agent(1000, tone(agent, 300))
    pieces = [timeline.take(until) for until in range(200, 2001, 200)]
    stereo = b"".join(pieces) + timeline.finish()
    left, right = (np.array(side, float) for side in sides(stereo))
    assert len(left) == timeline.rate_hz * 2
    middle = slice(timeline.rate_hz * 1100 // 1000, timeline.rate_hz * 1200 // 1000)
    difference = left[middle] - right[middle]
    one_sample_off = 8000 * 2 * np.pi * 400 / timeline.rate_hz / np.sqrt(2)
    assert np.sqrt(np.mean(difference**2)) < 0.75 * one_sample_off
    for side in (left, right):
        assert np.abs(side[: timeline.rate_hz * 990 // 1000]).max() < 50


def test_take_goes_on_where_it_stopped_in_the_middle_of_a_piece() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.agent(0, pcm(*range(1, 101)))
    assert sides(timeline.take(30))[1] == list(range(1, 31))
    assert sides(timeline.take(31))[1] == [31]
    assert timeline.take(31) == timeline.take(5) == b""
    assert sides(timeline.take(110))[1] == [*range(32, 101), *[0] * 10]


def test_a_cut_drops_what_was_not_played() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.agent(0, pcm(*[5] * 500))
    timeline.agent(500, pcm(*[6] * 500))
    timeline.take(100)
    timeline.cut_agent(300)
    timeline.agent(400, pcm(*[7] * 10))
    right = sides(timeline.take(1000))[1]
    assert right == [5] * 200 + [0] * 100 + [7] * 10 + [0] * 590


def test_a_cut_does_not_reach_what_was_taken_nor_the_caller() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.agent(0, pcm(*[5] * 100))
    timeline.caller(0, pcm(*[4] * 100))
    assert sides(timeline.take(50))[1] == [5] * 50
    timeline.cut_agent(10)
    assert sides(timeline.take(100)) == ([4] * 50, [0] * 50)


def test_a_cut_in_silence_is_no_end_of_audio() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.agent(0, pcm(*[5] * 100))
    timeline.take(200)
    timeline.agent(400, pcm(*[6] * 100))
    timeline.cut_agent(300)
    timeline.agent(310, pcm(*[7] * 10))
    assert sides(timeline.take(400))[1] == [0] * 110 + [7] * 10 + [0] * 80


def test_rounded_and_jittering_times_leave_no_gaps() -> None:
    timeline = RecordingTimeline(L16_16K, L16_16K)
    piece = pcm(*[9] * 163)  # 10.2 ms
    for number in range(50):
        timeline.agent(number * 163 // 16 + (number % 3), piece)
    right = sides(timeline.take(600))[1]
    assert right[: 50 * 163] == [9] * (50 * 163)
    assert set(right[50 * 163 :]) == {0}


def test_a_real_gap_stays_one() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.caller(0, pcm(*[1] * 20))
    timeline.caller(20 + SNAP_MS + 1, pcm(*[2] * 20))
    assert sides(timeline.take(61))[0] == [1] * 20 + [0] * 21 + [2] * 20


def test_one_wrong_time_spoils_only_its_own_audio() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.caller(0, pcm(*[1] * 20))
    timeline.caller(9_000, pcm(*[66] * 20))
    timeline.caller(10**15, pcm(*[66] * 20))
    timeline.caller(-(10**15), pcm(*[66] * 20))
    timeline.caller(40, pcm(*[2] * 20))
    assert sides(timeline.take(60))[0] == [1] * 20 + [0] * 20 + [2] * 20
    assert set(sides(timeline.take(9_500))[0]) == {0}
    assert (timeline.losses.ahead_ms, timeline.losses.late_ms) == (20, 20)


def test_late_audio_loses_only_what_is_late() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.take(100)
    timeline.caller(90, pcm(*range(1, 21)))
    assert sides(timeline.take(120))[0] == [*range(11, 21), *[0] * 10]
    assert timeline.losses.late_ms == 10


def test_audio_ahead_is_bounded() -> None:
    timeline = RecordingTimeline(TINY, TINY, caller_ahead_ms=100, agent_ahead_ms=200)
    timeline.agent(0, pcm(*[1] * 300))
    timeline.caller(90, pcm(*[2] * 20))
    assert timeline.losses.ahead_ms == 110
    assert sides(timeline.take(400)) == ([0] * 90 + [2] * 10 + [0] * 300, [1] * 200 + [0] * 200)


def test_crumbs_are_joined() -> None:
    timeline = RecordingTimeline(MULAW_8K, MULAW_8K)
    for number in range(8_000):
        timeline.agent(number // 8, bytes([number % 256]))
    assert len(timeline._agent._pieces) <= 100
    assert sides(timeline.take(1000))[1] == (
        np.frombuffer(
            convert_all(bytes(number % 256 for number in range(8_000)), MULAW_8K, L16_8K), "<i2"
        ).tolist()
    )


def test_half_samples_and_nothing_are_harmless() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    timeline.caller(0, b"")
    timeline.caller(0, b"\x01")
    timeline.caller(0, pcm(3) + b"\x01")
    assert sides(timeline.take(2))[0] == [3, 0]
    assert timeline.finish() == b""
    assert RecordingTimeline(TINY, L16_8K).finish() == b""


def test_one_take_is_bounded() -> None:
    timeline = RecordingTimeline(TINY, TINY)
    assert len(timeline.take(10**9)) == 4 * TAKE_LIMIT_MS
    assert timeline.taken_ms == TAKE_LIMIT_MS


class Model:
    """What one side should hold, a cell for each millisecond."""

    def __init__(self, ahead: int) -> None:
        self.cells: list[int | None] = []
        self.taken = 0
        self.ahead = ahead

    def end(self) -> int | None:
        return max((at + 1 for at, cell in enumerate(self.cells) if cell is not None), default=None)

    def drop_from(self, at: int) -> None:
        self.cells[at:] = []

    def write(self, at: int, samples: list[int]) -> None:
        end = self.end()
        if end is not None and abs(at - end) <= SNAP_MS:
            at = end
        placed = [
            (place, sample)
            for place, sample in enumerate(samples, at)
            if self.taken <= place < self.taken + self.ahead
        ]
        if placed:
            self.drop_from(placed[0][0])
        for place, sample in placed:
            self.cells += [None] * (place + 1 - len(self.cells))
            self.cells[place] = sample

    def cut(self, at: int) -> None:
        self.drop_from(max(at, self.taken))

    def take(self, until: int) -> list[int]:
        self.cells += [None] * (until - len(self.cells))
        out = [cell or 0 for cell in self.cells[self.taken : until]]
        self.taken = until
        return out


TIMES = st.integers(-50, 900)
WRITES = st.tuples(st.sampled_from(["caller", "agent"]), TIMES, st.integers(0, 150))
STEPS = st.one_of(
    WRITES,
    st.tuples(st.just("next"), st.integers(-30, 30), st.integers(1, 60)),
    st.tuples(st.just("cut"), TIMES, st.just(0)),
    st.tuples(st.just("take"), st.integers(0, 200), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
def test_any_writes_and_cuts_agree_with_the_model(steps: list[tuple[str, int, int]]) -> None:
    timeline = RecordingTimeline(TINY, TINY, caller_ahead_ms=300, agent_ahead_ms=500)
    caller, agent = Model(300), Model(500)
    value = 0
    for step, at, count in steps:
        samples = list(range(value + 1, value + count + 1))
        value += count
        match step:
            case "caller":
                timeline.caller(at, pcm(*samples))
                caller.write(at, samples)
            case "agent":
                timeline.agent(at, pcm(*samples))
                agent.write(at, samples)
            case "next":
                at += agent.end() or 0
                timeline.agent(at, pcm(*samples))
                agent.write(at, samples)
            case "cut":
                timeline.cut_agent(at)
                agent.cut(at)
            case "take":
                until = caller.taken + at
                assert sides(timeline.take(until)) == (caller.take(until), agent.take(until))
    until = caller.taken + 600
    assert sides(timeline.take(until)) == (caller.take(until), agent.take(until))
    assert timeline.take(until) == b""
