import struct
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio import g711

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = struct.pack("<65536h", *range(-32768, 32768))


def audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="left the standard library in 3.13")


def samples(pcm16):
    return struct.unpack(f"<{len(pcm16) // 2}h", pcm16)


@pytest.mark.parametrize("repeats", [1, 20], ids=["short", "long"])
def test_decoding_is_exact_for_every_code(repeats):
    codes = EVERY_CODE * repeats
    assert g711.decode_mulaw(codes) == audioop().ulaw2lin(codes, 2)
    assert g711.decode_alaw(codes) == audioop().alaw2lin(codes, 2)


@pytest.mark.parametrize("code", EVERY_CODE)
def test_each_code_decodes_alone(code):
    one = bytes([code])
    assert g711.decode_mulaw(one) == audioop().ulaw2lin(one, 2)
    assert g711.decode_alaw(one) == audioop().alaw2lin(one, 2)


def test_encoding_is_exact_for_every_sample():
    assert g711.encode_mulaw(EVERY_SAMPLE) == audioop().lin2ulaw(EVERY_SAMPLE, 2)
    assert g711.encode_alaw(EVERY_SAMPLE) == audioop().lin2alaw(EVERY_SAMPLE, 2)


def test_values_of_the_recommendation():
    # G.711 tables 1 and 2: the virtual ends of the range and the codes nearest to zero.
    assert samples(g711.decode_mulaw(b"\x80\x00\xff\x7f")) == (32124, -32124, 0, 0)
    assert samples(g711.decode_alaw(b"\xaa\x2a\xd5\x55")) == (32256, -32256, 8, -8)
    assert g711.encode_mulaw(struct.pack("<4h", 32767, -32768, 0, -8)) == b"\x80\x00\xff\x7e"
    assert g711.encode_alaw(struct.pack("<4h", 32767, -32768, 0, -1)) == b"\xaa\x2a\xd5\x55"


@given(st.binary(max_size=1000))
def test_a_code_survives_the_round_trip(codes):
    # Both zeros of µ-law decode to 0 and encode to the positive one.
    assert g711.encode_mulaw(g711.decode_mulaw(codes)) == codes.replace(b"\x7f", b"\xff")
    assert g711.encode_alaw(g711.decode_alaw(codes)) == codes


@given(st.binary(max_size=1000))
def test_between_the_laws_means_through_the_samples(codes):
    assert g711.mulaw_to_alaw(codes) == g711.encode_alaw(g711.decode_mulaw(codes))
    assert g711.alaw_to_mulaw(codes) == g711.encode_mulaw(g711.decode_alaw(codes))


def test_silence_stays_silence():
    assert g711.mulaw_to_alaw(b"\xff") == b"\xd5"


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError):
        g711.encode_mulaw(b"\0\0\0")
    with pytest.raises(ValueError):
        g711.encode_alaw(b"\0")


def test_nothing_is_nothing():
    for function in (g711.decode_mulaw, g711.encode_mulaw, g711.mulaw_to_alaw):
        assert function(b"") == b""
