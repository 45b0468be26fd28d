"""Model files: which are taken, and what they are given."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.onnx_file import DOUBLE, write_model
from voicecore.local.log_mel import log_mel
from voicecore.local.turn_end_file import HOW, SMART_TURN, TurnEndFile, UnfitModelError, find_model


def sound(seed, samples=20_000):
    random = np.random.default_rng(seed)
    return (random.standard_normal(samples) * 3000).astype("<i2").tobytes()


def expected(pcm16, scale, bias):
    return 1 / (1 + np.exp(-(scale * log_mel(pcm16).mean() + bias)))


@pytest.mark.parametrize(("batch", "most"), [("batch", None), (1, 1)])
def test_each_turn_has_its_probability(tmp_path, batch, most):
    file = TurnEndFile(write_model(tmp_path / "m.onnx", batch=batch, scale=20, bias=6))
    assert file.max_batch == most
    turns = [sound(1), sound(2, 100_000), b""][: most or 3]
    given = file.probabilities(turns)
    assert given == pytest.approx([expected(turn, 20, 6) for turn in turns], abs=1e-4)
    assert len({round(one, 3) for one in given}) == len(turns), "they differ"


def test_an_output_of_one_dimension_will_do(tmp_path):
    path = write_model(tmp_path / "m.onnx", output=("batch", "one"))
    assert len(TurnEndFile(path).probabilities([b"", b""])) == 2


@pytest.mark.parametrize(
    "shape",
    [{"bands": 128}, {"frames": 3000}, {"frames": "time"}, {"batch": 4}, {"kind": DOUBLE},
     {"axis": 0}],
    ids=str,
)  # fmt: skip
def test_another_shape_is_refused_with_what_was_expected(tmp_path, shape):
    path = write_model(tmp_path / "m.onnx", **shape)
    with pytest.raises(UnfitModelError, match=r"features.*expected: .*\(80, 800\)"):
        TurnEndFile(path)


def test_what_is_no_probability_is_refused(tmp_path):
    file = TurnEndFile(write_model(tmp_path / "m.onnx", bias=5, last="Identity"))
    with pytest.raises(UnfitModelError, match="no probability"):
        file.probabilities([b""])


def test_not_a_number_is_refused(tmp_path):
    file = TurnEndFile(write_model(tmp_path / "m.onnx", bias=float("nan")))
    with pytest.raises(UnfitModelError, match="no probability"):
        file.probabilities([b""])


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UnfitModelError, match="there is no file"):
        TurnEndFile(str(tmp_path / "m.onnx"))


def test_without_onnxruntime_it_is_said_so(tmp_path, monkeypatch):
    path = write_model(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnfitModelError, match="package onnxruntime is missing"):
        TurnEndFile(path)


def test_a_known_name_is_found_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pipecat"
    file = package / "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
    file.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('nothing of it is imported')")
    file.write_bytes(b"model")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pipecat", raising=False)
    assert find_model(SMART_TURN) == file
    file.unlink()
    with pytest.raises(UnfitModelError, match="pip install --no-deps"):
        find_model(SMART_TURN)


def test_what_make_setup_brings_is_what_is_told() -> None:
    pinned = (Path(__file__).parents[3] / "constraints.txt").read_text()
    assert HOW.rpartition(" ")[2] in pinned.splitlines()
