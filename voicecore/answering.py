"""An agent made ready to answer: its vendors loaded, its fixed phrases spoken beforehand."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from media.audio.convert import convert_all
from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import Llm, LlmRequest, Message, Warmable
from voicecore.providers.stt import Stt
from voicecore.providers.tts import (
    Tts,
    TtsAudio,
    TtsDone,
    TtsEvent,
    TtsFailed,
    TtsSession,
    TtsWords,
)
from voicecore.providers.turn_end import EndOfTurnModel
from voicecore.providers.words import Word
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns.settings import TurnSettings

USUAL_LINES = (MULAW_8K, ALAW_8K, L16_16K)
"""Formats that carriers stream: phrases are converted to them before the first call."""

PHRASE_TIMEOUT_S = 30.0
WARM_TIMEOUT_S = 60.0


class SpokenPhrase(msgspec.Struct, frozen=True):
    """A phrase in a line's own format, with its words' times."""

    audio: bytes
    words: tuple[Word, ...]


class VadSettings(msgspec.Struct, frozen=True):
    vendor: str = "webrtcvad"
    mode: int = 2
    start_ms: int = 60
    sustain_ms: tuple[int, ...] = (160, 300, 600)
    stop_ms: int = 200


class Conduct(msgspec.Struct, frozen=True):
    """An agent's settings as the engine uses them, frozen when a call is answered."""

    name: str
    instructions: str
    turns: TurnSettings
    vad: VadSettings = VadSettings()
    lead_ms: int = 200
    chunk_ms: int = 60
    record: bool = True


class AnsweringAgent:
    """One agent and its vendors, shared by all of its calls."""

    def __init__(
        self,
        conduct: Conduct,
        *,
        stt: Stt,
        llm: Llm,
        tts: Tts,
        tools: ToolSet,
        new_guard: Callable[[], ToolGuard],
        turn_end: EndOfTurnModel | None = None,
    ) -> None:
        self.conduct = conduct
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.tools = tools
        self.new_guard = new_guard
        self.turn_end = turn_end
        self._phrases: dict[tuple[str, AudioFormat], SpokenPhrase] = {}
        self._originals: dict[str, tuple[AudioFormat, SpokenPhrase]] = {}

    async def start(self, line: AudioFormat, progress: Callable[[str], None]) -> None:
        """Load everything, then speak the fixed phrases once, so that the first words of a
        call cost nothing and a broken voice is known before anybody calls.

        :raises VendorError: a vendor cannot work."""
        for kind, vendor in (("stt", self.stt), ("llm", self.llm), ("tts", self.tts)):
            progress(f"loading {kind} {vendor.name}")
            await vendor.start()
        if self.turn_end is not None:
            progress(f"loading {self.turn_end.name}")
            await self.turn_end.start()
        progress("speaking the fixed phrases")
        try:
            async with asyncio.TaskGroup() as tasks:
                session = self.tts.open(line, spawn=tasks.create_task)
                for text in self._fixed_phrases():
                    self._originals[text] = await _speak(self.tts.name, session, text)
                session.close()
            for text in self._originals:
                for usual in USUAL_LINES:
                    self.phrase(text, usual)
        except BaseExceptionGroup as group:
            failures, others = group.split(VendorError)
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None
        progress("warming up the language model")
        await self._warm_llm()

    async def stop(self) -> None:
        for vendor in (self.tts, self.llm, self.stt):
            await vendor.stop()
        if self.turn_end is not None:
            await self.turn_end.stop()

    def phrase(self, text: str, line: AudioFormat) -> SpokenPhrase | None:
        """A fixed phrase in the line's format, if it was spoken at the start."""
        found = self._phrases.get((text, line))
        if found is None and text in self._originals:
            audio, spoken = self._originals[text]
            found = SpokenPhrase(convert_all(spoken.audio, audio, line), spoken.words)
            self._phrases[text, line] = found
        return found

    def _fixed_phrases(self) -> Iterable[str]:
        turns = self.conduct.turns
        phrases = turns.phrases
        texts = (
            phrases.fallback,
            turns.greeting,
            phrases.apology,
            *phrases.still_there,
            phrases.goodbye,
            phrases.wrap_up,
        )
        return dict.fromkeys(text for text in texts if text)

    async def _warm_llm(self) -> None:
        """One short request with the real instructions: it fills a local server's prompt
        cache and opens a remote one's connection. Its failure says that calls would fail."""
        request = LlmRequest(
            (Message("system", self.conduct.instructions), Message("user", "Hello.")),
            self.tools.specs,
        )
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                if isinstance(self.llm, Warmable):
                    await self.llm.warm(request)
                async for _ in self.llm.stream(request):
                    pass
        except TimeoutError:
            raise VendorError(
                self.llm.name, "first_output_timeout", "no answer to the first request",
                retryable=True,
            ) from None  # fmt: skip


async def _speak(vendor: str, session: TtsSession, text: str) -> tuple[AudioFormat, SpokenPhrase]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    audio = bytearray()
    words: list[Word] = []

    def take(event: TtsEvent) -> None:
        if isinstance(event, TtsAudio):
            audio.extend(event.payload)
        elif isinstance(event, TtsWords):
            words.extend(event.words)
        elif done.done():
            return
        elif isinstance(event, TtsDone):
            done.set_result(None)
        elif isinstance(event, TtsFailed):
            done.set_exception(event.error)

    reply = session.reply(take)
    reply.say(text)
    reply.finish()
    try:
        async with asyncio.timeout(PHRASE_TIMEOUT_S):
            await done
    except TimeoutError:
        raise VendorError(
            vendor, "first_output_timeout", f"no speech for {text!r}", retryable=True
        ) from None
    finally:
        reply.cancel()
    if not audio:
        raise VendorError(vendor, "garbage", f"empty speech for {text!r}", retryable=False)
    return session.audio, SpokenPhrase(bytes(audio), tuple(words))
