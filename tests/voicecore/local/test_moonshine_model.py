import importlib.util
from pathlib import Path

import numpy as np
import pytest

from voicecore.adapters.moonshine_stt import MoonshineStt
from voicecore.adapters.registry import VendorConfig
from voicecore.evaluate.effects import sound
from voicecore.local.child import JobFailed
from voicecore.local.moonshine_model import MoonshineModel, UnfitModelError, read_tokens
from voicecore.local.moonshine_worker import MoonshineEngine
from voicecore.providers.errors import VendorError
from voicecore.turns.overlap import OverlapPolicy


def packaged() -> Path:
    spec = importlib.util.find_spec("moonshine_voice")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en"


def test_long_tokens_have_their_length_in_two_bytes(tmp_path):
    tokens = [b"a", b"", b"b" * 127, b"c" * 128, b"d" * 300]
    content = b""
    for token in tokens:
        size = len(token)
        content += bytes([size] if size < 128 else [128 + size % 128, size // 128]) + token
    (tmp_path / "tokenizer.bin").write_bytes(content)
    assert read_tokens(tmp_path / "tokenizer.bin") == tokens


@pytest.mark.parametrize("content", [b"\x05abc", b"\x81"])
def test_a_list_of_tokens_that_breaks_off_is_none(tmp_path, content):
    (tmp_path / "tokenizer.bin").write_bytes(content)
    with pytest.raises(UnfitModelError, match="within a token"):
        read_tokens(tmp_path / "tokenizer.bin")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "tokenizer.bin cannot be read"),
        ({"tokenizer.bin": b"\x01a"}, "there is no encoder_model"),
        ({"tokenizer.bin": b"\x01a", "encoder_model.onnx": b"nothing"}, "is no model"),
    ],
)
async def test_a_directory_without_a_model_is_refused_with_what_is_wrong(tmp_path, files, says):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    stt = MoonshineStt(VendorConfig("moonshine", model=str(tmp_path)), {})
    with pytest.raises(VendorError, match=says) as refused:
        await stt.start()
    await stt.stop()
    assert refused.value.code == "model_not_found"


@pytest.mark.local_models
@pytest.mark.parametrize("name", ["cough", "laugh"])
def test_what_is_no_speech_is_heard_as_words_that_the_model_is_not_sure_of(name):
    engine = MoonshineEngine(MoonshineModel(packaged()).hear, parallel=1)
    sure = []
    for seed in range(100, 110):
        samples = np.concatenate([np.zeros(1600), sound(name, seed), np.zeros(1600)])
        pcm16 = (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()
        ((facts, _),) = engine.run({"encoding": "l16", "rate_hz": 8000}, pcm16)
        if facts["text"]:
            sure.append(facts["confidence"])
    assert len(sure) > 5
    assert sum(sure) / len(sure) < OverlapPolicy().min_confidence


@pytest.mark.local_models
def test_nothing_is_heard_in_no_time():
    assert MoonshineModel(packaged()).hear(np.zeros(100, np.float32)).text == ""


@pytest.mark.local_models
def test_speech_of_any_length_is_heard():
    model = MoonshineModel(packaged())
    tone = np.sin(np.arange(24 * 16_000) / 20).astype(np.float32) * 0.1
    # The encoder gives a state for 384 samples; the decoder is told of states in rows of as many.
    for samples in (16_000, 384 * 386 + 800, 10 * 16_000, 24 * 16_000):
        assert 0.0 <= model.hear(tone[:samples]).confidence <= 1.0


@pytest.mark.local_models
def test_no_number_is_no_confidence():
    model = MoonshineModel(packaged())
    assert model.hear(np.full(16_000, np.nan, np.float32)).confidence == 0.0


@pytest.mark.local_models
def test_what_the_model_fails_on_fails_alone(monkeypatch):
    model = MoonshineModel(packaged())
    hear = MoonshineEngine(model.hear, parallel=1)
    samples = (np.sin(np.arange(16_000) / 20) * 8000).astype("<i2").tobytes()
    good = {"encoding": "l16", "rate_hz": 16_000}
    monkeypatch.setattr(model, "_empty", {})
    with pytest.raises(JobFailed, match="refused"):
        list(hear.run(good, samples))
    monkeypatch.undo()
    ((facts, _),) = hear.run(good, samples)
    assert "text" in facts
