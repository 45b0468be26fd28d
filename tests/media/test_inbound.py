import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import L16_16K, MULAW_8K
from media.carrier import AudioIn
from media.inbound import Inbound

FRAME = MULAW_8K.frame_bytes
SILENCE = b"\xff"


def audio(number, size=FRAME):
    """Bytes that tell where they come from; never silence."""
    return bytes([number % 200 + 1]) * size


def piece(number, timestamp_ms=None, size=FRAME):
    return AudioIn(audio(number, size), timestamp_ms, number)


def receive_all(inbound, pieces):
    return [frame for one in pieces for frame in inbound.receive(one)] + inbound.flush()


class TestFrames:
    @given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=20))
    def test_any_split_gives_the_same_frames(self, whole, cuts):
        inbound, at, frames = Inbound(MULAW_8K), 0, []
        for cut in [*sorted(cuts), len(whole)]:
            frames += inbound.receive(AudioIn(whole[at:cut]))
            at = max(at, cut)
        frames += inbound.flush()
        assert {len(frame) for frame in frames} <= {FRAME}
        padding = SILENCE * (-len(whole) % FRAME)
        assert b"".join(frames) == whole + padding
        assert inbound.position_ms == len(frames) * 20

    @given(st.lists(st.integers(1, 700), max_size=30), st.integers(0, 10**7))
    def test_steady_timestamps_change_nothing(self, sizes, first_ms):
        whole = b"".join(audio(number, size) for number, size in enumerate(sizes))
        inbound, at, frames = Inbound(MULAW_8K), 0, []
        for size in sizes:
            timestamp_ms = first_ms + MULAW_8K.duration_ms(at)
            frames += inbound.receive(AudioIn(whole[at : at + size], timestamp_ms))
            at += size
        assert b"".join(frames + inbound.flush()).startswith(whole)
        assert inbound.counters == Inbound(MULAW_8K).counters

    def test_a_whole_frame_in_step_is_not_copied(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        for number in range(5):
            one = piece(number, 57 + number * 20)
            (frame,) = inbound.receive(one)
            assert frame is one.payload

    def test_wide_samples(self):
        inbound = Inbound(L16_16K)
        assert inbound.receive(AudioIn(bytes(641), 5)) == [bytes(640)]
        assert inbound.receive(AudioIn(bytes(639), 25)) == [bytes(640)]
        assert inbound.flush() == []

    def test_an_empty_piece_is_nothing(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        assert inbound.receive(AudioIn(b"", 5, 1)) == []
        assert inbound.receive(AudioIn(audio(2), 5, 2)) == [audio(2)]


class TestGaps:
    def test_the_first_timestamp_is_the_start_whatever_it_is(self):
        inbound = Inbound(MULAW_8K)
        assert inbound.receive(piece(1, 171)) == [audio(1)]
        assert inbound.counters.gap_ms == 0

    def test_a_jump_is_filled_with_silence(self):
        inbound = Inbound(MULAW_8K)
        inbound.receive(piece(1, 57))
        assert inbound.receive(piece(2, 57 + 20 + 40)) == [SILENCE * FRAME] * 2 + [audio(2)]
        assert inbound.receive(piece(3, 57 + 80)) == [audio(3)]
        assert inbound.counters.gap_ms == 40
        assert inbound.position_ms == 100

    def test_a_gap_of_no_whole_frame(self):
        inbound = Inbound(MULAW_8K)
        inbound.receive(piece(1, 0))
        frames = inbound.receive(piece(2, 45)) + inbound.flush()
        assert b"".join(frames) == SILENCE * 200 + audio(2) + SILENCE * 120
        assert inbound.counters.gap_ms == 25

    def test_jitter_under_a_frame_is_no_gap(self):
        inbound = Inbound(MULAW_8K)
        for number, jitter_ms in enumerate([0, 5, -5, 19, -19, 0]):
            assert len(inbound.receive(piece(number, 100 + number * 20 + jitter_ms))) == 1
        assert inbound.counters == Inbound(MULAW_8K).counters

    def test_small_losses_add_up_to_a_gap(self):
        inbound = Inbound(MULAW_8K)
        for number, timestamp_ms in enumerate([0, 20, 50, 70, 100]):
            inbound.receive(piece(number, timestamp_ms))
        assert inbound.counters.gap_ms == 20
        assert inbound.position_ms == 120

    def test_the_fill_is_capped(self):
        inbound = Inbound(MULAW_8K, gap_limit_ms=100)
        inbound.receive(piece(1, 0))
        frames = inbound.receive(piece(2, 5000))
        assert frames == [SILENCE * FRAME] * 5 + [audio(2)]
        assert inbound.receive(piece(3, 5020)) == [audio(3)]
        assert inbound.counters.gap_ms == 100
        assert inbound.counters.unfilled_ms == 4980 - 100

    @given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=15))
    def test_position_is_audio_plus_gaps(self, runs):
        """Runs of frames in step, with gaps of whole frames between them."""
        inbound, at_ms, number = Inbound(MULAW_8K), 57, 0
        frames, expected, lost = [], [], 0
        for gap, length in runs:
            gap = gap if number else 0
            at_ms += gap * 20
            expected += [SILENCE * FRAME] * gap
            lost += gap
            # Two frames at least, so that the clock is seen in step between the gaps.
            for _ in range(length + 1):
                frames += inbound.receive(piece(number, at_ms))
                expected.append(audio(number))
                at_ms += 20
                number += 1
        assert frames == expected
        assert inbound.counters.gap_ms == lost * 20
        assert inbound.counters.bad_timestamps == 0
        assert inbound.position_ms == len(expected) * 20

    def test_one_bad_timestamp_is_not_believed(self):
        for bad_ms in (0, 10**30, -(10**30), 61_000 + 200):
            inbound = Inbound(MULAW_8K)
            for number, timestamp_ms in enumerate([100, 120, bad_ms, 160, 180]):
                assert inbound.receive(piece(number, timestamp_ms)) == [audio(number)]
            assert inbound.counters.bad_timestamps == 1
            assert inbound.counters.gap_ms == 0

    @pytest.mark.parametrize("restart_ms", [0, 10**9])
    def test_a_clock_that_starts_anew_is_believed_in_the_end(self, restart_ms):
        inbound = Inbound(MULAW_8K)
        for number in range(10):
            inbound.receive(piece(number, 10_000 + number * 20))
        for number in range(20):
            assert len(inbound.receive(piece(number, restart_ms + number * 20))) == 1
        assert inbound.counters.bad_timestamps == 8
        frames = inbound.receive(piece(20, restart_ms + 20 * 20 + 60))
        assert frames == [SILENCE * FRAME] * 3 + [audio(20)]

    @pytest.mark.parametrize("unit_per_frame", [0, 1, 160, 320])
    def test_a_clock_in_another_unit_does_not_drown_the_call(self, unit_per_frame):
        inbound = Inbound(MULAW_8K)
        frames = receive_all(inbound, (piece(n, 500 + n * unit_per_frame) for n in range(500)))
        assert len([frame for frame in frames if frame != SILENCE * FRAME]) == 500
        assert inbound.counters.gap_ms <= 8 * 300

    @given(
        st.lists(
            st.tuples(
                st.none() | st.integers() | st.integers(0, 2000),
                st.none() | st.integers() | st.integers(0, 100),
                st.integers(0, 500),
            ),
            max_size=60,
        ),
        st.integers(0, 4),
    )
    def test_whatever_comes_stays_within_bounds(self, arrivals, window):
        inbound = Inbound(MULAW_8K, reorder_frames=window, gap_limit_ms=200)
        frames, taken = [], 0
        for timestamp_ms, sequence, size in arrivals:
            frames += inbound.receive(AudioIn(bytes(size), timestamp_ms, sequence))
            taken += size
            assert len(inbound._held) <= window
        frames += inbound.flush()
        assert {len(frame) for frame in frames} <= {FRAME}
        silence = inbound.counters.gap_ms * 8
        assert silence <= 200 * 8 * len(arrivals)
        assert len(frames) * FRAME < taken + silence + FRAME
        if not inbound.counters.late and not inbound.counters.duplicate:
            assert len(frames) * FRAME >= taken + silence


