import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio.resample import Resampler, resample_all

RATES = st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000])


def tone(frequency_hz, rate_hz, duration_ms=500, peak=10000):
    at = np.arange(rate_hz * duration_ms // 1000) / rate_hz
    return np.rint(peak * np.sin(2 * np.pi * frequency_hz * at)).astype("<i2").tobytes()


def whole(resampler, pcm16):
    return resampler.process(pcm16) + resampler.flush()


def level_db(pcm16, frequency_hz, rate_hz):
    """Level of one frequency, 0 dB being a full-scale sine, away from the ends."""
    signal = np.frombuffer(pcm16, "<i2").astype(float)[rate_hz // 20 : -rate_hz // 20]
    window = np.hanning(len(signal))
    at = np.arange(len(signal)) / rate_hz
    product = (signal * window * np.exp(-2j * np.pi * frequency_hz * at)).sum()
    return 20 * np.log10(max(abs(product) * 2 / window.sum() / 32768, 1e-9))


@given(from_hz=RATES, to_hz=RATES, cuts=st.lists(st.integers(0, 4000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_split_does_not_matter(from_hz, to_hz, cuts):
    pcm16 = tone(440, from_hz, 40)
    resampler, at, pieces = Resampler(from_hz, to_hz), 0, []
    for cut in [*sorted(cuts), len(pcm16)]:
        pieces.append(resampler.process(pcm16[at:cut]))
        at = max(at, cut)
    split = b"".join(pieces) + resampler.flush()
    assert split == whole(Resampler(from_hz, to_hz), pcm16)
    assert len(split) // 2 == pytest.approx(len(pcm16) // 2 * to_hz / from_hz, abs=2)


def test_equal_rates_carry_only_the_odd_byte():
    resampler = Resampler(8000, 8000)
    assert resampler.process(b"\x01\x02\x03") == b"\x01\x02"
    assert resampler.process(b"\x04\x05") == b"\x03\x04"
    assert resampler.flush() == b""
    assert resampler.process(b"\x06\x07") == b"\x06\x07"


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (16000, 8000), (24000, 8000)])
def test_audio_comes_out_as_it_goes_in_at_most_30_ms_behind(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    frame, out_ms = tone(300, from_hz, 20), 0.0
    for frames_in in range(1, 26):
        out_ms += len(resampler.process(frame)) / 2 / to_hz * 1000
        assert frames_in * 20 - 30 <= out_ms <= frames_in * 20


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (24000, 8000), (8000, 24000)])
@pytest.mark.parametrize("frequency_hz", [300, 1000, 3400])
def test_speech_frequencies_keep_their_level(from_hz, to_hz, frequency_hz):
    source = tone(frequency_hz, from_hz)
    converted = whole(Resampler(from_hz, to_hz), source)
    expected = level_db(source, frequency_hz, from_hz)
    assert level_db(converted, frequency_hz, to_hz) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("frequency_hz", [4800, 6000, 9000])
def test_what_the_lower_rate_cannot_hold_does_not_fold_back(frequency_hz):
    converted = whole(Resampler(24000, 8000), tone(frequency_hz, 24000))
    assert level_db(converted, abs(frequency_hz - 8000), 8000) < -65


def test_reset_leaves_nothing_of_the_past():
    resampler = Resampler(24000, 8000)
    resampler.process(tone(1000, 24000, 30, peak=30000) + b"\x7f")
    resampler.reset()
    silence = bytes(24000 * 2 // 10)
    assert not any(whole(resampler, silence))


def test_flush_leaves_it_as_new():
    resampler, source = Resampler(8000, 16000), tone(440, 8000, 60)
    first = whole(resampler, source + b"\x55")
    assert whole(resampler, source) == first
    assert resampler.flush() == b""


def test_loud_input_is_clipped_and_does_not_wrap():
    square = np.tile(np.repeat(np.array([32767, -32768], "<i2"), 20), 100).tobytes()
    result = np.frombuffer(whole(Resampler(8000, 16000), square), "<i2").astype(int)
    held = np.frombuffer(np.repeat(np.frombuffer(square, "<i2"), 2), "<i2").astype(int)
    steady = np.abs(held - np.roll(held, 8)) + np.abs(held - np.roll(held, -8)) == 0
    assert (np.sign(result[steady]) == np.sign(held[steady])).all()


def test_a_whole_recording():
    source = tone(1000, 24000)
    converted = resample_all(source, 24000, 8000)
    assert len(converted) == len(source) // 3
    assert level_db(converted, 1000, 8000) == pytest.approx(level_db(source, 1000, 24000), abs=0.1)
    assert resample_all(source, 8000, 8000) == source
    with pytest.raises(ValueError):
        resample_all(b"\0", 8000, 8000)


@pytest.mark.parametrize("rates", [(0, 8000), (8000, 0), (-8000, 8000)])
def test_rates_are_positive(rates):
    with pytest.raises(ValueError):
        Resampler(*rates)
    with pytest.raises(ValueError):
        resample_all(b"", *rates)
