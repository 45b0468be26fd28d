"""The agent file's own vendors in a replay: when do they owe an answer?

While one does, virtual time goes on as real time does, so that what it takes is what it costs.
Vendors that compute for each request owe from the request to its end. Vendors that keep a
connection open through the call, and watch over it by the clock, have the whole call in real
time. Scripted vendors live on the loop's own timers and owe nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, cast, runtime_checkable

from media.audio.format import AudioFormat
from voicecore.local.worker import WorkerProcess
from voicecore.providers.llm import Llm, LlmEvent, LlmRequest
from voicecore.providers.stt import Spawn, Stt
from voicecore.providers.tts import Tts, TtsDone, TtsEvent, TtsFailed, TtsReply, TtsSession

SCRIPTED = "scripted"
BY_REQUEST = frozenset({"moonshine", "piper", "llama", "openai"})
"""Vendors that owe an answer only to what they are asked; all others stay connected."""


@runtime_checkable
class _HasWorker(Protocol):
    worker: WorkerProcess


class Debts:
    """Who owes an answer at the moment."""

    def __init__(self) -> None:
        self.count = 0
        """Answers that are owed."""
        self._asked: list[Callable[[], bool]] = []

    def ask(self, owes: Callable[[], bool]) -> None:
        self._asked.append(owes)

    def any(self) -> bool:
        return self.count > 0 or any(owes() for owes in self._asked)


def watched_stt(stt: Stt, vendor: str, debts: Debts) -> Stt:
    """The vendor as it is; its worker's outstanding jobs are what it owes."""
    if vendor in BY_REQUEST and isinstance(stt, _HasWorker):
        worker = stt.worker
        debts.ask(lambda: worker.outstanding > 0)
    return stt


def watched_llm(llm: Llm, vendor: str, debts: Debts) -> Llm:
    return llm if vendor == SCRIPTED else cast(Llm, _WatchedLlm(llm, debts))


def watched_tts(tts: Tts, vendor: str, debts: Debts) -> Tts:
    return tts if vendor == SCRIPTED else cast(Tts, _WatchedTts(tts, debts))


def stays_connected(vendor: str) -> bool:
    """Whether the whole call has to go on in real time for this vendor."""
    return vendor != SCRIPTED and vendor not in BY_REQUEST


class _WatchedLlm:
    """Implements ``Llm``: a stream owes its next event while it is waited for."""

    def __init__(self, llm: Llm, debts: Debts) -> None:
        self.name = llm.name
        self._llm = llm
        self._debts = debts

    async def start(self) -> None:
        await self._llm.start()

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        events = cast(Any, self._llm.stream(request))
        try:
            while True:
                self._debts.count += 1
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                finally:
                    self._debts.count -= 1
                yield event
        finally:
            await events.aclose()

    async def stop(self) -> None:
        await self._llm.stop()


class _WatchedTts:
    """Implements ``Tts``: a reply owes audio from its first text to its end."""

    def __init__(self, tts: Tts, debts: Debts) -> None:
        self.name = tts.name
        self._tts = tts
        self._debts = debts

    async def start(self) -> None:
        await self._tts.start()

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "_WatchedSession":
        return _WatchedSession(self._tts.open(wanted, spawn=spawn), self._debts)

    async def stop(self) -> None:
        await self._tts.stop()


class _WatchedSession:
    def __init__(self, session: TtsSession, debts: Debts) -> None:
        self.audio = session.audio
        self._session = session
        self._debts = debts
        self._reply: _WatchedReply | None = None

    def reply(self, sink: Callable[[TtsEvent], None]) -> "_WatchedReply":
        if self._reply is not None:
            self._reply.settle()
        self._reply = _WatchedReply(self._session, sink, self._debts)
        return self._reply

    def close(self) -> None:
        if self._reply is not None:
            self._reply.settle()
        self._session.close()


class _WatchedReply:
    def __init__(self, session: TtsSession, sink: Callable[[TtsEvent], None], debts: Debts) -> None:
        self._sink = sink
        self._debts = debts
        self._owes = False
        self._reply: TtsReply = session.reply(self._take)

    def say(self, text: str) -> None:
        if not self._owes:
            self._owes = True
            self._debts.count += 1
        self._reply.say(text)

    def finish(self) -> None:
        self._reply.finish()

    def cancel(self) -> None:
        self.settle()
        self._reply.cancel()

    def settle(self) -> None:
        """Nothing is owed any more."""
        if self._owes:
            self._owes = False
            self._debts.count -= 1

    def _take(self, event: TtsEvent) -> None:
        if isinstance(event, TtsDone | TtsFailed):
            self.settle()
        self._sink(event)


async def in_real_time(debts: Debts, work: Any) -> None:
    """Await something while time goes on as it really does: loading, stopping."""
    debts.count += 1
    try:
        await work
    finally:
        debts.count -= 1
    await asyncio.sleep(0)
