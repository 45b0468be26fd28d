"""Speech from ``POST /v1/audio/speech``, through the ``openai`` SDK.

OpenAI itself and every server with the same route, by ``settings.base_url``. Source:
platform.openai.com/docs/api-reference/audio/createSpeech. The route takes a whole text and
answers with a stream of samples, so a reply's sentences are requested one by one. The request
for the next sentence starts with the first audio of the one before it, but not before the one
before that is complete: two requests at most, and no pause between sentences.

The route gives no word times: words are spread over a sentence's audio once its length is known.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from media.audio.format import AudioFormat, Encoding
from voicecore.adapters.openai_client import (
    VENDOR,
    OpenAiConnection,
    OpenAiLink,
    check_extra_body,
    close_in_time,
)
from voicecore.adapters.openai_wav import WavHead
from voicecore.adapters.registry import VendorConfig
from voicecore.adapters.settings import missing_names, read_settings
from voicecore.adapters.tts_pieces import WholeSamples, is_spoken, split_text
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Spawn
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import spread_words

_MAX_INPUT_CHARACTERS = 4096
_MAX_QUEUED_CHARACTERS = 100_000
_MAX_CHUNKS_AHEAD = 16
_NOT_SAMPLES = ("application/json", "text/", "audio/mpeg", "audio/ogg", "audio/aac", "audio/flac")
_RESERVED = frozenset({"model", "voice", "input", "response_format", "stream_format"})

Speak = Callable[[str], AsyncGenerator[bytes]]


class OpenAiTtsSettings(OpenAiLink):
    """Settings of the voices. What is empty is not sent, and so the server's default."""

    response_format: Literal["pcm", "wav"] = "pcm"
    """How the audio comes: bare samples, or a WAV file of them."""
    rate_hz: Literal[8000, 16000, 24000, 48000] = 24000
    """The rate of the server's samples: 24000 at OpenAI."""
    speed: float | None = Field(None, ge=0.25, le=4)
    """How fast it speaks; 1.0 is the voice's own pace."""
    instructions: str | None = Field(None, min_length=1)
    """How to speak ("calm and friendly"), for models that take it."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Fields of the server's own, added to each request. It may not set what the adapter sets
    itself: ``model``, ``voice``, ``input``, ``response_format``, ``stream_format``."""
    first_audio_timeout_ms: int = Field(5000, ge=1, le=120_000)
    """The longest wait from a sentence's request to its first audio."""
    stall_timeout_ms: int = Field(4000, ge=1, le=120_000)
    """The longest gap in a sentence's audio."""

    @field_validator("extra_body")
    @classmethod
    def _adds_only(cls, body: dict[str, Any]) -> dict[str, Any]:
        return check_extra_body(body, _RESERVED)


class OpenAiTts:
    """A voice of an OpenAI-compatible server; see ``OpenAiTtsSettings``. Makes 16-bit samples
    at ``settings.rate_hz``, whatever is wanted."""

    def __init__(self, config: VendorConfig, secrets: Mapping[str, str]) -> None:
        self.name = f"{VENDOR}/{config.model}"
        self._model = config.model
        self._voice = config.voice
        missing = missing_names(config, "model", "voice")
        self._settings = read_settings(config, OpenAiTtsSettings, also=missing)
        self._connection = OpenAiConnection(self._settings, secrets)

    def check_key(self) -> None:
        self._connection.check_key()

    async def start(self) -> None:
        settings = self._settings
        longest_ms = max(settings.first_audio_timeout_ms, settings.stall_timeout_ms)
        await self._connection.start(self._model, longest_wait_ms=longest_ms)

    async def stop(self) -> None:
        await self._connection.stop()

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "OpenAiTtsSession":
        return OpenAiTtsSession(
            AudioFormat(Encoding.L16, self._settings.rate_hz), self._speak, spawn
        )

    async def _speak(self, text: str) -> AsyncGenerator[bytes]:
        """The samples of ``text`` in pieces as they arrive, which need not be whole samples.

        :raises VendorError:"""
        import httpx2
        import openai

        settings = self._settings
        speech = self._connection.client.audio.speech.with_streaming_response
        now = asyncio.get_running_loop().time
        by = now() + settings.first_audio_timeout_ms / 1000
        timeout_code = "first_output_timeout"
        head = WavHead(settings.rate_hz, required=settings.response_format == "wav")
        request = speech.create(**self._body(text))
        try:
            async with asyncio.timeout_at(by):
                response = await request.__aenter__()
            _check_type(response.headers.get("content-type", ""))
            # No size: the SDK would hold audio back until that many bytes are there.
            chunks = aiter(response.iter_bytes())
            while True:
                async with asyncio.timeout_at(by):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                samples = head.strip(chunk)
                if samples:
                    timeout_code = "stalled"
                    yield samples
                if timeout_code == "stalled":
                    by = now() + settings.stall_timeout_ms / 1000
        except (openai.OpenAIError, httpx2.HTTPError, TimeoutError, ValueError) as error:
            raise self._connection.failure(error, timeout_code) from error
        finally:
            await close_in_time(request.__aexit__(None, None, None))
        if timeout_code != "stalled":
            raise VendorError(VENDOR, "vendor_error", "no audio for a sentence", retryable=True)

    def _body(self, text: str) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": self._model,
            "voice": self._voice,
            "input": text,
            "response_format": settings.response_format,
        }
        if settings.base_url is None:
            body["stream_format"] = "audio"
        if settings.speed is not None:
            body["speed"] = settings.speed
        if settings.instructions is not None:
            body["instructions"] = settings.instructions
        if settings.extra_body:
            body["extra_body"] = settings.extra_body
        return body


