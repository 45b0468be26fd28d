"""Speech-to-text that hears what its settings say, at the times they say.

For demonstrations, tests and load: no network, no model, no work per frame. Interims come
every ``interim_every_ms`` between ``speech_started()`` and ``finalize()``, the final
``final_ms`` after ``finalize()``.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from media.audio.format import AudioFormat
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
from voicecore.providers.stt import (
    Spawn,
    SttEager,
    SttEvent,
    SttFailed,
    SttFinal,
    SttInterim,
    SttResumed,
)
from voicecore.providers.words import Word, spread_words

_UTTERANCES = (
    "hello I would like some help with my order",
    "it was supposed to arrive on Monday",
    "the number is four two seven one",
    "could you send it to my office instead",
    "yes that is right",
    "and what would that cost",
    "that sounds fine to me",
    "no that is all thank you",
)


UNSURE = 0.2
"""The confidence of words that are perhaps none."""


class SttSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the scripted speech-to-text."""

    utterances: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = _UTTERANCES
    """What it hears, whatever the caller says."""
    order: Literal["sequence", "random"] = "sequence"
    """``sequence``: each call's stream hears them from the first on, again and again.
    ``random``: shuffled, by ``seed``."""
    echo: bool = False
    """Report the amount of audio instead: ``heard 1240 ms``."""
    interim_every_ms: Annotated[float, msgspec.Meta(gt=0, le=3_600_000)] = 300
    """How far interim texts are apart; each has one word more, up to the last."""
    final_ms: DelayMs = 0
    """From the end of the caller's speech to the final text; 0: at once."""
    end_of_turn: bool = False
    """Whether finals carry the vendor's opinion that the caller has finished."""
    unsure_every: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Of so many utterances one is told with little confidence, as a cough would be; 0: none."""
    revises: bool = False
    """Whether each final has all of the turn's text, instead of the one before."""
    eager_after_ms: DelayMs | None = None
    """An early end of turn with the whole utterance, this long after speech began; empty:
    none."""
    resumed_after_ms: DelayMs | None = None
    """Such an end of turn is taken back, this long after speech began; empty: never."""
    audio: AudioFormat | None = None
    """The only format taken: a block of ``encoding`` (``mulaw``, ``alaw``, ``l16``) and
    ``rate_hz``; empty: any."""
    seed: int = 0
    """What looks random comes from it."""
    faults: Faults = NO_FAULTS
    """How it fails, on demand."""


class _Utterance:
    """An utterance with its interims, built once and shared by all calls."""

    def __init__(self, text: str) -> None:
        words = text.split()
        self.text = text
        self.interims = tuple(
            SttInterim(" ".join(words[: count + 1])) for count in range(len(words))
        ) or (SttInterim(""),)


class ScriptedStt:
    """Implements ``Stt``."""

    name = VENDOR
    ends_turns = False
    marks_ends = True

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.settings = read_settings(config, SttSettings)
        self._utterances = tuple(_Utterance(text) for text in self.settings.utterances)
        self._streams = 0

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        return self.settings.audio or offered

    async def start(self) -> None:
        self.settings.faults.check_start()

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> "ScriptedSttStream":
        number = self._streams
        self._streams += 1
        settings = self.settings
        utterances = self._utterances
        if settings.order == "random":
            shuffler = random.Random(f"{settings.seed}.{number}")
            utterances = tuple(shuffler.sample(utterances, len(utterances)))
        faults = stream_faults(settings.faults, settings.seed, number)
        return ScriptedSttStream(settings, utterances, faults, audio, sink)

    async def stop(self) -> None:
        """Nothing to release."""


