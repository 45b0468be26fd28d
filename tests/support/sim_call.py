"""A whole call on virtual time: a simulated Twilio line on one end, a session with scripted
vendors on the other, and no socket between them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import yaml

from media.audio.convert import convert_all
from media.audio.format import L16_8K, MULAW_8K
from media.carriers.twilio import KIND as TWILIO
from media.phone.line import Line
from media.phone.side import ServerAudio, ServerClear, ServerMark, StreamIds, StreamSpec, Violation
from media.phone.twilio_side import TwilioSide
from media.transport import Connection
from tests.support.virtual_loop import VirtualClock
from voicecore.adapters.registry import VendorConfig, make_llm, make_stt, make_tts
from voicecore.adapters.scripted_tts import speech_like
from voicecore.agents.load import parse_agent
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecords
from voicecore.calls import Calls
from voicecore.prepare import prepare
from voicecore.session import Session
from voicecore.tools.requests import HttpCall, ToolResult

FRAME_MS = 20
SILENCE = MULAW_8K.silence(FRAME_MS)
SAYS_MS = 1000
"""How long the caller speaks in ``first_turn``."""
REPLY = "We are open from nine to five on every day of the week except for Sunday."

AGENT: dict[str, Any] = {
    "name": "test",
    "instructions": "Be brief.",
    "greeting": "Hello there.",
    "stt": {"vendor": "scripted", "settings": {"utterances": ["What are your hours?"]}},
    "llm": {"vendor": "scripted", "settings": {"replies": [REPLY]}},
    "tts": {"vendor": "scripted"},
    "turn_taking": {"filler_after_ms": 0},
}
MAKERS: Mapping[str, Callable[..., Any]] = {"stt": make_stt, "llm": make_llm, "tts": make_tts}


def faulty(kind: str, **settings: Any) -> Any:
    """A scripted vendor with these settings, which ``AGENT`` has too where they are not given."""
    merged = {**AGENT[kind].get("settings", {}), **settings}
    return MAKERS[kind](VendorConfig("scripted", settings=merged), {})


class SimTools:
    """In place of ``HttpToolRunner``: answers after ``delay_s``."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.calls: list[HttpCall] = []

    async def run(self, call: HttpCall) -> ToolResult:
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        return ToolResult(call.call_id, call.name, '{"open": true}')


class SimCall:
    """One caller. Implements ``media.transport.Socket`` for the server's half."""

    def __init__(self, house: "House", number: int) -> None:
        self.house = house
        self.line = Line(MULAW_8K)
        self.closes: list[tuple[int, str]] = []
        self.violations: list[Violation] = []
        self.clears_ms: list[int] = []
        self.on_the_line = True
        self.hiss = False
        self._loop = asyncio.get_running_loop()
        self._side = TwilioSide(
            StreamSpec(StreamIds(f"MZ{number:032}", f"CA{number:032}", f"AC{number:032}"))
        )
        self._started_s = self._loop.time()
        self._speech: list[bytes] = []
        self._ticks = 0
        self.connection = Connection(
            TWILIO,
            TWILIO.codec({}),
            self,
            house.clock,
            on_started=house.calls.take,
            on_refused=lambda code, detail: house.refused.append(code),
        )
        self.message(self._side.connected())
        self.message(self._side.start())
        self._tick()

    @property
    def now_ms(self) -> int:
        return round((self._loop.time() - self._started_s) * 1000)

    @property
    def now_us(self) -> int:
        return round((self._loop.time() - self._started_s) * 1_000_000)

    @property
    def over(self) -> bool:
        return bool(self.closes) or not self.on_the_line

    # From the server

    def send(self, text: bytes) -> None:
        assert not self.closes, "sent after the close"
        match self._side.receive(text):
            case ServerAudio(payload=payload):
                self.line.play(self.now_us, payload)
            case ServerMark(name=name):
                self.line.mark(self.now_us, name)
            case ServerClear():
                self.clears_ms.append(self.now_ms)
                self.line.clear(self.now_us)
            case Violation() as violation:
                self.violations.append(violation)

    def unread_bytes(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))
        self.line.hang_up(self.now_us)
        self._loop.call_soon(self.connection.socket_closed)

    # To the server

    def message(self, text: bytes) -> None:
        if not self.over:
            self.connection.message(text)

    def _tick(self) -> None:
        if self.over:
            return
        self.line.advance(self.now_us)
        for name in self.line.due(self.now_us):
            self.message(self._side.mark(name))
        frame = self._speech.pop(0) if self._speech else SILENCE
        self.message(self._side.media(base64.b64encode(frame), self._ticks * FRAME_MS))
        self._ticks += 1
        self._loop.call_at(self._started_s + self._ticks * FRAME_MS / 1000, self._tick)

    # The caller

    def speaks(self, duration_ms: int) -> None:
        self._speech += speech_frames(duration_ms)

    def presses(self, digits: str) -> None:
        for digit in digits:
            self.message(self._side.dtmf(digit, 0))

    def hangs_up(self) -> None:
        self.message(self._side.stop())

    def drops(self) -> None:
        self.on_the_line = False
        self.connection.socket_closed()

    async def wait_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)
        self.line.advance(self.now_us)

    def audible_after(self, at_ms: int) -> bool:
        """Whether anything was heard after a time."""
        self.line.advance(self.now_us)
        return any(span.end_us > at_ms * 1000 for span in self.line.audible)

    async def until_audible(self, *, after_ms: int, within_ms: int) -> int:
        """When something was heard after a time; fails if nothing is."""
        for _ in range(0, within_ms, FRAME_MS):
            await self.wait_ms(FRAME_MS)
            if self.audible_after(after_ms):
                return self.now_ms
            if self.over:
                break
        raise AssertionError(f"nothing was heard within {within_ms} ms; closed: {self.closes}")

    async def until_quiet(self, *, quiet_ms: int = 400, within_ms: int = 60_000) -> None:
        for _ in range(0, within_ms, FRAME_MS):
            await self.wait_ms(FRAME_MS)
            if self.over:
                return
            if self.line.audible and self.now_us - self.line.audible[-1].end_us > quiet_ms * 1000:
                return
        raise AssertionError("the agent never stops")

    async def until_over(self, within_ms: int = 180_000) -> None:
        for _ in range(0, within_ms, FRAME_MS):
            if self.over and not self.house.calls:
                return
            await self.wait_ms(FRAME_MS)
        raise AssertionError("the call never ends")


