"""What an agent need not have spoken again: its fixed phrases, and sentences that it says often."""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec
import structlog

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from voicecore.call_tasks import CallTasks
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import (
    Tts,
    TtsAudio,
    TtsDone,
    TtsEvent,
    TtsFailed,
    TtsSession,
    TtsWords,
)
from voicecore.providers.words import Word
from voicecore.speech_cache import Frequencies, Speech, SpeechCache
from voicecore.turns.heard import CHARACTER_MS

USUAL_LINES = (MULAW_8K, ALAW_8K, L16_16K)
"""Formats that carriers stream: phrases are converted to them before the first call."""

PHRASE_TIMEOUT_S = 30.0
PHRASE_LIMIT_MS = 600_000
"""No phrase is longer: a vendor that delivers more has gone mad."""

FREQUENT = 3
"""A sentence that a voice was asked for so often is spoken in the background."""
FREQUENT_TIMEOUT_S = 20.0
PAUSE_S = 2.0
"""Before each sentence in the background: what is live goes first."""
AFTER_FAILURE_S = 300.0
"""How long nothing is spoken in the background after a failure."""
WANTED_LIMIT = 64
LEAVE_TIMEOUT_S = 2.0

log = structlog.get_logger("voicecore.spoken")


class FixedPhrases(msgspec.Struct, frozen=True):
    """Sentences that an agent is known to say. ``required``: without them it does not answer.
    ``optional``: they are spoken in the background once it does."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


class SpokenSentences:
    """One agent's. The cache may be shared with other agents; what is required is held here
    besides, so that nothing displaces it."""

    def __init__(self, voice: str, cache: SpeechCache, fixed: FixedPhrases) -> None:
        self._voice = voice
        self._cache = cache
        self._fixed = fixed
        self._required: dict[str, Speech] = {}
        self._lines: dict[tuple[str, AudioFormat], Speech] = {}
        self._frequencies = Frequencies()
        self._wanted: deque[tuple[str, AudioFormat]] = deque()
        self._tasks: CallTasks | None = None
        self._ready = False
        self._not_before_s = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is being spoken in the background."""
        return self._tasks is None

    async def speak_required(self, tts: Tts, line: AudioFormat) -> None:
        """Speak what must be there before the first call, as far as it is not in the cache.

        :raises VendorError: the voice cannot."""
        missing = []
        for text in self._fixed.required:
            speech = self._cache.original(self._voice, text)
            if speech is None:
                missing.append(text)
            else:
                self._required[text] = speech
        if missing:
            await self._speak_all(tts, line, missing)
        for text in self._fixed.required:
            for usual in USUAL_LINES:
                self.phrase(text, usual)

    def begin_background(self, tts: Tts, line: AudioFormat) -> None:
        """Calls are answered now: speak what is optional, and what turns out to be frequent."""
        self._ready = True
        for text in self._fixed.optional:
            self._want(tts, text, line)

    async def stop(self) -> None:
        """End what is spoken in the background. Idempotent."""
        self._ready = False
        self._wanted.clear()
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            tasks.cancel()
            await tasks.gone(LEAVE_TIMEOUT_S)

    def phrase(self, text: str, line: AudioFormat) -> Speech | None:
        """A whole reply in the line's format, if it was spoken before."""
        found = self._lines.get((text, line))
        if found is not None:
            return found
        found = self._cache.find(self._voice, text, line)
        required = self._required.get(text)
        if required is None:
            return found
        found = required.to_line(line) if found is None else found
        self._lines[text, line] = found
        return found

    def sentence(
        self, tts: Tts, text: str, line: AudioFormat, *, at_least_hz: int
    ) -> Speech | None:
        """A sentence in the line's format, if it was spoken before at such a rate or a higher
        one. Otherwise the vendor is about to speak it, and it is counted."""
        found = self._cache.find(self._voice, text, line, at_least_hz=at_least_hz)
        if found is None and 0 < len(text) <= self._cache.longest_chars:
            uses = self._frequencies.give(text)
            if uses >= FREQUENT and self._has_room(text, line, uses):
                self._want(tts, text, line)
        return found

    # In the background

    def _has_room(self, text: str, line: AudioFormat, uses: int) -> bool:
        return self._cache.is_worth(len(text) * CHARACTER_MS * line.bytes_per_ms, uses)

    def _want(self, tts: Tts, text: str, line: AudioFormat) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._ready or now_s < self._not_before_s or len(self._wanted) >= WANTED_LIMIT:
            return
        if (text, line) not in self._wanted:
            self._wanted.append((text, line))
        if self._tasks is None:
            self._tasks = CallTasks(self._broke)
            self._tasks.spawn(self._speak_wanted(tts))

    async def _speak_wanted(self, tts: Tts) -> None:
        """One at a time, until nothing is wanted any more."""
        try:
            while self._wanted:
                await asyncio.sleep(PAUSE_S)
                text, line = self._wanted[0]
                await self._speak_one(tts, text, line)
                self._frequencies.forget(text)
                if self._wanted:
                    self._wanted.popleft()
        finally:
            self._tasks = None

    async def _speak_one(self, tts: Tts, text: str, line: AudioFormat) -> None:
        there = self._cache.original(self._voice, text)
        if there is not None and there.format.rate_hz >= line.rate_hz:
            return
        try:
            speech = await _speak_alone(tts, text, line, self._cache.longest_ms)
        except VendorError as error:
            self._give_up(error.code)
            return
        if self._cache.put(self._voice, text, speech):
            self._cache.find(self._voice, text, line)  # converts it while no call waits for it
        else:
            self._give_up("garbage")

    def _give_up(self, code: str) -> None:
        self._wanted.clear()
        self._not_before_s = asyncio.get_running_loop().time() + AFTER_FAILURE_S
        log.warning("sentence not cached", code=code, again_in_s=AFTER_FAILURE_S)

    def _broke(self, error: BaseException) -> None:
        self._wanted.clear()
        self._ready = False
        log.error("sentences are not cached any more", exc_info=error)

    async def _speak_all(self, tts: Tts, line: AudioFormat, texts: Iterable[str]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                session = tts.open(line, spawn=tasks.create_task)
                for text in texts:
                    speech = await _speak(tts.name, session, text, PHRASE_TIMEOUT_S)
                    self._required[text] = speech
                    self._cache.put(self._voice, text, speech)
                session.close()
        except BaseExceptionGroup as group:
            failures, others = group.split(VendorError)
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None


async def _speak_alone(tts: Tts, text: str, line: AudioFormat, limit_ms: int) -> Speech:
    """Speak one text with a session of its own.

    :raises VendorError: no whole speech came of it in time."""
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not broken.done():
            known = isinstance(error, VendorError)
            detail = VendorError(tts.name, "garbage", repr(error), retryable=False)
            broken.set_exception(error if known else detail)

    tasks = CallTasks(fail)
    session = tts.open(line, spawn=tasks.spawn)
    try:
        return await _speak(
            tts.name, session, text, FREQUENT_TIMEOUT_S, limit_ms=limit_ms, done=broken
        )
    finally:
        session.close()
        tasks.cancel()
        await tasks.gone(LEAVE_TIMEOUT_S)


async def _speak(
    vendor: str,
    session: TtsSession,
    text: str,
    timeout_s: float,
    *,
    limit_ms: int = PHRASE_LIMIT_MS,
    done: asyncio.Future[None] | None = None,
) -> Speech:
    """``done``: may be failed from outside.

    :raises VendorError: no whole speech came of it in time."""
    collected = _Collected(vendor, text, session.audio, limit_ms, done)
    reply = session.reply(collected.take)
    reply.say(text)
    reply.finish()
    try:
        async with asyncio.timeout(timeout_s):
            await collected.done
    except TimeoutError:
        raise VendorError(
            vendor, "first_output_timeout", f"no speech for {text!r}", retryable=True
        ) from None
    finally:
        reply.cancel()
    return collected.speech()


class _Collected:
    """The sink of a reply, which keeps what comes."""

    def __init__(
        self,
        vendor: str,
        text: str,
        audio: AudioFormat,
        limit_ms: int,
        done: asyncio.Future[None] | None,
    ) -> None:
        self.done = done if done is not None else asyncio.get_running_loop().create_future()
        self._vendor = vendor
        self._text = text
        self._format = audio
        self._limit_bytes = limit_ms * audio.bytes_per_ms
        self._audio = bytearray()
        self._words: list[Word] = []

    def take(self, event: TtsEvent) -> None:
        if self.done.done():
            return
        if isinstance(event, TtsAudio):
            self._audio.extend(event.payload)
            if len(self._audio) > self._limit_bytes:
                self.done.set_exception(self._error("too much speech"))
        elif isinstance(event, TtsWords):
            self._words.extend(event.words)
        elif isinstance(event, TtsDone):
            self.done.set_result(None)
        elif isinstance(event, TtsFailed):
            self.done.set_exception(event.error)

    def speech(self) -> Speech:
        """:raises VendorError: there is none."""
        whole = len(self._audio) - len(self._audio) % self._format.sample_bytes
        if not whole:
            raise self._error("empty speech")
        return Speech(self._format, bytes(self._audio[:whole]), tuple(self._words))

    def _error(self, what: str) -> VendorError:
        return VendorError(self._vendor, "garbage", f"{what} for {self._text!r}", retryable=False)