class ScriptedSttStream:
    """Implements ``SttStream``."""

    def __init__(
        self,
        settings: SttSettings,
        utterances: tuple[_Utterance, ...],
        faults: StreamFaults | None,
        audio: AudioFormat,
        sink: Callable[[SttEvent], None],
    ) -> None:
        self._settings = settings
        self._utterances = utterances
        self._faults = faults
        self._audio = audio
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._pushed_bytes = 0
        self._speech_from_ms = 0
        self._speaking = False
        self._turn = 0
        self._interims = 0
        self._told: SttFinal | None = None
        self._due = 0.0
        self._speech_timers: list[asyncio.TimerHandle] = []
        self._interim_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._ended = False
        self._not_before = 0.0
        self._late: deque[SttEvent] = deque()
        if faults is not None:
            self._arm_failure(faults)

    def push(self, frame: bytes) -> None:
        self._pushed_bytes += len(frame)

    def speech_started(self) -> None:
        if self._speaking or self._closed:
            return
        settings = self._settings
        self._speaking = True
        self._speech_from_ms = self._audio.duration_ms(self._pushed_bytes)
        self._interims = 0
        self._due = self._loop.time()
        self._next_interim()
        utterance = self._utterances[self._turn % len(self._utterances)]
        if settings.eager_after_ms is not None:
            self._speech_timers.append(
                self._loop.call_later(
                    settings.eager_after_ms / 1000, self._emit, SttEager(utterance.text)
                )
            )
        if settings.resumed_after_ms is not None:
            self._speech_timers.append(
                self._loop.call_later(settings.resumed_after_ms / 1000, self._emit, SttResumed())
            )

    def want_interim(self) -> None:
        """Interims come every ``interim_every_ms``."""

    def turn_over(self) -> None:
        self._told = None

    def finalize(self) -> None:
        if self._closed:
            return
        self._stop_speech_timers()
        final = SttFinal("", flushed=True)
        if self._speaking:
            self._speaking = False
            utterance = self._utterances[self._turn % len(self._utterances)]
            final = self._final(utterance.text)
            self._turn += 1
        if self._settings.final_ms:
            self._loop.call_later(self._settings.final_ms / 1000, self._tell, final)
        else:
            self._loop.call_soon(self._tell, final)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._stop_speech_timers()
        if self._faults is not None and self._faults.settings.misbehave_after_cancel:
            self._sink(SttInterim("said after the close"))
            self._loop.call_soon(self._sink, SttFinal("said after the close", flushed=True))

    def _final(self, text: str) -> SttFinal:
        start_ms = self._speech_from_ms
        end_ms = self._audio.duration_ms(self._pushed_bytes)
        if self._settings.echo:
            text = f"heard {end_ms - start_ms} ms"
        words = spread_words(text, start_ms, end_ms)
        sure = UNSURE if self._unsure else 1.0
        return SttFinal(text, words, self._settings.end_of_turn, flushed=True, confidence=sure)

    @property
    def _unsure(self) -> bool:
        """Whether the present utterance is told with little confidence."""
        every = self._settings.unsure_every
        return every > 0 and self._turn % every == every - 1

    def _tell(self, final: SttFinal) -> None:
        told = self._told
        if told is not None and final.text:
            words = told.words + final.words
            final = msgspec.structs.replace(
                final, text=f"{told.text} {final.text}", words=words, revises=True
            )
        if self._settings.revises and final.text:
            self._told = final
        self._emit(final)

    def _next_interim(self) -> None:
        self._due += self._settings.interim_every_ms / 1000
        self._interim_timer = self._loop.call_at(self._due, self._interim)

    def _interim(self) -> None:
        interims = self._utterances[self._turn % len(self._utterances)].interims
        event = interims[self._interims]
        if self._unsure:
            event = SttInterim(event.text, UNSURE)
        self._interims += 1
        if self._interims < len(interims):
            self._next_interim()
        self._emit(event)

    def _stop_speech_timers(self) -> None:
        if self._interim_timer is not None:
            self._interim_timer.cancel()
            self._interim_timer = None
        for timer in self._speech_timers:
            timer.cancel()
        self._speech_timers.clear()

    def _emit(self, event: SttEvent) -> None:
        if self._closed or self._ended:
            return
        if self._faults is None:
            self._sink(event)
        else:
            self._emit_faulty(event, self._faults)

    def _arm_failure(self, faults: StreamFaults) -> None:
        self._not_before = self._loop.time() + faults.settings.delay_ms / 1000
        if faults.settings.fail_at == "open":
            self._loop.call_soon(self._fail)
        elif faults.settings.fail_after_ms is not None:
            self._loop.call_later(faults.settings.fail_after_ms / 1000, self._fail)

    def _fail(self) -> None:
        if self._closed or self._ended or self._faults is None:
            return
        self._ended = True
        self._stop_speech_timers()
        self._sink(SttFailed(self._faults.settings.error()))

    def _emit_faulty(self, event: SttEvent, faults: StreamFaults) -> None:
        match faults.output():
            case Verdict.DROP:
                return
            case Verdict.FAIL:
                self._fail()
                return
        self._not_before = max(self._not_before, self._loop.time() + faults.jitter_s())
        event = _spoil(event, faults)
        if self._not_before > self._loop.time():
            # A queue, because timers of one moment may fire in any order.
            self._late.append(event)
            self._loop.call_at(self._not_before, self._deliver_late)
        else:
            self._sink(event)

    def _deliver_late(self) -> None:
        event = self._late.popleft()
        if not self._closed and not self._ended:
            self._sink(event)


def _spoil(event: SttEvent, faults: StreamFaults) -> SttEvent:
    match event:
        case SttInterim(text=text):
            return msgspec.structs.replace(event, text=faults.text(text))
        case SttEager(text=text):
            return SttEager(faults.text(text))
        case SttFinal(text=text, words=words):
            if faults.settings.garbage == "odd":
                words = tuple(Word(word.text, word.end_ms, -word.start_ms - 1) for word in words)
            elif faults.settings.garbage:
                words = ()
            return msgspec.structs.replace(event, text=faults.text(text), words=words)
    return event
