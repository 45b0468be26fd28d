"""Text-to-speech that makes speech-like sound of a known length, at known times.

Every word lasts ``word_ms``. The sound is made once per format and cut into chunks that all
calls share: a reply's chunk costs a timer and no allocation. A sentence's first chunk comes
``first_audio_ms`` after ``say()``, or ``chunk_interval_ms`` behind the chunk before it where
that is later.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np

from media.audio.convert import convert_all
from media.audio.format import MULAW_8K, AudioFormat, Encoding
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.scripted_faults import (
    NO_FAULTS,
    VENDOR,
    DelayMs,
    Faults,
    StreamFaults,
    Verdict,
    stream_faults,
)
from voicecore.adapters.settings import read_settings
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import Word

Samples = np.ndarray[Any, np.dtype[np.int16]]

POOL_MS = 5_000
"""How much sound is made; longer replies repeat it."""

_PositiveMs = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
_REMEMBERED_SENTENCES = 1024
_HUGE_CHUNK_MS = 60_000


class TtsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the scripted voice."""

    first_audio_ms: DelayMs = 100
    """From a sentence to its first audio."""
    chunk_interval_ms: DelayMs = 10
    """From one chunk of audio to the next."""
    chunk_ms: _PositiveMs = 100
    """How much audio a chunk holds."""
    word_ms: _PositiveMs = 100
    """How long every word lasts."""
    audio: AudioFormat | None = None
    """The only format made: a block of ``encoding`` (``mulaw``, ``alaw``, ``l16``) and
    ``rate_hz``; empty: any."""
    seed: int = 0
    """The sound's noise comes from it."""
    faults: Faults = NO_FAULTS
    """How it fails, on demand."""


@lru_cache(maxsize=8)
def speech_like(rate_hz: int, duration_ms: int, seed: int) -> Samples:
    """Mono PCM16 that a voice activity detector takes for speech: harmonics of a wandering
    pitch, two formants, five syllables a second, at about -20 dB of full scale."""
    at_s = np.arange(rate_hz * duration_ms // 1000) / rate_hz
    sound = _harmonics(rate_hz, duration_ms).copy()
    sound += 0.02 * np.random.default_rng(seed).standard_normal(at_s.size)
    sound *= 0.25 + 0.75 * np.sin(np.pi * 5 * at_s) ** 2
    sound *= 10 ** (-20 / 20) / np.sqrt(np.mean(sound**2))
    samples: Samples = np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)
    samples.flags.writeable = False  # it is handed out again
    return samples


