"""How loud audio is, and when it begins."""

import numpy as np
import pytest

from media.audio.convert import convert_all
from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K, AudioFormat
from media.audio.levels import quiet_end_ms, quiet_ms


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])
def test_audio_is_quiet_until_its_first_loud_sample(audio: AudioFormat) -> None:
    hiss = np.where(np.arange(3 * audio.rate_hz // 10) % 2, 60, -60)
    voice = np.where(np.arange(audio.rate_hz // 10) % 2, 3000, -3000)
    pcm16 = np.concatenate([hiss, voice]).astype("<i2").tobytes()
    line = convert_all(pcm16, AudioFormat(L16_8K.encoding, audio.rate_hz), audio)
    assert quiet_ms(line, audio, -46) == 300
    assert quiet_ms(line, audio, -60) == 0
    assert quiet_ms(line, audio, -10) == 400
    assert quiet_ms(b"", audio, -46) == 0


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_8K, L16_16K])
def test_audio_is_quiet_after_its_last_loud_sample(audio: AudioFormat) -> None:
    hiss = np.where(np.arange(3 * audio.rate_hz // 10) % 2, 60, -60)
    voice = np.where(np.arange(audio.rate_hz // 10) % 2, 3000, -3000)
    pcm16 = np.concatenate([voice, hiss]).astype("<i2").tobytes()
    line = convert_all(pcm16, AudioFormat(L16_8K.encoding, audio.rate_hz), audio)
    assert quiet_end_ms(line, audio, -46) == 300
    assert quiet_end_ms(line, audio, -60) == 0
    assert quiet_end_ms(line, audio, -10) == 400
    assert quiet_end_ms(b"", audio, -46) == 0


def test_half_a_sample_is_no_sound() -> None:
    assert quiet_ms(b"\0\0\x7f", L16_8K, -46) == 0
