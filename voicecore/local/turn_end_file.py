"""A model file that hears ends of turns: ONNX, in the shape of Smart Turn v3.

Input: log-mel features of the last eight seconds, ``(batch, 80, 800)`` of float32. Output: the
probability that the speaker has finished, ``(batch, 1)`` or ``(batch)``. Shape and meaning are
those of github.com/pipecat-ai/smart-turn, v3 to v3.2, which name the output ``logits`` though it
has been through the sigmoid.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voicecore.local.log_mel import BANDS, FRAMES, log_mel

NEEDS = (
    f"float32 features of ({BANDS}, {FRAMES}) for each of a batch that may have any size or is 1, "
    "and one probability for each"
)


SMART_TURN = "smart-turn-v3.2"
_PACKAGE, _IN_PACKAGE = "pipecat", "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
HOW = "pip install --no-deps --no-compile pipecat-ai==1.14.0"


class UnfitModelError(Exception):
    """A file that is no model of this kind. The text says what was expected."""


def find_model(model: str) -> Path:
    """The file of the known model, or the file that ``model`` names.

    :raises UnfitModelError: there is none, and how to get it."""
    if model != SMART_TURN:
        path, how = Path(model), ""
    else:
        # Looked up without importing it: nothing else of the package is used, or installed.
        spec = importlib.util.find_spec(_PACKAGE)
        folders = (spec.submodule_search_locations if spec is not None else None) or ["."]
        path, how = Path(next(iter(folders))) / _IN_PACKAGE, f"; get it with `{HOW}`"
    if not path.is_file():
        raise UnfitModelError(f"there is no file {model}{how}")
    return path


class TurnEndFile:
    """A loaded model. Everything here blocks, and is for one thread at a time.

    :raises UnfitModelError: onnxruntime is missing, or the model is another."""

    def __init__(self, path: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UnfitModelError(f"the package onnxruntime is missing: {error}") from error
        file = find_model(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name
        self._output: str = self._session.get_outputs()[0].name
        self._check_shapes()
        batch = self._session.get_inputs()[0].shape[0]
        self.max_batch: int | None = batch if isinstance(batch, int) else None
        """How many the file takes at a time; None: any number."""

    def probabilities(self, turns: Sequence[bytes]) -> list[float]:
        """That each of these turns is over: 16 kHz mono of 16 bits, of any length.

        :raises UnfitModelError: the model gives something else than probabilities."""
        features = np.stack([log_mel(pcm16) for pcm16 in turns])
        (given,) = self._session.run([self._output], {self._input: features})
        flat = np.asarray(given, np.float64).reshape(-1)
        if len(flat) != len(turns) or not np.all((flat >= 0.0) & (flat <= 1.0)):
            raise UnfitModelError(f"its output is no probability for each turn: {flat[:4]}")
        return [float(value) for value in flat]

    def _check_shapes(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        takes = [(one.name, one.type, one.shape) for one in inputs]
        gives = [(one.name, one.type, one.shape) for one in outputs]
        if not (
            len(inputs) == 1
            and inputs[0].type == outputs[0].type == "tensor(float)"
            and _is(inputs[0].shape, (1, BANDS, FRAMES))
            and (_is(outputs[0].shape, (1, 1)) or _is(outputs[0].shape, (1,)))
        ):
            raise UnfitModelError(f"it takes {takes} and gives {gives}; expected: {NEEDS}")


def _is(shape: Sequence[Any], wanted: Sequence[int]) -> bool:
    """Whether a model's shape fits; a name or None, where 1 is wanted, is any size."""
    if len(shape) != len(wanted):
        return False
    return all(
        have == want if isinstance(have, int) else want == 1
        for have, want in zip(shape, wanted, strict=True)
    )
