"""An agent made ready to answer: its vendors loaded, its fixed phrases spoken beforehand."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from media.audio.format import AudioFormat
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import Llm, LlmRequest, Message, Warmable
from voicecore.providers.stt import Stt
from voicecore.providers.tts import Tts
from voicecore.providers.turn_end import EndOfTurnModel
from voicecore.speech_cache import Speech
from voicecore.spoken import SpokenSentences
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns.settings import TurnSettings

WARM_TIMEOUT_S = 60.0


class VadSettings(msgspec.Struct, frozen=True):
    vendor: str = "webrtcvad"
    mode: int = 2
    start_ms: int = 60
    sustain_ms: tuple[int, ...] = (200, 300, 600)
    stop_ms: int = 160


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
        spoken: SpokenSentences,
        turn_end: EndOfTurnModel | None = None,
        tool_secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``tool_secrets``: those that its tools' headers refer to."""
        self.conduct = conduct
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.tools = tools
        self.new_guard = new_guard
        self.spoken = spoken
        self.turn_end = turn_end
        self.tool_secrets = tool_secrets

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
        await self.spoken.speak_required(self.tts, line)
        progress("warming up the language model")
        await self._warm_llm()
        self.spoken.begin_background(self.tts, line)

    async def stop(self) -> None:
        await self.spoken.stop()
        for vendor in (self.tts, self.llm, self.stt):
            await vendor.stop()
        if self.turn_end is not None:
            await self.turn_end.stop()

    def phrase(self, text: str, line: AudioFormat) -> Speech | None:
        """A whole reply in the line's format, if it was spoken before."""
        return self.spoken.phrase(text, line)

    def sentence(self, text: str, line: AudioFormat, at_least_hz: int) -> Speech | None:
        """A sentence in the line's format, if it was spoken before at such a rate or a higher
        one."""
        return self.spoken.sentence(self.tts, text, line, at_least_hz=at_least_hz)

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