@lru_cache(maxsize=8)
def _harmonics(rate_hz: int, duration_ms: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """What is the same of every such sound, and takes longest to make."""
    count = rate_hz * duration_ms // 1000
    at_s = np.arange(count) / rate_hz
    pitch_hz = 125 + 20 * np.sin(2 * np.pi * 0.7 * at_s) + 8 * np.sin(2 * np.pi * 2.3 * at_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    sound = np.zeros(count)
    for harmonic in range(1, 24):
        nominal_hz = 125 * harmonic
        if nominal_hz > 0.42 * rate_hz:
            break
        gain = 1 / (1 + ((nominal_hz - 550) / 250) ** 2) + 0.4 / (
            1 + ((nominal_hz - 1700) / 350) ** 2
        )
        sound += (gain + 0.03) * np.sin(harmonic * phase)
    return sound


@lru_cache(maxsize=32)
def sound_chunks(audio: AudioFormat, chunk_ms: int, seed: int) -> tuple[TtsAudio, ...]:
    """The sound in ``audio``'s format, in chunks of ``chunk_ms``: chunk n of every reply is
    entry n, again from 0 after the last."""
    count = max(1, POOL_MS // chunk_ms)
    samples = speech_like(audio.rate_hz, count * chunk_ms, seed).astype("<i2").tobytes()
    sound = convert_all(samples, AudioFormat(Encoding.L16, audio.rate_hz), audio)
    size = audio.bytes_per_ms * chunk_ms
    return tuple(TtsAudio(sound[place : place + size]) for place in range(0, len(sound), size))


class ScriptedTts:
    """Implements ``Tts``."""

    name = VENDOR

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.settings = read_settings(config, TtsSettings)
        self._replies = 0
        self.place_words = lru_cache(maxsize=_REMEMBERED_SENTENCES)(self._place_words)

    async def start(self) -> None:
        self.settings.faults.check_start()
        self.chunks(self.settings.audio or MULAW_8K)

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "ScriptedTtsSession":
        return ScriptedTtsSession(self, self.settings.audio or wanted)

    async def stop(self) -> None:
        """Nothing to release."""

    def chunks(self, audio: AudioFormat) -> tuple[TtsAudio, ...]:
        return sound_chunks(audio, self.settings.chunk_ms, self.settings.seed)

    def next_faults(self) -> StreamFaults | None:
        number = self._replies
        self._replies += 1
        return stream_faults(self.settings.faults, self.settings.seed, number)

    def _place_words(self, text: str, from_ms: int) -> TtsWords:
        word_ms = self.settings.word_ms
        return TtsWords(
            tuple(
                Word(word, from_ms + place * word_ms, from_ms + (place + 1) * word_ms)
                for place, word in enumerate(text.split())
            )
        )


class ScriptedTtsSession:
    """Implements ``TtsSession``."""

    def __init__(self, vendor: ScriptedTts, audio: AudioFormat) -> None:
        self.audio = audio
        self._vendor = vendor
        self._chunks = vendor.chunks(audio)
        self._reply: ScriptedTtsReply | None = None

    def reply(self, sink: Callable[[TtsEvent], None]) -> "ScriptedTtsReply":
        faults = self._vendor.next_faults()
        self._reply = ScriptedTtsReply(self._vendor, self.audio, self._chunks, faults, sink)
        return self._reply

    def close(self) -> None:
        if self._reply is not None:
            self._reply.cancel()
            self._reply = None


class _Sentence:
    __slots__ = ("left_ms", "ready", "text")

    def __init__(self, text: str, ready: float, left_ms: int) -> None:
        self.text = text
        self.ready = ready
        self.left_ms = left_ms


class ScriptedTtsReply:
    """Implements ``TtsReply``: one timer, which is set to the next chunk's time."""

    def __init__(
        self,
        vendor: ScriptedTts,
        audio: AudioFormat,
        chunks: tuple[TtsAudio, ...],
        faults: StreamFaults | None,
        sink: Callable[[TtsEvent], None],
    ) -> None:
        self._vendor = vendor
        self._settings = vendor.settings
        self._audio = audio
        self._chunks = chunks
        self._faults = faults
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._sentences: deque[_Sentence] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._next_due = 0.0
        self._in_sentence = False
        self._played_chunks = 0
        self._position_ms = 0
        self._characters = 0
        self._finished = False
        self._ended = False
        if faults is not None and faults.settings.fail_at == "open":
            self._loop.call_soon(self._fail)

    def say(self, text: str) -> None:
        if self._finished or self._ended:
            return
        now = self._loop.time()
        faults = self._faults
        if faults is not None and not self._characters:
            self._next_due = now + faults.settings.delay_ms / 1000
            self._next_due += self._settings.first_audio_ms / 1000
            if faults.settings.fail_after_ms is not None:
                self._loop.call_later(faults.settings.fail_after_ms / 1000, self._fail)
        self._characters += len(text)
        duration_ms = len(text.split()) * self._settings.word_ms
        if duration_ms:
            ready = now + self._settings.first_audio_ms / 1000
            self._sentences.append(_Sentence(text, ready, duration_ms))
            self._arm()

    def finish(self) -> None:
        if self._finished or self._ended:
            return
        self._finished = True
        if not self._sentences:
            self._loop.call_soon(self._done)

    def cancel(self) -> None:
        if self._faults is not None and self._faults.settings.misbehave_after_cancel:
            return
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None and self._sentences:
            due = max(self._next_due, self._sentences[0].ready)
            self._next_due = due + self._settings.chunk_interval_ms / 1000
            if self._faults is not None:
                due += self._faults.jitter_s()
            self._timer = self._loop.call_at(due, self._next_chunk)

    def _next_chunk(self) -> None:
        self._timer = None
        sentence = self._sentences[0]
        if not self._in_sentence:
            self._in_sentence = True
            self._emit_words(self._vendor.place_words(sentence.text, self._position_ms))
        chunk = self._chunks[self._played_chunks % len(self._chunks)]
        length_ms = self._settings.chunk_ms
        if sentence.left_ms < length_ms:
            length_ms = sentence.left_ms
            chunk = TtsAudio(chunk.payload[: length_ms * self._audio.bytes_per_ms])
        self._played_chunks += 1
        self._position_ms += length_ms
        sentence.left_ms -= length_ms
        if not sentence.left_ms:
            self._sentences.popleft()
            self._in_sentence = False
        if not self._ended:
            self._emit_audio(chunk)
        if self._ended:
            return
        if self._sentences:
            self._arm()
        elif self._finished:
            self._done()

    def _done(self) -> None:
        if self._ended or (self._faults is not None and self._faults.silent):
            return
        self._ended = True
        self._sink(TtsDone(self._characters))

    def _fail(self) -> None:
        if not self._ended and self._faults is not None:
            self._end()
            self._sink(TtsFailed(self._faults.settings.error()))

    def _emit_words(self, event: TtsWords) -> None:
        if self._faults is None:
            self._sink(event)
        elif not self._faults.silent:
            self._sink(_spoil_words(event, self._faults))

    def _emit_audio(self, chunk: TtsAudio) -> None:
        faults = self._faults
        if faults is None:
            self._sink(chunk)
            return
        match faults.output():
            case Verdict.FAIL:
                self._fail()
            case Verdict.PASS:
                self._sink(_spoil_audio(chunk, self._audio, faults))


def _spoil_words(event: TtsWords, faults: StreamFaults) -> TtsWords:
    if faults.settings.garbage == "odd":
        return TtsWords(
            tuple(Word(word.text, word.end_ms, -word.start_ms - 1) for word in event.words)
        )
    if faults.settings.garbage:
        return TtsWords(
            tuple(Word(faults.text(word.text), word.start_ms, word.end_ms) for word in event.words)
        )
    return event


def _spoil_audio(chunk: TtsAudio, audio: AudioFormat, faults: StreamFaults) -> TtsAudio:
    payload = chunk.payload
    match faults.settings.garbage:
        case "empty":
            return TtsAudio(b"")
        case "odd":
            return TtsAudio(payload[:-1] if len(payload) % 2 == 0 else payload)
        case "huge":
            return TtsAudio(payload * max(1, _HUGE_CHUNK_MS // audio.duration_ms(len(payload))))
    if faults.cuts_this_output:
        return TtsAudio(payload[: len(payload) // 2 // audio.sample_bytes * audio.sample_bytes])
    return chunk
