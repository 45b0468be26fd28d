import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import (
    Spread,
    median,
    near,
    own_stall_ms,
    percentile,
    ratio,
    scripted_delay_ms,
    slope,
    spread,
)

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


def test_percentiles_are_values_by_nearest_rank():
    ranked = [float(value) for value in range(1, 101)]
    assert [percentile(ranked, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 51) == 2.0


@given(VALUES, st.floats(0, 100))
def test_no_smaller_value_covers_the_percentage(values, percent):
    ranked = sorted(values)
    found = percentile(ranked, percent)
    assert found in values
    assert sum(value <= found for value in ranked) >= len(ranked) * percent / 100 - 1e-6


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_a_percentile_of_nothing_is_an_error(values, percent):
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_a_spread_does_not_need_order():
    assert spread([3.0, 1.0, 2.0]) == Spread(3, 2.0, 3.0, 3.0)
    assert spread([]) == Spread()


def test_the_median_lies_between_the_middle_two():
    assert median([4.0, 1.0, 3.0]) == 3.0
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5
    with pytest.raises(ValueError, match="median"):
        median([])


@given(st.floats(-100, 100), st.floats(-1000, 1000), st.sets(st.integers(0, 800), min_size=2))
def test_the_slope_of_a_line_is_its_own(per_call_mb, idle_mb, counts):
    points = [(float(count), idle_mb + per_call_mb * count) for count in counts]
    assert slope(points) == pytest.approx(per_call_mb, abs=1e-6)


def test_the_slope_of_two_points_is_their_difference_quotient():
    assert slope([(100, 120.0), (300, 180.0)]) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="different"):
        slope([(100, 120.0), (100, 180.0)])


def test_the_first_sentence_ends_with_the_token_that_completes_it():
    delay_ms = scripted_delay_ms(
        "I can certainly help you with that today. Please tell me the order number.",
        first_token_ms=200,
        token_interval_ms=5,
        first_audio_ms=100,
    )
    assert delay_ms == 200 + 7 * 5 + 100


def test_a_first_clause_is_enough():
    delay_ms = scripted_delay_ms(
        "I can certainly help you today, if you tell me the number.",
        first_token_ms=0,
        token_interval_ms=10,
        first_audio_ms=0,
    )
    assert delay_ms == 50


def test_a_sentence_without_an_end_takes_the_whole_reply():
    delay_ms = scripted_delay_ms(
        "one two three", first_token_ms=0, token_interval_ms=10, first_audio_ms=1
    )
    assert delay_ms == 21
    with pytest.raises(ValueError, match="empty"):
        scripted_delay_ms(" ", first_token_ms=0, token_interval_ms=10, first_audio_ms=1)


def test_a_stall_is_ours_only_as_far_as_we_were_running():
    assert own_stall_ms(12.0, 1.5) == 1.5
    assert own_stall_ms(3.0, 8.0) == 3.0


def test_near_counts_both_ways():
    joins = [10.0, 20.0]
    assert near(joins, 20.04, earlier=0.05, later=0.005)
    assert near(joins, 19.996, earlier=0.05, later=0.005)
    assert not near(joins, 20.06, earlier=0.05, later=0.005)
    assert not near(joins, 19.99, earlier=0.05, later=0.005)
    assert not near([], 20.0, earlier=1, later=1)


def test_a_ratio_to_nothing_is_infinite():
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) == float("inf")
