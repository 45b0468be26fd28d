"""What the agent's model of the sound says of every pause of a recorded call.

The calls are recorded without the model, whose answers would depend on how busy the machine is,
and be missing where the caller goes on soon. It is asked afterwards, with what a call would have
given it: the caller's turn up to where the VAD noticed the pause.
"""

import time

import numpy as np
import soundfile
from msgspec import structs

from media.audio.convert import convert_all
from media.audio.format import L16_16K, AudioFormat, Encoding
from voicecore.evaluate.pause_record import TakenCall
from voicecore.evaluate.pause_replay import Heard, Opined, RecordedTurn, Started, Stopped
from voicecore.local.turn_end import TurnEndJudge
from voicecore.turns.turn_audio import BEFORE_MS, WINDOW_MS

Recording = np.ndarray[tuple[int], np.dtype[np.int16]]


def with_opinions(call: TakenCall, judge: TurnEndJudge) -> tuple[RecordedTurn, ...]:
    """The call's turns with an opinion on each pause, which came as long after the pause was
    noticed as the model took for it now."""
    samples, rate_hz = soundfile.read(call.call_dir / "recording.wav", dtype="int16")
    line = AudioFormat(Encoding.L16, rate_hz)
    return tuple(_judged(turn, samples[:, 0], line, judge) for turn in call.turns)


def _judged(
    turn: RecordedTurn, caller: Recording, line: AudioFormat, judge: TurnEndJudge
) -> RecordedTurn:
    starts = [event.edge_ms for event in turn.events if isinstance(event, Started)]
    begin_ms = min(starts, default=turn.begin_ms) - BEFORE_MS
    made: list[Heard] = []
    for event in turn.events:
        made.append(event)
        if isinstance(event, Stopped):
            from_ms = max(begin_ms, event.at_ms - WINDOW_MS, 0)
            heard = caller[from_ms * line.rate_hz // 1000 : event.at_ms * line.rate_hz // 1000]
            audio = convert_all(heard.astype("<i2").tobytes(), line, L16_16K)
            began_s = time.monotonic()
            (probability,) = judge.probabilities([audio])
            took_ms = round((time.monotonic() - began_s) * 1000)
            made.append(Opined(event.at_ms + took_ms, event.edge_ms, probability))
    return structs.replace(turn, events=tuple(sorted(made, key=lambda one: one.at_ms)))
