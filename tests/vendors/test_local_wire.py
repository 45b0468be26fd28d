import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.local import wire

FACTS = st.dictionaries(st.text(max_size=10), st.integers(0, 2**40) | st.text(max_size=20))
IDS = st.integers(0, 2**62)


def split(frame: bytes) -> tuple[bytes, bytes]:
    head, body = wire.sizes(frame[: wire.PREFIX_BYTES])
    rest = frame[wire.PREFIX_BYTES :]
    assert len(rest) == head + body
    return rest[:head], rest[head:]


@given(
    st.builds(wire.Start, FACTS) | st.builds(wire.Job, IDS, FACTS) | st.builds(wire.Cancel, IDS),
    st.binary(max_size=100),
)
def test_requests_come_back_as_they_were(request_, body):
    header, data = split(wire.encode(request_, body))
    assert (wire.decode_request(header), data) == (request_, body)


@given(
    st.builds(wire.Output, IDS, FACTS)
    | st.builds(wire.Done, IDS)
    | st.builds(wire.Failed, IDS, st.text(), st.text(), st.booleans())
    | st.builds(wire.Ready, FACTS)
)
def test_responses_come_back_as_they_were(response):
    assert wire.decode_response(split(wire.encode(response))[0]) == response


@given(st.binary(max_size=200))
def test_anything_else_is_refused_as_one_kind_of_error(junk):
    for decode in (wire.decode_request, wire.decode_response):
        try:
            decode(junk)
        except wire.WireError:
            continue


@pytest.mark.parametrize(
    "prefix",
    [
        b"\x00" * 8,
        b"\xff" * 8,
        (wire.MAX_HEADER_BYTES + 1).to_bytes(4, "little") + bytes(4),
        (1).to_bytes(4, "little") + (wire.MAX_BODY_BYTES + 1).to_bytes(4, "little"),
    ],
)
def test_sizes_out_of_bounds_are_refused(prefix):
    with pytest.raises(wire.WireError):
        wire.sizes(prefix)


def test_a_frame_that_is_too_large_is_not_sent():
    with pytest.raises(wire.WireError):
        wire.encode(wire.Done(1), bytes(wire.MAX_BODY_BYTES + 1))
