"""Speech above the line's noise."""

import numpy as np
import pytest

from media.audio.format import MULAW_8K
from media.audio.levels import mean_square
from media.vad.line_levels import MEASURE_EVERY, LineLevels
from media.vad.webrtc import WebRtcVad


def noise(amplitude: float, seed: int = 1) -> bytes:
    samples = np.random.default_rng(seed).standard_normal(160) * amplitude
    return samples.astype("<i2").tobytes()


def hears(levels: LineLevels, amplitude: float, frames: int = 400) -> None:
    for seed in range(frames):
        levels.unvoiced(noise(amplitude, seed))


def test_speech_ten_times_the_noise_is_twenty_decibels_above_it() -> None:
    levels = LineLevels()
    hears(levels, 100)
    levels.voiced(mean_square(noise(1000)))
    assert levels.above_noise_db() == pytest.approx(20, abs=2)


def test_the_loudest_frame_counts_until_the_speech_is_over() -> None:
    levels = LineLevels()
    hears(levels, 100)
    levels.voiced(mean_square(noise(1000)))
    levels.voiced(mean_square(noise(200)))
    assert levels.above_noise_db() == pytest.approx(20, abs=2)
    levels.reset()
    assert levels.above_noise_db() == 0
    levels.voiced(mean_square(noise(200)))
    assert levels.above_noise_db() == pytest.approx(6, abs=2)


def test_a_line_that_becomes_louder_is_followed() -> None:
    levels = LineLevels()
    hears(levels, 20)
    hears(levels, 500)
    levels.voiced(mean_square(noise(1000)))
    assert levels.above_noise_db() == pytest.approx(6, abs=2)


def test_digital_silence_is_no_reference() -> None:
    levels = LineLevels()
    for _ in range(MEASURE_EVERY * 2):
        levels.unvoiced(bytes(320))
    levels.voiced(mean_square(noise(1000)))
    assert 30 < levels.above_noise_db() < 60


def test_the_detector_feeds_them() -> None:
    vad = WebRtcVad(MULAW_8K, 2)
    for _ in range(50):
        vad.voiced(MULAW_8K.silence(20))
    assert vad.levels.above_noise_db() == 0


def test_what_is_far_quieter_than_the_caller_is_not_the_caller() -> None:
    levels = LineLevels()
    assert all(levels.voiced(mean_square(noise(1000, seed))) for seed in range(50))
    assert levels.voiced(mean_square(noise(1000 * 10 ** (-18 / 20))))
    assert not levels.voiced(mean_square(noise(1000 * 10 ** (-26 / 20))))


def says(levels: LineLevels, amplitude: float, words: int, *, between: float = 80) -> list[bool]:
    """Words of 160 ms, each with a soft end and 80 ms of the line's noise, of the amplitude
    ``between``, behind it; 400 ms behind each fourth. Returns which were heard to be the caller's
    but for their first moment."""
    heard = []
    for seed in range(words):
        told = [levels.voiced(mean_square(noise(amplitude, seed * 8 + n))) for n in range(8)]
        levels.voiced(mean_square(noise(amplitude * 0.3, seed)))
        hears(levels, between, frames=4 if seed % 4 else 20)
        heard.append(all(told[2:]))
    return heard


def crowd(levels: LineLevels, amplitude: float, frames: int) -> list[bool]:
    """Sounds like voice, and never pauses."""
    return [levels.voiced(mean_square(noise(amplitude, seed))) for seed in range(frames)]


@pytest.mark.parametrize("noise_frames", [0, 400])
def test_somebody_softer_is_heard_before_long(noise_frames: int) -> None:
    levels = LineLevels()
    hears(levels, 80, frames=noise_frames)
    says(levels, 8000, words=6)
    softer = says(levels, 480, words=120)
    assert not any(softer[:5])
    assert all(softer[60:])


@pytest.mark.parametrize("noise_amplitude", [24, 280])
def test_a_crowd_does_not_become_the_caller_while_the_caller_listens(noise_amplitude: int) -> None:
    levels = LineLevels()
    hears(levels, noise_amplitude)
    says(levels, 8000, words=6)
    assert not any(crowd(levels, 360, frames=500))


def test_nor_one_that_is_nearer() -> None:
    levels = LineLevels()
    hears(levels, 280)
    says(levels, 8000, words=6)
    crowd(levels, 480, frames=200)
    assert not any(crowd(levels, 600, frames=100))
    assert all(says(levels, 1200, words=6)[1:]), "the caller, sixteen decibels softer than before"


def test_nor_one_that_sometimes_does_not_sound_like_voice() -> None:
    levels = LineLevels()
    says(levels, 8000, words=6)
    crowd(levels, 340, frames=200)
    for _ in range(2):
        assert not any(crowd(levels, 330, frames=60))
        hears(levels, 80, frames=8)


def test_who_stands_out_of_a_loud_noise_is_heard() -> None:
    levels = LineLevels()
    hears(levels, 560)
    says(levels, 8000, words=6, between=560)
    assert all(says(levels, 2400, words=60, between=560))


