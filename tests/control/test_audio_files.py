"""Uploaded audio: what is taken, and what becomes of it."""

import io
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from control import audio_files
from control.audio_files import LOUDNESS, PEAK, NoAudio, NotWritten, Stopped, check, normalise

RATE_HZ = 22_050


def tone(level: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    return level * np.sin(2 * np.pi * 440 * times)


def wav(
    samples: NDArray[np.float64], rate_hz: int = RATE_HZ, subtype: str = "PCM_16", kind: str = "WAV"
) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate_hz, format=kind, subtype=subtype)
    return target.getvalue()


def mp3(samples: NDArray[np.float64], rate_hz: int = RATE_HZ) -> bytes:
    return wav(samples, rate_hz, "MPEG_LAYER_III", "MP3")


def normalised(
    content: bytes, folder: Path
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    narrow, wide = folder / "narrow.wav", folder / "wide.wav"
    duration_ms = normalise(content, narrow, wide, threading.Event())
    return duration_ms, soundfile.read(narrow)[0], soundfile.read(wide)[0]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "ULAW", "GSM610", "MS_ADPCM"])
def test_wavs_of_every_kind(subtype: str, tmp_path: Path) -> None:
    content = wav(tone(0.2, rate_hz=8_000), 8_000, subtype)
    facts = check(content)
    assert (facts.format, facts.rate_hz, facts.channels) == ("wav", 8_000, 1)
    duration_ms, narrow, wide = normalised(content, tmp_path)
    assert 990 <= duration_ms <= 1_100
    assert abs(len(wide) - 2 * len(narrow)) < 100


@pytest.mark.parametrize("level", [0.011, 0.1, 0.9, 1.0])
def test_speech_comes_to_one_loudness(level: float, tmp_path: Path) -> None:
    _, narrow, wide = normalised(wav(tone(level)), tmp_path)
    for samples in (narrow, wide):
        rms = float(np.sqrt(np.mean(samples[100:-100] ** 2)))
        assert 0.75 * LOUDNESS < rms < 1.1 * LOUDNESS


def test_a_pause_does_not_make_speech_louder(tmp_path: Path) -> None:
    samples = np.concatenate([tone(0.2, 5), np.zeros(20 * RATE_HZ)])
    _, _, wide = normalised(wav(samples), tmp_path)
    assert abs(np.sqrt(np.mean(wide[1_000:60_000] ** 2)) - LOUDNESS) < 0.02


def test_no_peak_is_too_high(tmp_path: Path) -> None:
    clicks = tone(0.011, 2)
    clicks[::4_000] = 1.0
    clicks[2_000::4_000] = -1.0
    for samples in normalised(wav(clicks), tmp_path)[1:]:
        assert np.abs(samples).max() <= PEAK + 0.02  # mu-law's steps


def test_silence_stays_silent(tmp_path: Path) -> None:
    for samples in normalised(wav(np.zeros(RATE_HZ)), tmp_path)[1:]:
        assert np.abs(samples).max() < 0.001


@pytest.mark.filterwarnings("ignore:.*in cast")
def test_what_is_no_number_is_silence(tmp_path: Path) -> None:
    samples = tone(0.2)
    samples[100:200], samples[300], samples[400] = np.nan, np.inf, -np.inf
    samples[500] = 1e38
    for made in normalised(wav(samples, subtype="FLOAT"), tmp_path)[1:]:
        assert np.isfinite(made).all()


def test_channels_become_one(tmp_path: Path) -> None:
    both = np.stack([tone(0.2), np.zeros(RATE_HZ)], axis=1)
    assert normalised(wav(both), tmp_path)[2].ndim == 1


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_every_rate(rate_hz: int, tmp_path: Path) -> None:
    duration_ms, narrow, wide = normalised(wav(tone(0.2, 1, rate_hz), rate_hz), tmp_path)
    assert duration_ms == 1_000
    assert abs(len(narrow) - 8_000) < 20
    assert abs(len(wide) - 16_000) < 20


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "AIFF", "AU", "CAF", "W64"])
def test_other_files_are_refused(kind: str) -> None:
    target = io.BytesIO()
    soundfile.write(target, tone(0.2), RATE_HZ, format=kind)
    with pytest.raises(NoAudio, match="neither WAV nor MP3"):
        check(target.getvalue())


