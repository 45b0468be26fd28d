"""What happened in the turns, as events of the call: their fields, which are described in
docs/call-files.md. Part of the turn machine.

Those of the speech-to-text and of the model of the sound are enough to take the same turns again.
"""

from typing import Any, assert_never

from voicecore.providers.errors import VendorError
from voicecore.providers.stt import SttEager, SttFinal, SttInterim, SttResumed
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.inputs import TurnEndJudged
from voicecore.turns.outputs import Emit
from voicecore.turns.reply import Reply


def stt_result(heard: SttInterim | SttFinal | SttEager | SttResumed) -> Emit:
    """The event ``stt_result`` for one event of the stream."""
    data: dict[str, Any]
    match heard:
        case SttInterim():
            data = {"kind": "interim", "text": heard.text, "confidence": heard.confidence}
        case SttEager():
            data = {"kind": "eager", "text": heard.text, "confidence": heard.confidence}
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
                "confidence": heard.confidence,
            }
        case _:
            assert_never(heard)
    return Emit("stt_result", data)


def turn_end_judged(judged: TurnEndJudged) -> Emit:
    """The event ``turn_end_judged``: what the model of the sound thinks of a pause."""
    data = {
        "at_ms": judged.at_ms,
        "probability": round(judged.probability, 3),
        "took_ms": judged.took_ms,
    }
    return Emit("turn_end_judged", data)


def caller_turn(turn: CallerTurn) -> Emit:
    """The event ``caller_turn``: a turn that gets an answer."""
    data = {
        "text": turn.text,
        "start_ms": turn.start_ms,
        "end_ms": turn.end_ms,
        "words": turn.words,
    }
    return Emit("caller_turn", data)


def agent_turn(reply: Reply, cut_ms: int | None, played_ms: int, why: str) -> Emit:
    """The event ``agent_turn``: the reply is over. It was cut after ``cut_ms`` of its audio; None
    if it was heard whole."""
    spoken = reply.spoken
    data = {
        "reply": reply.number,
        "kind": reply.kind.value,
        "text": spoken.text,
        "heard_text": spoken.text if cut_ms is None else spoken.heard_text(cut_ms),
        "words": spoken.heard(cut_ms),
        "start_ms": reply.started_ms,
        "played_ms": played_ms,
        "ended": why,
    }
    return Emit("agent_turn", data)


def turn_latency(reply: Reply) -> Emit:
    """The event ``turn_latency``: where the time went until the answer was heard."""
    summary = reply.latency.summary(reply.number)
    return Emit("turn_latency", {"reply": summary.reply, **summary.after_speech_end_ms})


def vendor_failed(kind: str, error: VendorError, reply: int | None = None) -> Emit:
    """The event ``vendor_failed``: of the ``kind`` stt, llm or tts, perhaps in the midst of a
    reply."""
    data = {
        "kind": kind,
        "vendor": error.vendor,
        "code": error.code,
        "detail": error.detail,
    }
    if reply is None:
        return Emit("vendor_failed", data)
    return Emit("vendor_failed", {**data, "reply": reply})
