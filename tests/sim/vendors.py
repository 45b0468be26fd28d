"""The scripted vendors, watched: what was asked of them and what they delivered is kept apart
from what the server says about it, and every word of the voice can be recognised."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from media.audio.format import AudioFormat
from tests.sim.ear import SpokenWord, pattern
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.adapters.scripted_stt import ScriptedStt
from voicecore.adapters.scripted_tts import ScriptedTts
from voicecore.providers.llm import LlmDone, LlmEvent, LlmRequest
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed


def config(settings: Mapping[str, Any]) -> VendorConfig:
    return VendorConfig("scripted", settings=settings)


def make_stt(settings: Mapping[str, Any], *, ends_turns: bool) -> ScriptedStt:
    stt = ScriptedStt(config(settings), {})
    stt.ends_turns = ends_turns
    return stt


class WatchedLlm:
    """Implements ``Llm``."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        note: Callable[[str, Any], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.inner = ScriptedLlm(config(settings), {})
        self.name = self.inner.name
        self.requests = 0
        self.done: list[LlmDone] = []
        self.waits_ms: list[int] = []
        """How long each answer took to begin."""
        self._note = note
        self._now_ms = now_ms

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        self.requests += 1
        self._note("llm_request", request)
        began_ms: int | None = self._now_ms()
        stream: Any = self.inner.stream(request)
        async with aclosing(stream) as events:
            async for event in events:
                if began_ms is not None:
                    self.waits_ms.append(self._now_ms() - began_ms)
                    began_ms = None
                if type(event) is LlmDone:
                    self.done.append(event)
                self._note("llm", event)
                yield event


class Speaking(Protocol):
    """Whose voice it is."""

    @property
    def reply(self) -> int:
        """The reply that is being given to the voice."""

    def spoke(self, reply: int, word: SpokenWord) -> None:
        """The voice makes this word's audio."""


class Piece:
    """One ``TtsReply``. ``characters`` were sent to the vendor; ``done`` was delivered."""

    def __init__(
        self, voice: "WatchedTts", audio: AudioFormat, inner: Any, owner: Speaking | None
    ) -> None:
        self.owner = owner
        self.reply = owner.reply if owner is not None else 0
        self.characters = 0
        self.done = False
        self.over = False
        self.late = False
        """Audio came after it was cancelled."""
        self.words: list[SpokenWord] = []
        self._voice = voice
        self._audio = audio
        self._inner = inner
        self._track = bytearray()
        self._place = 0

    def say(self, text: str) -> None:
        self._voice.note("tts_say", text)
        self.characters += len(text)
        if not self.over:
            self._add(text)
        self._inner.say(text)

    def finish(self) -> None:
        self._inner.finish()

    def cancel(self) -> None:
        self.over = True
        self._inner.cancel()

    def made(self, audio: bytes) -> bool:
        """Whether this is all of its audio."""
        return audio == self._track

    def _add(self, text: str) -> None:
        word_ms = self._voice.inner.settings.word_ms
        repeats = word_ms * self._audio.bytes_per_ms // 4
        for word in text.split():
            key = pattern(self._audio, self._voice.next_code())
            spoken = SpokenWord(key, word, word_ms)
            self.words.append(spoken)
            if self.owner is not None:
                self.owner.spoke(self.reply, spoken)
            self._track += key * repeats

    def mark(self, event: TtsEvent) -> TtsEvent:
        """The event with its audio exchanged for audio that can be recognised."""
        self.late |= self.over and type(event) is TtsAudio
        if type(event) is TtsAudio and self._voice.truthful:
            size = len(event.payload)
            payload = bytes(self._track[self._place : self._place + size])
            self._place += size
            return TtsAudio(payload)
        if type(event) is TtsDone:
            self.done = self.over = True
        elif type(event) is TtsFailed:
            self.over = True
        return event


class _Session:
    def __init__(self, voice: "WatchedTts", inner: Any, spawn: Any) -> None:
        self._voice = voice
        self._spawn = spawn
        self._inner = inner
        self.audio: AudioFormat = inner.audio

    def reply(self, sink: Callable[[TtsEvent], None]) -> Piece:
        voice = self._voice
        piece: Piece

        def take(event: TtsEvent) -> None:
            event = piece.mark(event)
            voice.note("tts", event)
            sink(event)

        piece = Piece(voice, self.audio, self._inner.reply(take), voice.whose(self._spawn))
        voice.pieces.append(piece)
        return piece

    def close(self) -> None:
        self._inner.close()


class WatchedTts:
    """Implements ``Tts``. ``whose`` tells from a session's ``spawn`` which call it is of."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        note: Callable[[str, Any], None],
        *,
        first_code: int,
        whose: Callable[[Any], Speaking | None] = lambda spawn: None,
    ) -> None:
        self.inner = ScriptedTts(config(settings), {})
        self.name = self.inner.name
        self.note = note
        self.whose = whose
        self.pieces: list[Piece] = []
        self.truthful = self.inner.settings.faults.garbage in ("", "empty")
        """Whether its audio, if any, is what it says."""
        self._code = first_code

    def next_code(self) -> int:
        # Multiplied, so that neighbours differ in more than their last bits.
        self._code += 1
        return self._code * 2_654_435 & 0xFFFFFF

    async def start(self) -> None:
        await self.inner.start()

    def open(self, wanted: AudioFormat, *, spawn: Any) -> _Session:
        return _Session(self, self.inner.open(wanted, spawn=spawn), spawn)

    async def stop(self) -> None:
        await self.inner.stop()
