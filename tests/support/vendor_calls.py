"""What a call is to a vendor's adapter: an owner of tasks, and a sink for events."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from media.audio.format import AudioFormat
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import Tts, TtsAudio, TtsDone, TtsFailed, TtsSession, TtsWords
from voicecore.providers.words import Word


class News:
    """Something that changes; ``tell`` whenever it did."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        self._told.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._told.clear()
                await self._told.wait()


async def timers_run(after_ms: int) -> None:
    """Wait until every timer that was set before this, and is due within ``after_ms``, has
    run: the loop runs its timers in the order of their times."""
    last = asyncio.Event()
    asyncio.get_running_loop().call_later(after_ms / 1000 + 0.001, last.set)
    await last.wait()


class Recorder:
    """A sink that keeps what it gets and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.hook: Callable[[Any], None] | None = None
        self._news = News()

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        self._news.tell()
        if self.hook is not None:
            self.hook(event)

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        await self._news.until(condition, timeout_s)

    async def count(self, number: int) -> None:
        await self.until(lambda: len(self.events) >= number)

    async def first(self, *kinds: type) -> Any:
        """Wait for an event of one of the kinds; the first of them."""
        await self.until(lambda: bool(self.of(*kinds)))
        return self.of(*kinds)[0]


class SpeechRecorder(Recorder):
    """The sink of a reply."""

    @property
    def audio(self) -> bytes:
        return b"".join(event.payload for event in self.of(TtsAudio))

    @property
    def words(self) -> list[Word]:
        return [word for event in self.of(TtsWords) for word in event.words]

    async def ended(self) -> TtsDone | TtsFailed:
        return await self.first(TtsDone, TtsFailed)

    async def failed(self) -> VendorError:
        event = await self.ended()
        assert isinstance(event, TtsFailed), event
        return event.error


def say_all(session: TtsSession, *texts: str) -> SpeechRecorder:
    """Begin and finish a reply; its sink."""
    sink = SpeechRecorder()
    reply = session.reply(sink)
    for text in texts:
        reply.say(text)
    reply.finish()
    return sink


class Call:
    """Owns tasks as a call does: they end with it, and a failure among them is the test's."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def __aenter__(self) -> "Call":
        return self

    async def settled(self, timeout_s: float = 3.0) -> None:
        """Wait until every task has ended by itself; a task's failure is raised."""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*self.tasks)

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        bugs = [r for r in results if isinstance(r, Exception)]
        assert not bugs, bugs


class SpeechCall(Call):
    """A call with its session at a vendor of speech."""

    def __init__(self, tts: Tts, wanted: AudioFormat) -> None:
        super().__init__()
        self.session: Any = tts.open(wanted, spawn=self.spawn)
