"""Moonshine's models (github.com/moonshine-ai/moonshine), run by onnxruntime.

A directory with three files, as in the package ``moonshine-voice``: ``encoder_model`` turns 16 kHz
samples into a state every 24 ms, ``decoder_model_merged`` writes tokens from them one by one, and
``tokenizer.bin`` says what each token is. The package's own library hears the same words in twice
the time and more than twice the processor's, and does not tell how sure it is of them.
"""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE_HZ = 16_000
_FEWEST_SAMPLES = RATE_HZ // 10
_TOKENS_PER_S = 6.5
"""More than that is no speech: the model repeats itself (the authors' own limit)."""
_BEGIN, _END = 1, 2
_SPACE = "\u2581".encode()
_SUFFIXES = (".ort", ".onnx")


class UnfitModelError(Exception):
    """A directory without such a model. The text says what was expected."""


class UnfitInputError(Exception):
    """Samples that the model cannot work on."""


class Heard(msgspec.Struct, frozen=True):
    """A text, and how sure the model was of its tokens: their probabilities' geometric mean."""

    text: str
    confidence: float


class MoonshineModel:
    """A loaded model. ``hear`` blocks; several threads may call it at a time.

    :raises UnfitModelError: there is none, or it is another."""

    def __init__(self, directory: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UnfitModelError(f"the package onnxruntime is missing: {error}") from error
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        state = onnxruntime.capi.onnxruntime_pybind11_state
        self._refusals = (ValueError, state.Fail, state.InvalidArgument, state.InvalidGraph,
                          state.InvalidProtobuf, state.NotImplemented,
                          state.RuntimeException)  # fmt: skip
        self._tokens = read_tokens(directory / "tokenizer.bin")
        options = onnxruntime.SessionOptions()
        # A second thread for one utterance costs more than it gains: calls share the processor.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._encoder = self._session(onnxruntime, directory, "encoder_model", options)
        self._decoder = self._session(onnxruntime, directory, "decoder_model_merged", options)
        self._check_shapes()
        outputs = [output.name for output in self._decoder.get_outputs()]
        self._first_outputs = outputs
        # What the decoder makes of the encoder's states it makes once.
        self._later_outputs = [name for name in outputs if ".encoder." not in name]
        self._true = self._value(np.array([True]))
        self._false = self._value(np.array([False]))
        self._empty = {
            one.name: self._value(np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32))
            for one in self._decoder.get_inputs()
            if one.name.startswith("past_key_values.")
        }

    def hear(self, speech: Samples) -> Heard:
        """The words of some speech at 16 kHz, samples of -1 to 1.

        :raises UnfitInputError: the model fails on it."""
        if len(speech) < _FEWEST_SAMPLES:
            return Heard("", 0.0)
        samples = np.ascontiguousarray(speech, np.float32)[np.newaxis]
        value = self._value
        takes = {
            "input_values": value(samples),
            "attention_mask": value(np.ones(samples.shape, np.int64)),
        }
        most = math.ceil(len(speech) / RATE_HZ * _TOKENS_PER_S)
        try:
            (states,) = self._encoder.run_with_ort_values(["last_hidden_state"], takes)
            tokens, log_probability = self._write(takes["attention_mask"], states, most)
        except self._refusals as error:
            raise UnfitInputError(f"the model refused {len(speech)} samples: {error}") from error
        pieces = b"".join(self._tokens[token] for token in tokens)
        text = pieces.replace(_SPACE, b" ").decode(errors="replace").strip()
        sure = math.exp(log_probability)
        return Heard(text, 0.0 if math.isnan(sure) else round(sure, 2))

    def _write(self, mask: Any, states: Any, most: int) -> tuple[list[int], float]:
        """Tokens, the likeliest each time, and the mean of their logarithmic probabilities, the
        end's among them. ``mask`` has a value for each sample."""
        takes = {
            **self._empty,
            "encoder_attention_mask": mask,
            "encoder_hidden_states": states,
            "use_cache_branch": self._false,
        }
        tokens: list[int] = []
        token, sum_log, outputs = _BEGIN, 0.0, self._first_outputs
        for _ in range(most):
            takes["input_ids"] = self._value(np.array([[token]], np.int64))
            logits, *present = self._decoder.run_with_ort_values(outputs, takes)
            scores = logits.numpy()[0, -1]
            token = int(scores.argmax())
            sum_log -= math.log(float(np.exp(scores - scores[token]).sum()))
            if token == _END:
                return tokens, sum_log / (len(tokens) + 1)
            tokens.append(token)
            for name, past in zip(outputs[1:], present, strict=True):
                takes["past_key_values" + name.removeprefix("present")] = past
            takes["use_cache_branch"] = self._true
            outputs = self._later_outputs
        return tokens, sum_log / max(len(tokens), 1)

    def _session(self, onnxruntime: Any, directory: Path, name: str, options: Any) -> Any:
        for suffix in _SUFFIXES:
            file = directory / f"{name}{suffix}"
            if file.is_file():
                break
        else:
            raise UnfitModelError(f"there is no {name}{_SUFFIXES[0]} in {directory}")
        providers = ["CPUExecutionProvider"]
        try:
            return onnxruntime.InferenceSession(str(file), options, providers=providers)
        except self._refusals as error:
            raise UnfitModelError(f"{file} is no model: {error}") from error

    def _check_shapes(self) -> None:
        takes = {one.name for one in self._encoder.get_inputs()}
        gives = [one.name for one in self._decoder.get_outputs()]
        if takes != {"input_values", "attention_mask"} or gives[:1] != ["logits"]:
            raise UnfitModelError(f"it takes {sorted(takes)} and gives {gives[:3]}")
        vocabulary = self._decoder.get_outputs()[0].shape[-1]
        if vocabulary != len(self._tokens):
            detail = f"it has {vocabulary} tokens, tokenizer.bin {len(self._tokens)}"
            raise UnfitModelError(detail)


def read_tokens(file: Path) -> list[bytes]:
    """``tokenizer.bin``: each token's length and bytes, one after the other. Lengths of 128 and
    more take two bytes, the lower one first and with 128 added.

    :raises UnfitModelError: the file is missing, or is not of this kind."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnfitModelError(f"{file} cannot be read: {error}") from error
    tokens: list[bytes] = []
    place = 0
    while place < len(content):
        size = content[place]
        place += 1
        if size >= 128 and place < len(content):
            size += (content[place] - 1) * 128
            place += 1
        tokens.append(content[place : place + size])
        place += size
    if place != len(content):
        raise UnfitModelError(f"{file} ends within a token")
    return tokens