def _check_type(content_type: str) -> None:
    """Played as samples, anything else is noise in the caller's ear."""
    if content_type.strip().lower().startswith(_NOT_SAMPLES):
        detail = f"answers with {content_type[:60]} instead of samples"
        raise VendorError(VENDOR, "garbage", detail, retryable=True)


class OpenAiTtsSession:
    """Nothing is open between replies but the vendor's shared pool of connections."""

    def __init__(self, audio: AudioFormat, speak: Speak, spawn: Spawn) -> None:
        self.audio = audio
        self._speak = speak
        self._spawn = spawn
        self._reply: OpenAiTtsReply | None = None
        self._closed = False

    def reply(self, sink: Callable[[TtsEvent], None]) -> "OpenAiTtsReply":
        if self._reply is not None:
            self._reply.cancel()
        self._reply = reply = OpenAiTtsReply(self.audio, self._speak, sink)
        if self._closed:
            reply.cancel()
        else:
            self._spawn(reply.run())
        return reply

    def close(self) -> None:
        self._closed = True
        if self._reply is not None:
            self._reply.cancel()
            self._reply = None


class _ReplyFailed(Exception):
    def __init__(self, error: VendorError) -> None:
        super().__init__(str(error))
        self.error = error


class _Sentence:
    """``begun`` and ``ended`` tell when its audio began and ended to arrive; ``chunks`` holds
    what is not yet passed on, with None after the last. A full queue holds the server back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.chunks: asyncio.Queue[bytes | VendorError | None] = asyncio.Queue(_MAX_CHUNKS_AHEAD)
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def fetch(self, speak: Speak) -> None:
        try:
            async with contextlib.aclosing(speak(self.text)) as chunks:
                async for chunk in chunks:
                    self.begun.set()
                    await self.chunks.put(chunk)
        except VendorError as error:
            await self.chunks.put(error)
            return
        self.ended.set()
        await self.chunks.put(None)


class OpenAiTtsReply:
    """One reply; ``run`` is its task. At most 100,000 characters wait: more fails it."""

    def __init__(self, audio: AudioFormat, speak: Speak, sink: Callable[[TtsEvent], None]) -> None:
        self._audio = audio
        self._speak = speak
        self._sink = sink
        self._texts: asyncio.Queue[str | VendorError | None] = asyncio.Queue()
        self._queued_characters = 0
        self._characters = 0
        self._audio_bytes = 0
        self._finished = False
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def say(self, text: str) -> None:
        if self._finished or self._over:
            return
        for part in split_text(text, _MAX_INPUT_CHARACTERS):
            self._queued_characters += len(part)
            if self._queued_characters > _MAX_QUEUED_CHARACTERS:
                self._finished = True
                self._texts.put_nowait(
                    VendorError(VENDOR, "bad_request", "too much text waits", retryable=False)
                )
                return
            self._texts.put_nowait(part)

    def finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._texts.put_nowait(None)

    def cancel(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        if self._over:
            return
        self._task = asyncio.current_task()
        try:
            await self._speak_all()
        except asyncio.CancelledError:
            if not self._over:
                raise
        finally:
            self._over = True
            self._task = None

    async def _speak_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                sentences: asyncio.Queue[_Sentence | None] = asyncio.Queue()
                group.create_task(self._request(group, sentences))
                while (sentence := await sentences.get()) is not None:
                    await self._pass_on(sentence)
            self._tell(TtsDone(self._characters))
        except* _ReplyFailed as failed:
            self._tell(TtsFailed(_first_failure(failed).error))

    async def _request(
        self, group: asyncio.TaskGroup, sentences: asyncio.Queue[_Sentence | None]
    ) -> None:
        before, latest = None, None
        while (text := await self._texts.get()) is not None:
            if isinstance(text, VendorError):
                raise _ReplyFailed(text)
            self._queued_characters -= len(text)
            sentence = _Sentence(text)
            if is_spoken(text):
                if latest is not None:
                    await latest.begun.wait()
                if before is not None:
                    await before.ended.wait()
                before, latest = latest, sentence
                self._characters += len(text)
                group.create_task(sentence.fetch(self._speak))
            else:
                sentence.chunks.put_nowait(None)
            sentences.put_nowait(sentence)
        sentences.put_nowait(None)

    async def _pass_on(self, sentence: _Sentence) -> None:
        start_ms = self._audio.duration_ms(self._audio_bytes)
        whole = WholeSamples(self._audio.sample_bytes)
        while (chunk := await sentence.chunks.get()) is not None:
            if isinstance(chunk, VendorError):
                raise _ReplyFailed(chunk)
            if samples := whole.take(chunk):
                self._audio_bytes += len(samples)
                self._tell(TtsAudio(samples))
        end_ms = self._audio.duration_ms(self._audio_bytes)
        self._tell(TtsWords(spread_words(sentence.text, start_ms, end_ms)))

    def _tell(self, event: TtsEvent) -> None:
        if not self._over:
            self._sink(event)


def _first_failure(group: BaseExceptionGroup[_ReplyFailed]) -> _ReplyFailed:
    inner = group.exceptions[0]
    return _first_failure(inner) if isinstance(inner, BaseExceptionGroup) else inner
