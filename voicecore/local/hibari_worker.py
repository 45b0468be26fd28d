"""The worker of the hibari voice. Run as ``python -m voicecore.local.hibari_worker``.

hibari-tts (Apache-2.0) carries one voice in its package and would download others; only the
one that is there is used. Its signal processing is numpy code that holds the interpreter
lock, hence a process of its own.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from voicecore.local.child import EngineRefused, serve
from voicecore.local.speech_engine import Samples, SpeechEngine


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> SpeechEngine:
    try:
        hibari = importlib.import_module("hibari")
    except ImportError:
        raise EngineRefused(
            "model_not_found", "voice 'heart' needs the package hibari-tts"
        ) from None
    progress("loading the voice heart")
    # A second thread gains nothing here: a clause takes 30 ms.
    voice = hibari.Hibari(voice="heart", threads=1)

    def synthesize(text: str, speed: float) -> Samples:
        return np.asarray(voice(text, speed=speed), np.float32)

    synthesize("Warming up, one moment please.", 1.0)
    info = {"voice": "heart", "first_chars": 100}
    return SpeechEngine(
        synthesize, hibari.SAMPLE_RATE, parallel=int(settings["parallel"]), info=info
    )


if __name__ == "__main__":
    serve(load)
