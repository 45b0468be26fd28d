"""The callers of the pause sweep: local voices that speak the turns. Done before any call."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from media.audio.format import L16_16K
from voicecore.adapters.registry import VendorConfig, make_tts
from voicecore.evaluate.pause_audio import (
    Samples,
    TurnAudio,
    join,
    pitched,
    spoken_pieces,
    trimmed,
)
from voicecore.evaluate.pause_cuts import cuts
from voicecore.evaluate.pause_suite import PausedTurn
from voicecore.phone.script import Script, Utter
from voicecore.phone.sounds import linear
from voicecore.phone.speech import prepare_sounds, wire_of


class Voice(msgspec.Struct, frozen=True):
    """A local voice; ``pitch`` raises its pitch and formants, its pace stays."""

    name: str
    voice: str
    pitch: float = 1.0
    speed: float = 1.0


VOICES = (
    Voice("heart", "heart"),
    Voice("joe", "joe"),
    Voice("heart, lower", "heart", pitch=0.9, speed=0.95),
    Voice("joe, higher", "joe", pitch=1.15, speed=1.05),
)


async def speak_turns(
    turns: Sequence[PausedTurn], voices: Sequence[Voice] = VOICES
) -> tuple[TurnAudio, ...]:
    """Each turn as audio, the voices in turn: turn n is spoken by voice n modulo their number.

    :raises VendorError: a voice is not installed, or failed."""
    made: dict[int, TurnAudio] = {}
    for place, voice in enumerate(voices):
        own = turns[place :: len(voices)]
        if own:
            made |= await _speak(own, voice)
    return tuple(made[turn.number] for turn in turns)


async def _speak(turns: Sequence[PausedTurn], voice: Voice) -> Mapping[int, TurnAudio]:
    texts = [text for turn in turns for text in (*spoken_pieces(turn.pieces), turn.text)]
    steps = tuple(Utter(1, "say", text=text) for text in dict.fromkeys(texts))
    script = Script(steps, carrier="telnyx", codec=L16_16K, agent_codec=L16_16K)
    tts = make_tts(
        VendorConfig(
            vendor="piper",
            voice=voice.voice,
            settings={"speed": round(voice.speed / voice.pitch, 3)},
        ),
        {},
    )
    await tts.start()
    try:
        sounds = await prepare_sounds(script, tts)
    finally:
        await tts.stop()
    wire = wire_of(script)
    spoken = {}
    for step in steps:
        frames = sounds.utterances[step.sound].frames
        pcm16 = linear(wire, b"".join(frame.payload for frame in frames))
        samples = np.frombuffer(pcm16, "<i2").astype(np.float64)
        spoken[step.text] = pitched(samples, voice.pitch, L16_16K.rate_hz)
    return {turn.number: await asyncio.to_thread(_with_pauses, turn, spoken) for turn in turns}


def _with_pauses(turn: PausedTurn, spoken: Mapping[str, Samples]) -> TurnAudio:
    pieces = [trimmed(spoken[text]) for text in spoken_pieces(turn.pieces)]
    whole = trimmed(spoken[turn.text])
    return join(np.split(whole, cuts(pieces, whole)), turn.pauses_ms)
