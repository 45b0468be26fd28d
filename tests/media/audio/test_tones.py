import numpy as np
import pytest

from media.audio.tones import DTMF_DIGITS, MAX_DIGITS, dtmf, dtmf_ms, frequencies_hz

GROUP_HZ = (697, 770, 852, 941, 1209, 1336, 1477, 1633)


def peak_of(signal, frequency_hz, rate_hz):
    at = np.arange(len(signal)) / rate_hz
    window = np.hanning(len(signal))
    return abs((signal * window * np.exp(-2j * np.pi * frequency_hz * at)).sum()) * 2 / window.sum()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000])
@pytest.mark.parametrize("digit", DTMF_DIGITS)
def test_a_digit_is_its_two_frequencies(digit, rate_hz):
    pcm16 = dtmf(digit, rate_hz)
    assert len(pcm16) == rate_hz // 5 * 2
    signal = np.frombuffer(pcm16, "<i2").astype(float)[: rate_hz // 10]
    low_hz, high_hz = frequencies_hz(digit)
    peaks = {hz: peak_of(signal, hz, rate_hz) for hz in GROUP_HZ}
    twist_db = 20 * np.log10(peaks[high_hz] / peaks[low_hz])
    assert 1 <= twist_db <= 3
    assert 20 * np.log10(peaks[high_hz] / 32768) == pytest.approx(-6, abs=0.3)
    others = max(level for hz, level in peaks.items() if hz not in (low_hz, high_hz))
    assert others < peaks[low_hz] / 10
    assert np.abs(signal).max() < 32767


def test_the_keypad_of_q_23():
    assert [frequencies_hz(digit) for digit in "159D0*#A"] == [
        (697, 1209),
        (770, 1336),
        (852, 1477),
        (941, 1633),
        (941, 1336),
        (941, 1209),
        (941, 1477),
        (697, 1633),
    ]


def test_tone_then_gap():
    pcm16 = dtmf("5", 8000, tone_ms=80, gap_ms=60)
    assert len(pcm16) == 140 * 16
    assert any(pcm16[70 * 16 : 80 * 16])
    assert not any(pcm16[80 * 16 :])


def test_a_tone_starts_and_ends_without_a_click():
    signal = np.frombuffer(dtmf("D", 48000), "<i2").astype(float)[:4800]
    assert np.abs(signal).max() > 25000
    assert np.abs(signal[:24]).max() < 8000
    assert np.abs(signal[-24:]).max() < 8000


def test_pauses_are_silence():
    assert dtmf("w") == bytes(500 * 16)
    assert dtmf("W") == bytes(1000 * 16)
    assert dtmf("1w2") == dtmf("1") + dtmf("w") + dtmf("2")


@pytest.mark.parametrize("digits", ["", "a", "E", "12 3", "1" * (MAX_DIGITS + 1), "1é"])
def test_other_characters_are_refused(digits):
    with pytest.raises(ValueError):
        dtmf(digits)


@pytest.mark.parametrize("options", [{"tone_ms": 30}, {"gap_ms": 5000}, {"rate_hz": 4000}])
def test_times_a_receiver_cannot_hear_are_refused(options):
    with pytest.raises(ValueError):
        dtmf("1", **options)


@pytest.mark.parametrize("digit", ["", "12", "w"])
def test_only_a_digit_has_frequencies(digit):
    with pytest.raises(ValueError):
        frequencies_hz(digit)


@pytest.mark.parametrize("digits", ["1", "1w2W#", "0123456789"])
def test_the_length_is_known_beforehand(digits: str) -> None:
    assert len(dtmf(digits, 8000)) == dtmf_ms(digits) * 16