def test_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoAudio, match="channels"):
        check(wav(np.stack([tone(0.1)] * 9, axis=1)))
    with pytest.raises(NoAudio, match="rate"):
        check(wav(tone(0.1), 3_999))
    with pytest.raises(NoAudio, match="no sound"):
        check(wav(np.zeros(0)))
    monkeypatch.setattr(audio_files, "MOST_SECONDS", 2)
    with pytest.raises(NoAudio, match="longer"):
        check(wav(tone(0.1, 2.1)))


def test_what_is_cut_off_is_what_is_left(tmp_path: Path) -> None:
    content = wav(tone(0.2, 4))
    duration_ms, _, wide = normalised(content[: len(content) // 2], tmp_path)
    assert 1_900 < duration_ms < 2_100
    assert abs(len(wide) / 16_000 - 2) < 0.1


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        normalise(wav(tone(0.2)), tmp_path / "a.wav", tmp_path / "b.wav", stop)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "narrow.wav"
    with pytest.raises(NotWritten):
        normalise(wav(tone(0.2)), nowhere, tmp_path / "wide.wav", threading.Event())


@pytest.mark.parametrize("rate_hz", [11_025, RATE_HZ, 44_100])
class TestLengthsOfMp3s:
    """A tone of varying loudness, whose frames are of varying size."""

    def content(self, rate_hz: int) -> bytes:
        tones = [tone(level, 5, rate_hz) for level in (0.0, 0.5, 0.01)]
        noise = np.random.default_rng(1).normal(0, 0.1, 5 * rate_hz)
        return mp3(np.concatenate([*tones, noise]), rate_hz)

    def assert_whole(self, content: bytes, folder: Path) -> None:
        assert abs(check(content).duration_ms - 20_000) < 300
        duration_ms, narrow, wide = normalised(content, folder)
        assert abs(duration_ms - 20_000) < 300
        assert abs(len(narrow) - 20 * 8_000) < 0.3 * 8_000
        assert np.abs(wide[-16_000:-8_000]).max() > 0.01  # the end is there

    def test_an_honest_one_is_left_as_it_is(self, rate_hz: int, tmp_path: Path) -> None:
        content = self.content(rate_hz)
        assert audio_files._whole(content) is content
        self.assert_whole(content, tmp_path)

    @pytest.mark.parametrize("tags", [b"", b"ID3\4\0\0\0\0\1\0" + bytes(128)])
    def test_a_head_that_tells_too_few(self, rate_hz: int, tags: bytes, tmp_path: Path) -> None:
        content = self.content(rate_hz)
        at = max(content.find(b"Xing"), content.find(b"Info")) + 8
        content = tags + content[:at] + (10).to_bytes(4, "big") + content[at + 4 :]
        self.assert_whole(content, tmp_path)

    def test_a_head_that_is_none(self, rate_hz: int, tmp_path: Path) -> None:
        content = self.content(rate_hz)
        at = max(content.find(b"Xing"), content.find(b"Info"))
        self.assert_whole(content[:at] + bytes(4) + content[at + 4 :], tmp_path)

    def test_what_is_too_long_in_truth(self, rate_hz: int, monkeypatch: pytest.MonkeyPatch) -> None:
        content = self.content(rate_hz)
        at = max(content.find(b"Xing"), content.find(b"Info")) + 8
        monkeypatch.setattr(audio_files, "MOST_SECONDS", 10)
        with pytest.raises(NoAudio, match="longer"):
            check(content[:at] + (10).to_bytes(4, "big") + content[at + 4 :])


def test_what_is_almost_an_mp3() -> None:
    for content in (b"\xff\xf3" * 100_000, b"ID3" + b"\xff" * 3_000_000, b"\xff\xfb\x90\x44"):
        with pytest.raises(NoAudio):
            check(content)
    good = mp3(tone(0.2, 3))
    for at in range(0, 400, 7):
        broken = good[:at] + b"\xff" + good[at + 1 :]
        with suppress(NoAudio):
            check(broken)