class House:
    """A server's inside: an agent, its calls, and what they report."""

    def __init__(self, agent: AnsweringAgent, *, limit: int = 10) -> None:
        self.agent = agent
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.tools = SimTools()
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.refused: list[str] = []
        self.sessions: list[Session] = []
        self.ended: list[str] = []
        self._records = CallRecords(
            None, clock=self.clock, observer=lambda type_, data: self.events.append((type_, data))
        )
        self.calls = Calls(
            self._answer,
            limit=limit,
            on_ended=lambda session: self.ended.append(session.ended_reason),
        )

    def _answer(self, leg: Any) -> Session:
        record = self._records.open(leg.started, record_audio=False)
        session = Session(leg, self.agent, record, self.tools)  # type: ignore[arg-type]
        self.sessions.append(session)
        return session

    def ring(self) -> SimCall:
        return SimCall(self, len(self.sessions))

    def of(self, type_: str) -> list[Mapping[str, Any]]:
        return [data for type__, data in self.events if type__ == type_]


@asynccontextmanager
async def house(*, limit: int = 10, **fields: Any) -> AsyncIterator[House]:
    """A house whose agent has started. On leaving, everything must be gone."""
    agent = prepare(parse_agent(yaml.safe_dump({**AGENT, **fields}), "agent.yaml"), {})
    await agent.start(MULAW_8K, lambda step: None)
    made = House(agent, limit=limit)
    yield made
    for _ in range(120):
        if agent.spoken.idle:
            break
        await asyncio.sleep(1)
    assert len(made.calls) == 0, "a call is left"
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # the last frame's timer
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    loop: Any = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]
    assert not timers, timers


def while_busy(busy_s: float, happens: Callable[[], object]) -> None:
    """The loop is busy for so long; ``happens`` is called in the turn after that, ahead of all
    timers that are due by then."""
    loop: Any = asyncio.get_running_loop()

    def busy() -> None:
        loop.jumping.now_s += busy_s

    loop.call_soon(busy)
    loop.call_later(0.001, happens)


async def first_turn(call: SimCall) -> int:
    """Hear the greeting, ask; returns when the caller stopped."""
    await call.until_audible(after_ms=0, within_ms=2000)
    await call.until_quiet()
    call.speaks(SAYS_MS)
    await call.wait_ms(SAYS_MS)
    return call.now_ms


def assert_ended_well(home: House, *reasons: str) -> None:
    (ended,) = home.of("call_ended")
    assert ended["reason"] in reasons, ended
    assert home.ended == [ended["reason"]]
    replies = [turn["reply"] for turn in home.of("agent_turn")]
    assert len(replies) == len(set(replies))


_SPEECH = speech_like(8000, 10_000, 5)


def speech_frames(duration_ms: int) -> list[bytes]:
    samples: np.ndarray[Any, Any] = _SPEECH[: duration_ms * 8]
    sound = convert_all(samples.astype("<i2").tobytes(), L16_8K, MULAW_8K)
    return [sound[place : place + 160] for place in range(0, len(sound) - 159, 160)]
