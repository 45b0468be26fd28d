"""Speech-to-text on this machine: Moonshine's English model in a worker process.

The model hears whole utterances. Our VAD says where they begin and end; at the end the audio
goes to the worker, which answers in a tenth of the utterance's length. What was said earlier in
the same turn is heard again with it: alone, the model makes "for one five" of "four one five".
Interim texts are the same work done early, about once a second while the worker has nothing else
to do.

The model gives no word times; words are spread over the part of the utterance with voice.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from media.audio.format import AudioFormat
from voicecore.adapters.registry import ConfigProblem, VendorConfig
from voicecore.adapters.settings import read_settings
from voicecore.local.lanes import Lanes
from voicecore.local.turn_speech import TurnPart, TurnSpeech
from voicecore.local.utterances import Utterance, Utterances
from voicecore.local.worker import (
    WorkerEvent,
    WorkerFailed,
    WorkerOutput,
    WorkerProcess,
    WorkerSpec,
)
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn, SttEvent, SttFailed, SttFinal, SttInterim
from voicecore.providers.words import Word

VENDOR = "moonshine"
_INTERIM_LAST_MS = 8000
_FINAL_TIMEOUT_S = 15.0
"""No conversation waits that long: the worker hangs, or has far too much to do."""


class MoonshineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of Moonshine on this machine."""

    interims: Literal["auto", "on", "off"] = "auto"
    """Texts before the end of an utterance. ``auto`` makes them only while the model is idle, so
    that they vanish as calls increase."""
    interim_ms: Annotated[int, msgspec.Meta(ge=300, le=10_000)] = 1000
    """How far they are apart."""
    max_utterance_ms: Annotated[int, msgspec.Meta(ge=2000, le=30_000)] = 12_000
    """Longer speech is understood in parts of this length."""
    context_ms: Annotated[int, msgspec.Meta(ge=0, le=20_000)] = 6000
    """While a turn's earlier speech is no longer than this, it is heard again with each new part;
    0: never. It makes the text much better, and takes the time that its length takes."""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many utterances are understood at a time."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 5
    """How far the model's process stands back behind others (Unix ``nice``)."""


