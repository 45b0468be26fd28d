"""Turns with pauses, as a call recorded them."""

from voicecore.evaluate.pause_replay import Heard, Pause, RecordedTurn, Said, Started, Stopped
from voicecore.providers.stt import SttFinal

TEXT_MS = 100
STOP_MS = 200


def spoken(*pieces: tuple[str, int], number: int = 0, call: int = 0) -> RecordedTurn:
    """A turn of pieces of one second, each with its text and the pause after it; the last
    piece's pause is ignored. VAD edges are exact, texts come after ``TEXT_MS``."""
    events: list[Heard] = []
    pauses: list[Pause] = []
    at_ms = 1000
    for place, (text, pause_ms) in enumerate(pieces):
        end_ms = at_ms + 1000
        events += [
            Started(at_ms + 60, at_ms),
            Stopped(end_ms + STOP_MS, end_ms),
            Said(end_ms + STOP_MS + TEXT_MS, SttFinal(text, flushed=True)),
        ]
        if place + 1 < len(pieces):
            pauses.append(Pause(end_ms, end_ms + pause_ms))
        at_ms = end_ms + pause_ms
    events.sort(key=lambda event: event.at_ms)
    said = " ".join(text for text, _ in pieces)
    return RecordedTurn(call, number, "plain", said, 1000, end_ms, tuple(pauses), tuple(events))
