"""Deepgram's messages as its documentation shows them, and the sound of its voices."""

from typing import Any


def spoken(text: str, size: int) -> bytes:
    """What the server's voice makes of a text: a constant sample value told by the text."""
    return bytes([sum(text.encode()) % 199 + 1]) * size


def results_message(
    text: str,
    start: float,
    duration: float,
    *,
    is_final: bool = False,
    speech_final: bool = False,
    from_finalize: bool = False,
    words: list[tuple[str, float, float]] | None = None,
) -> dict[str, Any]:
    spelled = text.split()
    each = duration / max(len(spelled), 1)
    if words is None:
        words = [(w, start + i * each, start + (i + 1) * each) for i, w in enumerate(spelled)]
    timed = [
        {
            "word": word.lower().strip(".,?!"),
            "punctuated_word": word,
            "start": begin,
            "end": end,
            "confidence": 0.98,
        }
        for word, begin, end in words
    ]
    info = {"name": "general-nova-3", "version": "2025", "arch": "nova-3"}
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": duration,
        "start": start,
        "is_final": is_final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [{"transcript": text, "confidence": 0.98, "words": timed}]},
        "metadata": {"request_id": "r", "model_info": info, "model_uuid": "m"},
    }


def turn_message(
    event: str, text: str, end: float, index: int, sequence: int, *, start: float = 0.0
) -> dict[str, Any]:
    spelled = text.split()
    each = (end - start) / max(len(spelled), 1)
    message: dict[str, Any] = {
        "type": "TurnInfo",
        "request_id": "r",
        "sequence_id": sequence,
        "event": event,
        "turn_index": index,
        "audio_window_start": start,
        "audio_window_end": end,
        "transcript": text,
        "words": [
            {
                "word": word,
                "confidence": 0.97,
                "start": start + number * each,
                "end": start + (number + 1) * each,
            }
            for number, word in enumerate(spelled)
        ],
        "end_of_turn_confidence": 0.9 if event == "EndOfTurn" else 0.2,
    }
    return message | ({"trigger": "model"} if event == "EndOfTurn" else {})


CONTROLS = {"pronunciations_applied": 0, "breaks_applied": 0, "pronunciation_warnings": 0}
METADATA_SPEAK = {
    "type": "Metadata",
    "request_id": "r",
    "model_name": "aura-2-thalia-en",
    "model_version": "1",
    "model_uuid": "m",
}
CONNECTED_SPEAK = {
    "type": "Connected",
    "request_id": "r",
    "model_name": "flux-haven-en",
    "model_version": "1",
    "model_uuids": ["m"],
}


def speech_metadata(text: str, duration_ms: int) -> dict[str, Any]:
    return {
        "type": "SpeechMetadata",
        "speech_id": "dg_sp_000000000001",
        "audio_duration_ms": duration_ms,
        "input_character_count": len(text),
        "billable_character_count": len(text),
        "controls_applied": CONTROLS,
    }


INTERRUPTED = {
    "type": "SpeechInterrupted",
    "audio_played_ms": 0,
    "metadata": {key: value for key, value in speech_metadata("", 0).items() if key != "type"},
}
