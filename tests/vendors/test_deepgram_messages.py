import json
from typing import Any

import pytest

from media.audio.format import MULAW_8K
from tests.support.deepgram_wire import results_message, turn_message
from voicecore.adapters.deepgram_flux import FluxTurn, decode_flux
from voicecore.adapters.deepgram_nova import NovaTurn, decode_nova
from voicecore.adapters.stt_audio import AudioLog


def log() -> AudioLog:
    return AudioLog(MULAW_8K, chunk_ms=20, keep_ms=5000)


SURE = [(0.25, 0.25), (0, 0.0), (None, 1.0), ("absent", 1.0), (-1, 1.0), (7, 1.0)]


def with_confidence(entry: dict[str, Any], confidence: Any) -> None:
    entry["confidence"] = confidence
    if confidence == "absent":
        del entry["confidence"]


@pytest.mark.parametrize(("told", "confidence"), SURE)
def test_novas_confidence_is_a_number_from_0_to_1(told: Any, confidence: float) -> None:
    message = results_message("Two words", 0.0, 1.0)
    with_confidence(message["channel"]["alternatives"][0], told)
    results = decode_nova(json.dumps(message))
    (interim,) = NovaTurn(log()).receive(results)
    assert (interim.text, interim.confidence) == ("Two words", confidence)


@pytest.mark.parametrize(("told", "confidence"), SURE)
def test_fluxs_is_the_mean_of_its_words(told: Any, confidence: float) -> None:
    message = turn_message("Update", "Two words", 1.0, 0, 1)
    with_confidence(message["words"][0], told)
    message["words"][1]["confidence"] = 0.5
    (interim,) = FluxTurn(log()).receive(decode_flux(json.dumps(message)))
    assert (interim.text, interim.confidence) == ("Two words", (confidence + 0.5) / 2)
