"""What the speech-to-text said, and a model of the sound, as events: enough to take the same
turns again from them."""

from typing import Any, assert_never

from voicecore.providers.stt import SttEager, SttFinal, SttInterim, SttResumed
from voicecore.turns.inputs import TurnEndJudged
from voicecore.turns.outputs import Emit


def stt_result(heard: SttInterim | SttFinal | SttEager | SttResumed) -> Emit:
    """The event ``stt_result`` for one event of the stream."""
    data: dict[str, Any]
    match heard:
        case SttInterim():
            data = {"kind": "interim", "text": heard.text}
        case SttEager():
            data = {"kind": "eager", "text": heard.text}
        case SttResumed():
            data = {"kind": "resumed"}
        case SttFinal():
            data = {
                "kind": "final",
                "text": heard.text,
                "words": heard.words,
                "end_of_turn": heard.end_of_turn,
                "flushed": heard.flushed,
                "revises": heard.revises,
            }
        case _:
            assert_never(heard)
    return Emit("stt_result", data)


def turn_end_judged(judged: TurnEndJudged) -> Emit:
    data = {
        "at_ms": judged.at_ms,
        "probability": round(judged.probability, 3),
        "took_ms": judged.took_ms,
    }
    return Emit("turn_end_judged", data)
