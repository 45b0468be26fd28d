"""Vendors that say what the recorded call's vendors said, at the times they said it. They do no
I/O: on virtual time, only timers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from heapq import heappop, heappush

from msgspec import structs

from media.audio.format import AudioFormat
from media.clock import Clock
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, LlmEvent, LlmRequest, LlmText, LlmToolCall
from voicecore.providers.stt import Spawn, Stt, SttEvent, SttFailed, SttFinal
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsWords
from voicecore.providers.words import Word
from voicecore.replay.answers import NOTHING_CAME, Answers, Chosen, Round
from voicecore.replay.facts import Facts
from voicecore.replay.spans import Stretch
from voicecore.replay.speech import Sentence, Voicing
from voicecore.replay.transcripts import Transcripts
from voicecore.replay.watch import DraftEvent, Watch

NAME = "recorded"
AFTER_LAST_PIECE_MS = 20


class CallClock:
    """Milliseconds since the replayed call's stream began; set when it does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.start_ms = 0

    def now_ms(self) -> int:
        return self.clock.now_ms() - self.start_ms


class RecordedStt:
    """Implements ``Stt``. ``position_ms`` tells where in the call the frame lies that is being
    handed in."""

    name = NAME

    def __init__(
        self,
        facts: Facts,
        watch: Watch,
        time: CallClock,
        position_ms: Callable[[], int],
        *,
        like: Stt,
    ) -> None:
        self.ends_turns, self.marks_ends = like.ends_turns, like.marks_ends
        self.watch = watch
        self.time = time
        self.position_ms = position_ms
        self.transcripts = Transcripts(facts)
        self.said = 0
        """How much of what came by itself was said."""

    def accepts(self, offered: AudioFormat) -> AudioFormat:
        return offered

    async def start(self) -> None:
        """Nothing to load."""

    def open(
        self, audio: AudioFormat, *, sink: Callable[[SttEvent], None], spawn: Spawn
    ) -> "RecordedSttStream":
        return RecordedSttStream(self, sink)

    async def stop(self) -> None:
        """Nothing to release."""