class MoonshineStt:
    """Implements ``Stt``."""

    ends_turns = False
    marks_ends = False
    """It is given what lies between two pauses, and takes it for a sentence."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        also: list[ConfigProblem] = []
        if config.language.split("-")[0].lower() != "en":
            also.append(ConfigProblem("language", "the model understands English only"))
        self.settings = read_settings(config, MoonshineSettings, also=also)
        model = config.model or "tiny-en"
        self.name = f"{VENDOR}/{model}"
        spec = WorkerSpec(
            vendor=VENDOR,
            command=("-m", "voicecore.local.moonshine_worker"),
            settings={
                "model": model,
                "parallel": self.settings.parallel,
            },
            nice=self.settings.nice,
        )
        self.worker = WorkerProcess(spec, on_ready=lambda: self.lanes.ready())
        self.lanes = Lanes(self.worker, parallel=self.settings.parallel)

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        return offered

    async def start(self) -> None:
        await self.worker.start()

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> "MoonshineStream":
        return MoonshineStream(self.settings, self.lanes, audio, sink)

    async def stop(self) -> None:
        await self.worker.stop()


class _Pending:
    """Speech on its way. ``flushes`` is how many ``finalize()`` it answers."""

    def __init__(self, speech: TurnPart, flushes: int) -> None:
        self.speech = speech
        self.flushes = flushes
        self.text = ""
        self.words: tuple[Word, ...] = ()
        self.confidence = 1.0


class MoonshineStream:
    """Implements ``SttStream``."""

    def __init__(
        self,
        settings: MoonshineSettings,
        lanes: Lanes,
        audio: AudioFormat,
        sink: Callable[[SttEvent], None],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._sink: Callable[[SttEvent], None] | None = sink
        self._speech = Utterances(audio, max_ms=settings.max_utterance_ms)
        self._turn = TurnSpeech(audio, context_ms=settings.context_ms)
        self._args = {"encoding": audio.encoding.value, "rate_hz": audio.rate_hz}
        self._finals = lanes.lane()
        self._interims = lanes.lane()
        self._pending: deque[_Pending] = deque()
        self._overdue: asyncio.TimerHandle | None = None
        # An interim is due when this much of the utterance is there.
        self._interim_at_ms = settings.interim_ms
        self._spare_wanted = {"on": 1, "auto": settings.parallel}.get(settings.interims, 0)

    def push(self, frame: bytes) -> None:
        if self._sink is None:
            return
        if part := self._speech.push(frame):
            self._submit(part, flushes=0)
        elif self._speech.speaking and self._speech.speech_ms >= self._interim_at_ms:
            self._submit_spare_interim()

    def speech_started(self) -> None:
        if not self._speech.speaking:
            self._interim_at_ms = self._settings.interim_ms
        self._speech.speech_started()

    def want_interim(self) -> None:
        if self._sink is not None and self._speech.speaking and self._spare_wanted:
            self._submit_interim()

    def finalize(self) -> None:
        if self._sink is None:
            return
        if utterance := self._speech.finalize():
            self._submit(utterance, flushes=1)
        elif self._pending:
            self._pending[-1].flushes += 1
        else:
            asyncio.get_running_loop().call_soon(self._emit, SttFinal("", flushed=True))

    def turn_over(self) -> None:
        self._turn.over()

    def close(self) -> None:
        self._sink = None
        self._finals.clear()
        self._interims.clear()
        self._pending.clear()
        self._watch()

    def _submit(self, utterance: Utterance, *, flushes: int) -> None:
        self._interims.clear()
        self._interim_at_ms = self._settings.interim_ms
        pending = _Pending(self._turn.add(utterance), flushes)
        self._pending.append(pending)
        if self._overdue is None:
            self._watch()
        try:
            self._finals.submit(
                self._args, pending.speech.audio, lambda event: self._on_final(pending, event)
            )
        except VendorError as error:
            asyncio.get_running_loop().call_soon(self._fail, error)

    def _on_final(self, pending: _Pending, event: WorkerEvent) -> None:
        if isinstance(event, WorkerOutput):
            facts = event.facts
            pending.text = str(facts["text"])
            from_ms, until_ms = int(facts["from_ms"]), int(facts["until_ms"])
            pending.words = pending.speech.words(pending.text, from_ms, until_ms)
            pending.confidence = float(facts["confidence"])
        elif isinstance(event, WorkerFailed):
            self._fail(event.error)
        else:
            self._pending.remove(pending)
            self._watch()
            self._deliver(pending)

    def _watch(self) -> None:
        """Expect the next text, if one is owed."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if self._pending:
            detail = f"no text for {_FINAL_TIMEOUT_S:g} s"
            error = VendorError(VENDOR, "stalled", detail, retryable=True)
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(_FINAL_TIMEOUT_S, self._fail, error)

    def _deliver(self, pending: _Pending) -> None:
        final = pending.speech.final(pending.text, pending.words, pending.confidence)
        if final.text or pending.flushes:
            self._emit(msgspec.structs.replace(final, flushed=pending.flushes > 0))
        for _ in range(pending.flushes - 1):
            self._emit(SttFinal("", flushed=True))

    def _submit_spare_interim(self) -> None:
        """Nobody waits for it: only if the worker has nothing else to do."""
        if self._spare_wanted and self._lanes.spare >= self._spare_wanted:
            self._submit_interim()

    def _submit_interim(self) -> None:
        if self._interims.busy or self._pending:
            return
        self._interim_at_ms = self._speech.speech_ms + self._settings.interim_ms
        try:
            self._interims.submit(
                self._args, self._speech.so_far(_INTERIM_LAST_MS), self._on_interim
            )
        except VendorError:
            return  # no worker: the final will say so

    def _on_interim(self, event: WorkerEvent) -> None:
        if isinstance(event, WorkerOutput) and (text := str(event.facts["text"])):
            self._emit(SttInterim(text, float(event.facts["confidence"])))

    def _fail(self, error: VendorError) -> None:
        self._emit(SttFailed(error))
        self.close()

    def _emit(self, event: SttEvent) -> None:
        if self._sink is not None:
            self._sink(event)
