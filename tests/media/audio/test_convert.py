import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio import g711
from media.audio.convert import Converter, convert_all
from media.audio.format import ALAW_8K, L16_8K, L16_16K, L16_24K, MULAW_8K

FORMATS = st.sampled_from([MULAW_8K, ALAW_8K, L16_8K, L16_16K, L16_24K])


def speechlike(audio, duration_ms):
    rng = np.random.default_rng(1)
    noise = np.cumsum(rng.standard_normal(16 * duration_ms)) * 200
    pcm16 = np.clip(noise - noise.mean(), -30000, 30000).astype("<i2").tobytes()
    return convert_all(pcm16, L16_16K, audio)


@given(source=FORMATS, target=FORMATS, cuts=st.lists(st.integers(0, 3000), max_size=10))
@settings(max_examples=80, deadline=None)
def test_the_split_does_not_matter(source, target, cuts):
    audio = speechlike(source, 60)
    converter, at, pieces = Converter(source, target), 0, []
    for cut in [*sorted(cuts), len(audio)]:
        pieces.append(converter.process(audio[at:cut]))
        at = max(at, cut)
    split = b"".join(pieces) + converter.flush()
    once = Converter(source, target)
    assert split == once.process(audio) + once.flush()
    assert target.duration_ms(len(split)) == pytest.approx(60, abs=1)


@given(st.binary(max_size=500))
def test_equal_formats_pass_untouched(audio):
    for same in (MULAW_8K, L16_16K):
        converter = Converter(same, same)
        assert converter.process(audio) is audio
        assert converter.flush() == b""


def test_equal_rates_use_the_tables():
    codes = bytes(range(256))
    assert Converter(MULAW_8K, L16_8K).process(codes) == g711.decode_mulaw(codes)
    assert Converter(ALAW_8K, L16_8K).process(codes) == g711.decode_alaw(codes)
    assert Converter(MULAW_8K, ALAW_8K).process(codes) == g711.mulaw_to_alaw(codes)
    assert Converter(ALAW_8K, MULAW_8K).process(codes) == g711.alaw_to_mulaw(codes)


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_half_a_sample_waits_for_its_other_half(pieces):
    whole = b"".join(pieces)
    converter = Converter(L16_8K, MULAW_8K)
    result = b"".join(converter.process(piece) for piece in pieces) + converter.flush()
    assert result == g711.encode_mulaw(whole[: len(whole) // 2 * 2])


def test_reset_forgets_the_cut_reply():
    converter = Converter(L16_24K, MULAW_8K)
    converter.process(speechlike(L16_24K, 40) + b"\x01")
    converter.reset()
    result = converter.process(bytes(4800)) + converter.flush()
    assert set(result) == {0xFF}


def test_a_whole_recording_at_once():
    audio = speechlike(L16_24K, 200)
    result = convert_all(audio + b"\x01", L16_24K, ALAW_8K)
    assert len(result) == ALAW_8K.bytes_per_ms * 200
    streamed = Converter(L16_24K, ALAW_8K)
    other = streamed.process(audio) + streamed.flush()
    a, b = (np.frombuffer(g711.decode_alaw(x), "<i2").astype(float) for x in (result, other))
    assert np.corrcoef(a, b)[0, 1] > 0.99
    assert convert_all(audio, L16_24K, L16_24K) is audio
