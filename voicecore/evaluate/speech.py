"""The callers' voices: every text is spoken once, before the run, and kept in a cache on disk."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import soundfile
import soxr

from media.audio.format import AudioFormat, Encoding
from voicecore.adapters.registry import VendorConfig, make_tts
from voicecore.evaluate.effects import RATE_HZ as LINE_HZ
from voicecore.evaluate.effects import SPEECH_DBFS, Samples, at_level, band_passed
from voicecore.evaluate.pause_audio import spoken_pieces
from voicecore.evaluate.pause_cuts import in_pieces
from voicecore.evaluate.scene import VOICES, Scene, SceneEvent
from voicecore.phone.speech import speak

_SPOKEN = AudioFormat(Encoding.L16, 16_000)
_CACHE_VERSION = 1
_QUIET_DB = 45.0
"""What is this far below the loudest piece, before and after a text, is silence."""
_MARGIN_MS = 20


class Text(msgspec.Struct, frozen=True):
    """A text as one voice says it."""

    voice: str
    speed: float
    text: str

    @property
    def file_name(self) -> str:
        voice = VOICES[self.voice]
        facts = (_CACHE_VERSION, voice.engine, voice.pitch, self.speed, self.text)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32] + ".wav"


def texts_of(scenes: Iterable[Scene]) -> list[Text]:
    """All that has to be spoken, each once."""
    found: dict[Text, None] = {}
    for event in (event for scene in scenes for event in scene.events):
        pieces, whole = _texts(event)
        found |= dict.fromkeys(pieces if whole is None else (*pieces, whole))
    return list(found)


def _texts(event: SceneEvent) -> tuple[tuple[Text, ...], Text | None]:
    """The pieces of what is said, and all of it if there are several."""
    parts = [part for part in event.parts if isinstance(part, str) and not part.startswith("[")]
    pieces = spoken_pieces(parts) if parts else ()
    texts = tuple(Text(event.voice, event.speed, piece) for piece in pieces)
    whole = Text(event.voice, event.speed, " ".join(parts)) if len(parts) > 1 else None
    return texts, whole


def spoken(event: SceneEvent, speech: Mapping[Text, Samples]) -> list[Samples]:
    """The pieces of what is said, as they sound when it is all said in one breath: where a
    caller is going to go on the voice does not fall as it does at an end."""
    texts, whole = _texts(event)
    pieces = [speech[text] for text in texts]
    if whole is None:
        return pieces
    # Measured in units of a 16-bit sample.
    loud = in_pieces([piece * 32_768 for piece in pieces], speech[whole] * 32_768)
    return [piece / 32_768 for piece in loud]


async def prepare_speech(
    texts: Iterable[Text],
    cache: Path,
    secrets: Mapping[str, str],
    progress: Callable[[str], None] = lambda step: None,
) -> dict[Text, Samples]:
    """Each text as samples on the line: in the telephone's band, at the level of ordinary speech,
    without silence around it.

    :raises VendorError: a voice failed. :raises OSError: the cache cannot be used."""
    wanted = list(texts)
    missing = await asyncio.to_thread(_missing, cache, wanted)
    engines = sorted({(VOICES[text.voice].engine, _pace(text)) for text in missing})
    done = 0
    for engine, pace in engines:
        batch = [t for t in missing if (VOICES[t.voice].engine, _pace(t)) == (engine, pace)]
        progress(f"speaking the callers' sentences: {done} of {len(missing)}")
        await _speak_batch(engine, pace, batch, cache, secrets)
        done += len(batch)
    return {text: _load(cache / text.file_name) for text in wanted}


def _missing(cache: Path, wanted: list[Text]) -> list[Text]:
    cache.mkdir(parents=True, exist_ok=True)
    return [text for text in wanted if not (cache / text.file_name).exists()]


def _pace(text: Text) -> float:
    """How fast the engine speaks, so that the text has its speed when its pitch was moved."""
    return round(min(max(text.speed / VOICES[text.voice].pitch, 0.5), 2.0), 3)


async def _speak_batch(
    engine: str, pace: float, batch: list[Text], cache: Path, secrets: Mapping[str, str]
) -> None:
    tts = make_tts(VendorConfig("piper", voice=engine, settings={"speed": pace}), secrets)
    try:
        await tts.start()
        spoken = await speak({text.text: text.text for text in batch}, tts, _SPOKEN)
    finally:
        await tts.stop()
    for text in batch:
        pcm16 = np.frombuffer(spoken[text.text], dtype="<i2").astype(np.float64) / 32_768
        # As if it had been recorded at another rate: pitch and formants move together.
        line = soxr.resample(pcm16, _SPOKEN.rate_hz * VOICES[text.voice].pitch, LINE_HZ, "HQ")
        path = cache / text.file_name
        partial = path.with_suffix(".part")
        soundfile.write(partial, _trimmed(line), LINE_HZ, subtype="PCM_16", format="WAV")
        os.replace(partial, path)


def _trimmed(samples: Samples) -> Samples:
    size = LINE_HZ // 100
    whole = len(samples) // size
    power = (samples[: whole * size].reshape(-1, size) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-_QUIET_DB / 10))
    margin = _MARGIN_MS * LINE_HZ // 1000
    first = max(int(loud[0]) * size - margin, 0)
    return samples[first : (int(loud[-1]) + 1) * size + margin]


def _load(path: Path) -> Samples:
    samples, rate_hz = soundfile.read(path, dtype="float64")
    if rate_hz != LINE_HZ:
        raise OSError(f"{path} is not a file of this cache")
    return at_level(band_passed(samples), SPEECH_DBFS)
