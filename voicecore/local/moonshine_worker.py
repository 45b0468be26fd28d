"""The worker of the Moonshine speech model. Run as ``python -m voicecore.local.moonshine_worker``.

One job is one utterance. The model's own voice detection is off: it cuts words off and makes
some up at the edges, and ours has found the edges already. A transcriber must not be shared
between threads (its results turn to garbage), so each has one.
"""

import ctypes
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from media.audio.convert import transcoder
from media.audio.format import AudioFormat, Encoding
from voicecore.local.child import EngineRefused, JobFailed, Result, serve
from voicecore.local.transcript import clean

Samples = NDArray[np.float32]

_RATE_HZ = 16000
_FRAME = _RATE_HZ // 50
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
    if source.rate_hz == _RATE_HZ or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, source.rate_hz, _RATE_HZ), np.float32)


class MoonshineEngine:
    """Implements ``Engine``."""

    def __init__(self, transcribers: list[Callable[[Samples], str]]) -> None:
        self.parallel = len(transcribers)
        self.info: dict[str, Any] = {"parallel": self.parallel}
        self._free: queue.SimpleQueue[Callable[[Samples], str]] = queue.SimpleQueue()
        for transcriber in transcribers:
            self._free.put(transcriber)

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        try:
            source = AudioFormat(Encoding(args["encoding"]), int(args["rate_hz"]))
        except (KeyError, ValueError) as error:
            raise JobFailed("bad_request", f"not a job: {error}") from error
        samples = decode(body, source)
        first, last = voiced_frames(samples)
        text = ""
        if last > first:
            begin = max(0, first - _MARGIN_FRAMES) * _FRAME
            speech = samples[begin : (last + _MARGIN_FRAMES) * _FRAME]
            gain = min(_PEAK / float(np.abs(speech).max()), _MOST_GAIN)
            text = clean(self._transcribe(speech * gain), (last - first) * _FRAME_MS)
        facts = {"text": text, "from_ms": first * _FRAME_MS, "until_ms": last * _FRAME_MS}
        yield facts, b""

    def _transcribe(self, speech: Samples) -> str:
        transcriber = self._free.get()
        try:
            return transcriber(speech)
        finally:
            self._free.put(transcriber)


def _transcriber(model_dir: Path, architecture: str) -> Callable[[Samples], str]:
    from moonshine_voice import ModelArch, MoonshineError
    from moonshine_voice.errors import check_error
    from moonshine_voice.moonshine_api import TranscriptC
    from moonshine_voice.transcriber import Transcriber

    options = {"vad_threshold": "0.0", "return_audio_data": "false"}
    try:
        model = Transcriber(model_dir, ModelArch[architecture.upper()], options=options)
    except MoonshineError as error:
        raise EngineRefused("model_not_found", f"{model_dir}: {error}") from error

    def transcribe(speech: Samples) -> str:
        # The package's own method turns the samples into a Python list and back, which takes
        # a fifth of the time of the recognition; the C function takes the array as it is.
        contiguous = np.ascontiguousarray(speech, np.float32)
        transcript = ctypes.POINTER(TranscriptC)()
        error = model._lib.moonshine_transcribe_without_streaming(
            model._handle,
            contiguous.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            len(contiguous),
            _RATE_HZ,
            0,
            ctypes.byref(transcript),
        )
        try:
            check_error(error)
        except MoonshineError as failure:
            raise JobFailed("vendor_error", str(failure)) from failure
        return " ".join(line.text for line in model._parse_transcript(transcript).lines)

    return transcribe


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> MoonshineEngine:
    try:
        from moonshine_voice import get_model_path
    except ImportError as error:
        detail = f"moonshine-voice is not installed: {error}"
        raise EngineRefused("model_not_found", detail) from error
    model = str(settings["model"])
    packaged = model == "tiny-en"
    model_dir = Path(get_model_path(model)) if packaged else Path(model)
    if not model_dir.is_dir():
        raise EngineRefused(
            "model_not_found", f"{model!r} is neither 'tiny-en' nor a directory with a model"
        )
    progress(f"loading the speech model {model_dir.name}")
    architecture = "tiny" if packaged else str(settings["architecture"])
    parallel = int(settings["parallel"])
    transcribers = [_transcriber(model_dir, architecture) for _ in range(parallel)]
    for transcriber in transcribers:
        transcriber(np.zeros(_RATE_HZ, np.float32))
    return MoonshineEngine(transcribers)


if __name__ == "__main__":
    serve(load)
