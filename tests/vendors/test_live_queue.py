"""The queue of a live socket, whatever is put into it."""

from hypothesis import given
from hypothesis import strategies as st

from voicecore.adapters.live_queue import SendQueue

MESSAGES = st.lists(
    st.tuples(st.binary(min_size=1, max_size=30), st.booleans(), st.booleans()), max_size=40
)


@given(MESSAGES)
def test_control_is_never_dropped_audio_is_bounded_and_order_is_kept(
    given_messages: list[tuple[bytes, bool, bool]],
) -> None:
    queue = SendQueue(50, 200)
    left: list[tuple[bytes, bool]] = []
    for data, droppable, taken in given_messages:
        left.append((data, droppable))
        for size in queue.put(data, droppable=droppable):
            oldest = next(each for each in left if each[1])
            assert len(oldest[0]) == size
            left.remove(oldest)
        assert queue.audio_bytes == sum(len(data) for data, audio in left if audio) <= 50
        assert queue.overfull == (sum(len(data) for data, audio in left if not audio) > 200)
        if taken and left:
            assert queue.take() == left.pop(0)
    assert [queue.take() for _ in range(len(queue))] == left
    assert queue.audio_bytes == 0


def test_nothing_is_left_of_a_cleared_queue() -> None:
    queue = SendQueue(10, 10)
    queue.put(b"x" * 9, droppable=True)
    queue.put("y" * 11, droppable=False)
    assert queue.overfull
    queue.clear()
    assert (len(queue), queue.audio_bytes, queue.overfull) == (0, 0, False)