class TestOrder:
    @given(st.integers(0, 2**40), st.integers(2, 60), st.integers(1, 5), st.randoms())
    def test_shuffles_within_the_window_come_back_in_order(self, first, count, window, rng):
        numbers = list(range(first + 1, first + count))
        # No piece moves further than the window when each is displaced by less than it.
        shuffled = sorted(numbers, key=lambda number: number + rng.uniform(0, window))
        inbound = Inbound(MULAW_8K, reorder_frames=window)
        pieces = (piece(number, number * 20) for number in [first, *shuffled])
        assert receive_all(inbound, pieces) == [audio(number) for number in [first, *numbers]]
        assert inbound.counters.late == inbound.counters.duplicate == inbound.counters.gap_ms == 0
        assert (inbound.counters.reordered > 0) == (shuffled != numbers)

    def test_in_order_nothing_waits(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        for number in range(7, 20):
            assert inbound.receive(piece(number, number * 20)) == [audio(number)]

    def test_a_missing_piece_is_waited_for_as_long_as_the_window(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        inbound.receive(piece(10, 200))
        for number in (12, 13, 14):
            assert inbound.receive(piece(number, number * 20)) == []
        assert inbound.receive(piece(15, 300)) == [
            SILENCE * FRAME,
            *(audio(number) for number in (12, 13, 14, 15)),
        ]
        assert inbound.counters.gap_ms == 20

    def test_it_came_in_time(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        inbound.receive(piece(10, 200))
        for number in (12, 13, 14):
            inbound.receive(piece(number, number * 20))
        frames = inbound.receive(piece(11, 220))
        assert frames == [audio(number) for number in (11, 12, 13, 14)]
        assert inbound.counters.reordered == 1

    def test_late_and_repeated_pieces_are_dropped(self):
        inbound = Inbound(MULAW_8K, reorder_frames=2)
        for number in (10, 12, 12, 13, 14):
            inbound.receive(piece(number, number * 20))
        assert inbound.receive(piece(11, 220)) == []
        assert inbound.receive(piece(14, 280)) == []
        assert inbound.receive(piece(11, 220)) == [], "late, and then again"
        assert inbound.receive(piece(15, 300)) == [audio(15)]
        assert inbound.counters.late == 1
        assert inbound.counters.duplicate == 3

    def test_what_comes_before_the_first_is_late(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        for number in (10, 9, 10, 8, 11):
            inbound.receive(piece(number, number * 20))
        assert (inbound.counters.late, inbound.counters.duplicate) == (2, 1)

    def test_what_was_given_up_is_not_remembered_for_ever(self):
        inbound = Inbound(MULAW_8K, reorder_frames=1)
        for number in range(0, 40_000, 20):
            inbound.receive(piece(number))
            inbound.receive(piece(number + 1))
        assert len(inbound._given_up) <= 120

    def test_a_count_that_starts_anew_is_followed(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        inbound.receive(piece(1000))
        inbound.receive(piece(1002))
        assert inbound.receive(piece(1)) == [audio(1002), audio(1)]
        assert inbound.receive(piece(2)) == [audio(2)]

    def test_one_mad_number_does_not_stop_the_audio(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        numbers = [1, 2, 10**12, 3, 4, 5]
        assert receive_all(inbound, map(piece, numbers)) == [audio(n) for n in numbers]

    def test_flush_hands_out_what_waits(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        inbound.receive(piece(1, 20))
        inbound.receive(piece(4, 80, size=100))
        inbound.receive(piece(3, 60))
        assert inbound.flush() == [
            SILENCE * FRAME,
            audio(3),
            audio(4, 100) + SILENCE * 60,
        ]
        assert inbound.flush() == []

    def test_without_a_window_numbers_are_ignored(self):
        inbound = Inbound(MULAW_8K)
        for number in (5, 4, 4, 9):
            assert inbound.receive(piece(number)) == [audio(number)]
        assert inbound.counters.late == 0

    def test_pieces_without_numbers_pass_a_window(self):
        inbound = Inbound(MULAW_8K, reorder_frames=3)
        for number in range(3):
            assert inbound.receive(AudioIn(audio(number))) == [audio(number)]

    def test_pieces_of_any_size_are_ordered_by_number(self):
        rng = random.Random(3)
        sizes = [rng.randrange(1, 900) for _ in range(40)]
        pieces, at = [], 0
        for number, size in enumerate(sizes, start=30):
            pieces.append(AudioIn(audio(number, size), 5 + MULAW_8K.duration_ms(at), number))
            at += size
        expected = receive_all(Inbound(MULAW_8K), pieces)
        for first in range(1, 37, 4):
            block = pieces[first : first + 4]
            rng.shuffle(block)
            pieces[first : first + 4] = block
        assert receive_all(Inbound(MULAW_8K, reorder_frames=3), pieces) == expected
