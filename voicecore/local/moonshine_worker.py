"""The worker of the Moonshine speech model. Run as ``python -m voicecore.local.moonshine_worker``.

One job is one utterance, whose edges our voice detection has found.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from media.audio.convert import transcoder
from media.audio.format import AudioFormat, Encoding
from voicecore.local.child import EngineRefused, JobFailed, Result, serve
from voicecore.local.moonshine_model import (
    RATE_HZ,
    Heard,
    MoonshineModel,
    Samples,
    UnfitInputError,
    UnfitModelError,
)
from voicecore.local.transcript import clean

PACKAGED = "tiny-en"
_FRAME = RATE_HZ // 50
_FRAME_MS = 20
# Quieter than this (-46 dB of full scale) a line carries no speech; above it, speech stands
# out from the steady noise under it.
_LEAST_LEVEL = 0.005
_OVER_NOISE = 2.5
_MOST_NOISE = 0.02
_LEAST_VOICED_FRAMES = 4
_MARGIN_FRAMES = 10
_PEAK = 0.7
_MOST_GAIN = 20.0
_LEAST_KEPT = 0.5


def voiced_frames(samples: Samples) -> tuple[int, int]:
    """The first and past-the-last 20 ms frame with voice in it; equal where there is none."""
    count = len(samples) // _FRAME
    if not count:
        return 0, 0
    levels = np.sqrt(np.mean(samples[: count * _FRAME].reshape(count, _FRAME) ** 2, axis=1))
    noise = min(float(np.percentile(levels, 10)) * _OVER_NOISE, _MOST_NOISE)
    voiced = np.flatnonzero(levels > max(noise, _LEAST_LEVEL))
    if len(voiced) < _LEAST_VOICED_FRAMES:
        return 0, 0
    return int(voiced[0]), int(voiced[-1]) + 1


def decode(audio: bytes, source: AudioFormat) -> Samples:
    """Line audio as samples of -1 to 1 at the model's rate."""
    whole = audio[: len(audio) - len(audio) % source.sample_bytes]
    pcm16 = np.frombuffer(transcoder(source.encoding, Encoding.L16)(whole), "<i2")
    samples: Samples = pcm16.astype(np.float32) / np.float32(32768)
    if source.rate_hz == RATE_HZ or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, source.rate_hz, RATE_HZ), np.float32)


class MoonshineEngine:
    """Implements ``Engine``."""

    def __init__(self, hear: Callable[[Samples], Heard], parallel: int) -> None:
        self.parallel = parallel
        self.info: dict[str, Any] = {"parallel": parallel}
        self._hear = hear

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        try:
            source = AudioFormat(Encoding(args["encoding"]), int(args["rate_hz"]))
        except (KeyError, ValueError) as error:
            raise JobFailed("bad_request", f"not a job: {error}") from error
        samples = decode(body, source)
        first, last = voiced_frames(samples)
        text, confidence = "", 1.0
        if last > first:
            begin = max(0, first - _MARGIN_FRAMES) * _FRAME
            speech = samples[begin : (last + _MARGIN_FRAMES) * _FRAME]
            gain = min(_PEAK / float(np.abs(speech).max()), _MOST_GAIN)
            try:
                heard = self._hear(speech * gain)
            except UnfitInputError as error:
                raise JobFailed("vendor_error", str(error)) from error
            text = clean(heard.text, (last - first) * _FRAME_MS)
            # Who repeats himself so much is not heard: the model goes round in circles.
            circles = len(text) < _LEAST_KEPT * len(heard.text)
            confidence = heard.confidence if text and not circles else float(not text)
        yield (
            {
                "text": text,
                "confidence": confidence,
                "from_ms": first * _FRAME_MS,
                "until_ms": last * _FRAME_MS,
            },
            b"",
        )


def _directory(model: str) -> Path:
    """Where a model is, by name or path.

    :raises EngineRefused: nowhere."""
    if model != PACKAGED:
        return Path(model)
    # Looked up without importing it: nothing of the package is used but its files.
    spec = importlib.util.find_spec("moonshine_voice")
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise EngineRefused("model_not_found", "moonshine-voice is not installed")
    return Path(next(iter(folders))) / "assets" / model


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> MoonshineEngine:
    model = str(settings["model"])
    directory = _directory(model)
    if not directory.is_dir():
        detail = f"{model!r} is neither {PACKAGED!r} nor a directory with a model"
        raise EngineRefused("model_not_found", detail)
    progress(f"loading the speech model {directory.name}")
    try:
        loaded = MoonshineModel(directory)
        loaded.hear(np.zeros(RATE_HZ, np.float32))
    except (UnfitModelError, UnfitInputError) as error:
        raise EngineRefused("model_not_found", str(error)) from error
    return MoonshineEngine(loaded.hear, int(settings["parallel"]))


if __name__ == "__main__":
    serve(load)
