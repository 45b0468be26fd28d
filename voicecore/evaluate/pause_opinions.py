"""What the agent's model of the sound says of every pause of a recorded call.

The calls are recorded without the model, whose answers would depend on how busy the machine is,
and be missing where the caller goes on soon. It is asked afterwards, with what a call would have
given it: the caller's speech up to where the VAD noticed the pause. The agent's voice is left out,
which a call gives it where there is room: here it is a scripted one.
"""

import time

import soundfile
from msgspec import structs

from media.audio.convert import convert_all
from media.audio.format import FRAME_MS, L16_16K, AudioFormat, Encoding
from voicecore.evaluate.pause_record import TakenCall
from voicecore.evaluate.pause_replay import Heard, Opined, RecordedTurn, Started, Stopped
from voicecore.local.turn_end import TurnEndJudge
from voicecore.turns.turn_audio import TurnAudio


def with_opinions(call: TakenCall, judge: TurnEndJudge) -> tuple[RecordedTurn, ...]:
    """The call's turns with an opinion on each pause, which came as long after the pause was
    noticed as the model took for it now."""
    samples, rate_hz = soundfile.read(call.call_dir / "recording.wav", dtype="int16")
    line = AudioFormat(Encoding.L16, rate_hz)
    caller = _Caller(samples[:, 0].astype("<i2").tobytes(), line)
    return tuple(_judged(turn, caller, judge) for turn in call.turns)


class _Caller:
    """What a call would have kept of the caller's sound."""

    def __init__(self, pcm16: bytes, line: AudioFormat) -> None:
        self.line = line
        self._pcm16 = pcm16
        self._frames = 0
        self._kept = TurnAudio(line.frame_bytes)

    def at(self, event: Started | Stopped) -> bytes:
        """What the model is asked with when ``event`` is a stop; events come in order."""
        size = self.line.frame_bytes
        for place in range(self._frames, event.at_ms // FRAME_MS):
            self._kept.add(self._pcm16[place * size : (place + 1) * size])
        self._frames = max(event.at_ms // FRAME_MS, self._frames)
        if isinstance(event, Stopped):
            return self._kept.speech_stopped()
        self._kept.speech_started(event.at_ms - event.edge_ms)
        return b""


def _judged(turn: RecordedTurn, caller: _Caller, judge: TurnEndJudge) -> RecordedTurn:
    made: list[Heard] = []
    for event in turn.events:
        made.append(event)
        if not isinstance(event, Started | Stopped):
            continue
        heard = caller.at(event)
        if isinstance(event, Stopped):
            audio = convert_all(heard, caller.line, L16_16K)
            began_s = time.monotonic()
            (probability,) = judge.probabilities([audio])
            took_ms = round((time.monotonic() - began_s) * 1000)
            made.append(Opined(event.at_ms + took_ms, event.edge_ms, probability))
    return structs.replace(turn, events=tuple(sorted(made, key=lambda one: one.at_ms)))
