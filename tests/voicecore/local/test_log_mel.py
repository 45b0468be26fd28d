"""Log-mel features against the definition, written out anew."""

import math

import numpy as np
import pytest

from media.audio.convert import convert_all
from media.audio.format import L16_8K, L16_16K, MULAW_8K
from voicecore.adapters.scripted_tts import speech_like
from voicecore.local.log_mel import BANDS, FRAMES, SAMPLES, log_mel


def mel(hertz):
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)


def hertz(mels):
    return mels * 200 / 3 if mels < 15 else 1000 * 6.4 ** ((mels - 15) / 27)


def by_definition(pcm16):
    """One sum after another: a discrete Fourier transform, 80 triangles, a logarithm."""
    sound = np.frombuffer(pcm16, "<i2").astype(float)[-SAMPLES:] / 32768
    sound = np.concatenate([np.zeros(SAMPLES - len(sound)), sound])
    sound = (sound - np.mean(sound)) / math.sqrt(np.mean((sound - np.mean(sound)) ** 2) + 1e-7)
    around = np.concatenate([sound[200:0:-1], sound, sound[-2:-202:-1]])
    turn = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(201)) / 400)
    window = np.array([math.sin(math.pi * n / 400) ** 2 for n in range(400)])
    power = np.array(
        [np.abs((around[at * 160 : at * 160 + 400] * window) @ turn) ** 2 for at in range(FRAMES)]
    )
    bands = np.zeros((BANDS, FRAMES))
    edges = [hertz(mel(8000) * at / 81) for at in range(82)]
    for band in range(BANDS):
        low, middle, high = edges[band : band + 3]
        for line in range(201):
            at = line * 40
            if low < at < high:
                part = (at - low) / (middle - low) if at < middle else (high - at) / (high - middle)
                bands[band] += part * 2 / (high - low) * power[:, line]
    levels = np.log10(np.maximum(bands, 1e-10))
    return (np.maximum(levels, np.max(levels) - 8) + 4) / 4


def noise(samples, loudness=3000.0):
    random = np.random.default_rng(samples)
    return (random.standard_normal(samples) * loudness).clip(-32768, 32767).astype("<i2").tobytes()


SPEECH = speech_like(8000, 3000, 5).astype("<i2").tobytes()


@pytest.mark.parametrize(
    "pcm16",
    [noise(SAMPLES), noise(SAMPLES + 5000), noise(30_000), noise(100, 1.0), b"",
     convert_all(convert_all(SPEECH, L16_8K, MULAW_8K), MULAW_8K, L16_16K)],
    ids=["eight seconds", "more", "less", "hardly any", "nothing", "a telephone"],
)  # fmt: skip
def test_features_are_those_of_the_definition(pcm16):
    features = log_mel(pcm16)
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, by_definition(pcm16), atol=2e-4)


def test_only_the_last_eight_seconds_count():
    late = noise(SAMPLES)
    np.testing.assert_array_equal(log_mel(noise(50_000) + late), log_mel(late))


def test_what_is_missing_is_missing_at_the_beginning():
    features = log_mel(noise(16_000))
    assert features[:, -90:].mean() > features[:, :690].mean() + 0.5


def test_loudness_makes_no_difference():
    np.testing.assert_allclose(
        log_mel(noise(SAMPLES, 8000)), log_mel(noise(SAMPLES, 1000)), atol=0.02
    )