class RecordedSttStream:
    """Implements ``SttStream``: one timer, which is set to the next event's time."""

    def __init__(self, vendor: RecordedStt, sink: Callable[[SttEvent], None]) -> None:
        self._vendor = vendor
        self._sink: Callable[[SttEvent], None] | None = sink
        self._from_ms: int | None = None
        self._answers: list[tuple[int, int, SttFinal]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def push(self, frame: bytes) -> None:
        if self._from_ms is None and self._sink is not None:
            self._from_ms = self._vendor.position_ms()
            self._arm()

    def speech_started(self) -> None:
        """The call's own beginnings are in what was recorded."""

    def want_interim(self) -> None:
        """What was said for being wanted is said again, then."""

    def finalize(self) -> None:
        vendor = self._vendor
        if self._sink is None:
            return
        answer = vendor.transcripts.finalize(vendor.time.now_ms(), vendor.watch.stopped_ms)
        if answer is not None:
            at_ms, final = answer
            # Answers keep the order in which they were asked for.
            at_ms = max(at_ms, *(due for due, _, _ in self._answers), 0)
            self._count += 1
            heappush(self._answers, (at_ms, self._count, final))
            self._arm()

    def turn_over(self) -> None:
        self._vendor.transcripts.turn_over()

    def close(self) -> None:
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._due_ms()
        if due_ms is not None and self._sink is not None:
            time = self._vendor.time
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at((time.start_ms + due_ms) / 1000, self._deliver)

    def _due_ms(self) -> int | None:
        due = [self._answers[0][0]] if self._answers else []
        spontaneous = self._vendor.transcripts.spontaneous
        if self._vendor.said < len(spontaneous):
            due.append(spontaneous[self._vendor.said].at_ms)
        return min(due, default=None)

    def _deliver(self) -> None:
        self._timer = None
        now_ms = self._vendor.time.now_ms()
        while self._sink is not None and (due_ms := self._due_ms()) is not None:
            if due_ms > now_ms:
                break
            if self._answers and self._answers[0][0] == due_ms:
                self._emit(heappop(self._answers)[2])
            else:
                self._say_next(now_ms)
        self._arm()

    def _say_next(self, now_ms: int) -> None:
        vendor = self._vendor
        item = vendor.transcripts.spontaneous[vendor.said]
        vendor.said += 1
        event = vendor.transcripts.current(now_ms, item)
        if event is not None:
            self._emit(event)
        if isinstance(event, SttFailed):
            self.close()

    def _emit(self, event: SttEvent) -> None:
        if self._sink is None:
            return
        by_ms = self._from_ms or 0
        if isinstance(event, SttFinal) and by_ms:
            words = tuple(Word(w.text, w.start_ms - by_ms, w.end_ms - by_ms) for w in event.words)
            event = structs.replace(event, words=words)
        self._sink(event)


class RecordedLlm:
    """Implements ``Llm``."""

    name = NAME

    def __init__(self, facts: Facts, watch: Watch, time: CallClock) -> None:
        self._answers = Answers(facts)
        self._watch = watch
        self._time = time
        self._draft: int | None = None
        """The draft that the model was asked for last."""
        watch.on_draft.append(self._drafted)

    async def start(self) -> None:
        """Nothing to load."""

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        if not self._watch.begun:
            return self._nothing()
        chosen = self._choose()
        if chosen.assumed:
            text = " ".join(piece for _, piece in chosen.round.pieces)
            self._watch.assume(self._time.now_ms(), "answer", text)
        return self._give(chosen.round)

    async def stop(self) -> None:
        """Nothing to release."""

    def _drafted(self, what: DraftEvent, reply: int) -> None:
        if what == "started" or reply != self._draft:
            return
        self._draft = None
        if what == "used":
            self._watch.answering = True
        else:
            self._answers.dropped()

    def _choose(self) -> Chosen:
        watch = self._watch
        if watch.draft is not None:
            draft, now_ms = watch.draft, self._time.now_ms()
            self._draft = draft.reply
            return self._answers.begin_draft(draft.text, draft.start_ms, draft.end_ms, now_ms)
        if watch.answering:
            return self._answers.next_round()
        watch.answering = True
        return self._answers.begin(*watch.turn)

    async def _nothing(self) -> AsyncIterator[LlmEvent]:
        yield LlmDone()

    async def _give(self, given: Round) -> AsyncIterator[LlmEvent]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        async def until(after_ms: int) -> None:
            await asyncio.sleep(max(began_s + after_ms / 1000 - loop.time(), 0))

        if given.first_token_ms is not None:
            await until(given.first_token_ms)
            # The first word came before the first sentence was whole.
            yield LlmText(" ")
        for after_ms, text in given.pieces:
            await until(after_ms)
            yield LlmText(f"{text}\n")  # a line's end ends a sentence, whatever it ends with
        if given.failure is not None:
            await self._fail(given, until)
        if given.done_ms is None:
            last_ms = given.pieces[-1][0] if given.pieces else 0
            await until(max(given.cut_ms, last_ms) + AFTER_LAST_PIECE_MS)
        else:
            await until(given.done_ms)
        for call in given.calls:
            yield LlmToolCall(call)
        usage = given.usage
        yield LlmDone(usage.input_tokens, usage.cached_tokens, usage.output_tokens)

    async def _fail(self, given: Round, until: Callable[[int], Awaitable[None]]) -> None:
        failure = given.failure
        assert failure is not None
        if failure.detail == NOTHING_CAME:
            await asyncio.Event().wait()
        await until(failure.after_ms)
        raise VendorError(failure.vendor, failure.code, failure.detail, retryable=failure.retryable)


class RecordedTts:
    """Implements ``Tts``. ``heard(stretch)`` reads the recording."""

    name = NAME

    def __init__(
        self,
        voicing: Voicing,
        watch: Watch,
        time: CallClock,
        heard: Callable[[Stretch], bytes],
    ) -> None:
        self.voicing = voicing
        self.watch = watch
        self.time = time
        self.heard = heard

    async def start(self) -> None:
        """Nothing to load."""

    def open(self, wanted: AudioFormat, *, spawn: Spawn) -> "RecordedTtsSession":
        return RecordedTtsSession(self, wanted)

    async def stop(self) -> None:
        """Nothing to release."""


class RecordedTtsSession:
    """Implements ``TtsSession``."""

    def __init__(self, vendor: RecordedTts, audio: AudioFormat) -> None:
        self.audio = audio
        self._vendor = vendor
        self._reply: RecordedTtsReply | None = None

    def reply(self, sink: Callable[[TtsEvent], None]) -> "RecordedTtsReply":
        self._reply = RecordedTtsReply(self._vendor, self.audio, sink)
        return self._reply

    def close(self) -> None:
        if self._reply is not None:
            self._reply.cancel()
            self._reply = None


class RecordedTtsReply:
    """Implements ``TtsReply``: a sentence's audio comes whole, when its first audio came."""

    def __init__(
        self, vendor: RecordedTts, audio: AudioFormat, sink: Callable[[TtsEvent], None]
    ) -> None:
        self._vendor = vendor
        self._audio = audio
        self._sink: Callable[[TtsEvent], None] | None = sink
        self._timers: list[asyncio.TimerHandle] = []
        self._last_s = 0.0
        self._made_ms = 0
        self._characters = 0

    def say(self, text: str) -> None:
        if self._sink is None:
            return
        self._characters += len(text)
        sentence = self._vendor.voicing.say(text)
        if sentence.assumed and self._vendor.watch.begun:
            self._vendor.watch.assume(self._vendor.time.now_ms(), "voice", text)
        self._later(sentence.first_audio_ms, self._deliver, sentence)

    def finish(self) -> None:
        if self._sink is not None:
            self._later(0, self._done)

    def cancel(self) -> None:
        self._sink = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _later(self, delay_ms: int, callback: Callable[..., None], *args: object) -> None:
        """Call back after a delay, and after all that was asked for before."""
        loop = asyncio.get_running_loop()
        # Timers of one moment may fire in any order; a hundredth of a millisecond parts them.
        self._last_s = max(loop.time() + delay_ms / 1000, self._last_s + 0.00001)
        self._timers.append(loop.call_at(self._last_s, callback, *args))

    def _deliver(self, sentence: Sentence) -> None:
        if self._sink is None:
            return
        from_ms, self._made_ms = self._made_ms, self._made_ms + sentence.duration_ms
        words = tuple(
            Word(word.text, word.start_ms + from_ms, word.end_ms + from_ms)
            for word in sentence.words
        )
        self._sink(TtsWords(words))
        audio = sentence.audio(self._audio, self._vendor.heard)
        if audio and self._sink is not None:
            self._sink(TtsAudio(audio))

    def _done(self) -> None:
        if self._sink is not None:
            self._sink(TtsDone(self._characters))
            self._sink = None