def test_noise_that_does_not_sound_like_voice_hides_nobody() -> None:
    levels = LineLevels()
    hears(levels, 560)
    says(levels, 8000, words=6, between=560)
    hears(levels, 560)
    for seed in range(40):
        told = [levels.voiced(mean_square(noise(800, seed * 8 + n))) for n in range(8)]
        assert told == [True] * 8, "hardly louder, but it sounds like voice"
        hears(levels, 560, frames=24)


def test_the_soft_sounds_of_one_person_are_no_crowd() -> None:
    levels = LineLevels()
    hears(levels, 560)
    says(levels, 8000, words=6, between=560)
    for seed in range(80):
        told = [levels.voiced(mean_square(noise(2400, seed + n))) for n in range(4)]
        assert told[-1]
        for soft in range(4):
            levels.voiced(mean_square(noise(720, seed + soft)))
        hears(levels, 560, frames=2)


def test_a_crowd_behind_the_caller_is_noise_as_soon_as_they_stop() -> None:
    """It is sixteen decibels below them, so that every frame of it could be theirs."""
    levels = LineLevels()
    for _ in range(4):
        crowd(levels, 1300, frames=60)
        for seed in range(8):
            levels.voiced(mean_square(noise(8000, seed)))
            levels.voiced(mean_square(noise(2600, seed)))
    assert not any(crowd(levels, 1300, frames=60)[10:])


def test_who_never_pauses_is_taken_for_a_crowd_but_not_for_ever() -> None:
    levels = LineLevels()
    hears(levels, 80)
    says(levels, 8000, words=6)
    heard = [
        levels.voiced(mean_square(noise(amplitude, seed)))
        for seed, amplitude in enumerate(([400.0] * 8 + [120.0] * 3) * 160)
    ]
    assert not any(heard[:200])
    assert all(heard[11 * 150 + 2 : 11 * 150 + 8])


def test_a_crowd_that_begins_while_the_caller_listens_is_one_too() -> None:
    levels = LineLevels()
    hears(levels, 80)
    says(levels, 8000, words=20)
    hears(levels, 80, frames=200)
    assert not any(crowd(levels, 420, frames=250))


def test_a_fluent_voice_that_trails_off_is_no_crowd() -> None:
    levels = LineLevels()
    hears(levels, 20)
    says(levels, 4000, words=40, between=20)
    assert all(says(levels, 4000 * 10 ** (-15 / 20), words=12, between=20))


def test_on_a_line_that_sends_no_noise_a_soft_voice_is_no_crowd() -> None:
    levels = LineLevels()
    for _ in range(40):
        crowd(levels, 4000, frames=12)
        levels.missing()
    assert all(crowd(levels, 4000 * 10 ** (-18 / 20), frames=12))
    for _ in range(40):
        crowd(levels, 4000, frames=12)
    assert not all(crowd(levels, 4000 * 10 ** (-18 / 20), frames=12)), "who never pauses may be one"


@pytest.mark.parametrize("noise_amplitude", [80, 200])
def test_a_crowd_that_is_gone_is_forgotten(noise_amplitude: int) -> None:
    levels = LineLevels()
    says(levels, 8000, words=6)
    crowd(levels, 560, frames=400)
    soft = [mean_square(noise(720, seed)) for seed in range(4)]
    assert not any(map(levels.voiced, soft))
    hears(levels, noise_amplitude, frames=150)
    assert [levels.voiced(level) for level in soft][-1]


def test_nobody_is_deaf_to_a_crowd_for_ever() -> None:
    levels = LineLevels()
    hears(levels, 280)
    says(levels, 8000, words=6)
    assert crowd(levels, 400, frames=2500)[-1]


def test_a_short_bang_does_not_deafen() -> None:
    levels = LineLevels()
    for seed in range(50):
        levels.voiced(mean_square(noise(1000, seed)))
    levels.voiced(mean_square(noise(10_000)))
    assert levels.voiced(mean_square(noise(1000)))


def test_loudness_is_counted_from_full_scale() -> None:
    levels = LineLevels()
    levels.voiced(mean_square(noise(3276.8)))
    assert levels.loudest_dbfs() == pytest.approx(-20, abs=1)


def test_a_voice_has_faded_when_what_sounds_like_one_is_far_quieter() -> None:
    levels = LineLevels()
    assert not levels.faded
    for seed in range(10):
        levels.voiced(mean_square(noise(1000, seed)))
    assert not levels.faded
    told = []
    for seed in range(10):
        levels.voiced(mean_square(noise(100, seed)))
        told.append(levels.faded)
    assert told.index(True) in range(3, 7)
    assert all(told[7:])
    levels.voiced(mean_square(noise(1000)))
    assert not levels.faded


def test_what_was_always_soft_has_not_faded() -> None:
    levels = LineLevels()
    assert not any(
        levels.voiced(mean_square(noise(100, seed))) and levels.faded for seed in range(50)
    )
