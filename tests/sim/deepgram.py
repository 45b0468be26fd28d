"""A Deepgram without a network: what its sockets answer, and what may go wrong with them.

The adapters are the real ones, with the real driver of live sockets; only the WebSocket library
is left out. Sound is words that can be recognised, as everywhere in the simulation.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from media.audio.format import AudioFormat, Encoding
from tests.sim.ear import PATTERN_BYTES, SpokenWord, pattern
from tests.support.deepgram_wire import results_message
from voicecore.adapters import live_socket

CHARACTER_MS = 40
FRAME_MS = 20
INTERIM_MS = 300
ENDPOINT_MS = 300
_ENCODINGS = {"mulaw": Encoding.MULAW, "alaw": Encoding.ALAW, "linear16": Encoding.L16}


class LivePlan(msgspec.Struct, frozen=True):
    """How the vendor's sockets are. A fault happens to the first ``faulty`` of them.

    ``connect``: ``ok``, ``refused`` or ``hangs``. ``drop_after_ms``: a socket breaks that long
    after it opened. ``deaf_after_ms``: from then on it answers nothing. ``late_ms``: audio that
    still comes after a Clear."""

    connect_ms: int = 60
    latency_ms: int = 40
    chunk_ms: int = 60
    faulty: int = 0
    connect: str = "ok"
    drop_after_ms: int | None = None
    deaf_after_ms: int | None = None
    garbage: bool = False
    late_ms: int = 0


def draw_live(draw: random.Random) -> LivePlan:
    faulty = draw.choice((0, 0, 1, 2, 100))
    fault = draw.choice(("connect", "drop", "deaf", "garbage"))
    return LivePlan(
        connect_ms=draw.choice((0, 60, 400)),
        latency_ms=draw.choice((0, 40, 200)),
        chunk_ms=draw.choice((20, 60, 200)),
        faulty=faulty,
        connect=draw.choice(("refused", "hangs")) if fault == "connect" else "ok",
        drop_after_ms=draw.randrange(20_000) if fault == "drop" else None,
        deaf_after_ms=draw.randrange(20_000) if fault == "deaf" else None,
        garbage=fault == "garbage",
        late_ms=draw.choice((0, 0, 100)),
    )


class Vendor:
    """Every socket of one world. ``made`` gets each word of its voice."""

    def __init__(
        self,
        plan: LivePlan,
        texts: tuple[str, ...],
        note: Callable[[str, Any], None],
        made: Callable[[SpokenWord], None],
    ) -> None:
        self.plan = plan
        self.texts = texts
        self.note = note
        self.made = made
        self.characters = 0
        self.sockets: list[_Socket] = []
        self.late = False
        """Audio came after a Clear."""
        self.spoilt = False
        """Nonsense came."""
        self._code = 1_000_000

    def pattern(self, audio: AudioFormat) -> bytes:
        self._code += 1
        return pattern(audio, self._code * 2_654_435 & 0xFFFFFF)

    async def connect(self, url: str) -> "_Socket":
        plan, number = self.plan, len(self.sockets)
        faulty = number < plan.faulty
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        audio = AudioFormat(_ENCODINGS[query["encoding"]], int(query["sample_rate"]))
        kind = _Ears if "/listen" in url else _Voice
        socket = kind(self, audio, faulty=faulty)
        self.sockets.append(socket)
        self.note("connect", url)
        await asyncio.sleep(plan.connect_ms / 1000)
        if faulty and plan.connect == "refused":
            raise ConnectionRefusedError("nobody there")
        if faulty and plan.connect == "hangs":
            await asyncio.get_running_loop().create_future()
        socket.open()
        return socket


class _Transport:
    def __init__(self, socket: "_Socket") -> None:
        self._socket = socket

    def abort(self) -> None:
        self._socket.shut()


class _Socket:
    """The client's half of one WebSocket, with the vendor at its other end."""

    def __init__(self, vendor: Vendor, audio: AudioFormat, *, faulty: bool) -> None:
        self.vendor = vendor
        self.audio = audio
        self.transport = _Transport(self)
        self.is_open = False
        self._plan = vendor.plan
        self._faulty = faulty
        self._loop = asyncio.get_running_loop()
        self._messages: deque[str | bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._timers: list[Any] = []
        self._deaf = False
        self._due = 0.0

    def open(self) -> None:
        self.is_open = True
        if not self._faulty:
            return
        if self._plan.drop_after_ms is not None:
            self.later(self._plan.drop_after_ms, self.shut)
        if self._plan.deaf_after_ms is not None:
            self.later(self._plan.deaf_after_ms, self._go_deaf)
        if self._plan.garbage:
            self.vendor.spoilt = True
            for message in ("{", '{"type": 7}', '{"type":"Unheard"}', self.audio.silence(20)):
                self.answer(message)

    def _go_deaf(self) -> None:
        self._deaf = True

    def later(self, delay_ms: float, do: Callable[..., None], *args: Any) -> Any:
        timer = self._loop.call_later(delay_ms / 1000, do, *args)
        self._timers.append(timer)
        return timer

    def shut(self) -> None:
        self.is_open = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._wake()

    def answer(self, message: str | bytes, *, after_ms: float = 0) -> None:
        """Send to the client, behind everything that is under way."""
        due = self._loop.time() + (self._plan.latency_ms + after_ms) / 1000
        self._due = max(self._due + 1e-6, due)
        self._timers.append(self._loop.call_at(self._due, self._arrive, message))

    def _arrive(self, message: str | bytes) -> None:
        if self.is_open and not self._deaf:
            self.vendor.note("vendor", message if isinstance(message, str) else len(message))
            self._messages.append(message)
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # As the client uses it

    async def recv(self) -> str | bytes:
        while not self._messages:
            if not self.is_open:
                raise _broken()
            self._waiting = self._loop.create_future()
            await self._waiting
        return self._messages.popleft()

    async def send(self, data: str | bytes) -> None:
        if not self.is_open:
            raise _broken()
        if isinstance(data, bytes):
            self.heard(data)
        else:
            self.vendor.note("sent", data)
            self.told(msgspec.json.decode(data))

    async def close(self) -> None:
        self.shut()

    def heard(self, audio: bytes) -> None:
        """Audio came."""

    def told(self, message: dict[str, Any]) -> None:
        """A text message came."""


def _broken() -> ConnectionClosed:
    return ConnectionClosedError(None, None)


class _Ears(_Socket):
    """Nova: understands the plan's texts, one for each stretch of sound."""

    def __init__(self, vendor: Vendor, audio: AudioFormat, *, faulty: bool) -> None:
        super().__init__(vendor, audio, faulty=faulty)
        self._silence = audio.silence(1)[:1]
        self._turn = 0
        self._ms = 0
        self._from_ms: int | None = None
        self._last_ms = 0
        self._told_ms = 0

    def heard(self, audio: bytes) -> None:
        self._ms += self.audio.duration_ms(len(audio))
        if audio.count(self._silence) < len(audio) // 2:
            if self._from_ms is None:
                self._from_ms = self._told_ms = self._ms
            self._last_ms = self._ms
            if self._ms - self._told_ms >= INTERIM_MS:
                self._told_ms = self._ms
                words = self._text().split()
                self._results(" ".join(words[: 1 + (self._ms - self._from_ms) // 300]))
        elif self._from_ms is not None and self._ms - self._last_ms >= ENDPOINT_MS:
            self._results(self._text(), is_final=True, speech_final=True)
            self._over()

    def told(self, message: dict[str, Any]) -> None:
        if message["type"] == "Finalize":
            text = self._text() if self._from_ms is not None else ""
            self._results(text, is_final=True, from_finalize=True)
            if self._from_ms is not None:
                self._over()
        elif message["type"] == "CloseStream":
            self.shut()

    def _text(self) -> str:
        return self.vendor.texts[self._turn % len(self.vendor.texts)]

    def _over(self) -> None:
        self._turn += 1
        self._from_ms = None

    def _results(self, text: str, **flags: Any) -> None:
        start_ms = self._from_ms if self._from_ms is not None else self._ms
        message = results_message(text, start_ms / 1000, (self._ms - start_ms) / 1000, **flags)
        self.answer(msgspec.json.encode(message).decode())


class _Voice(_Socket):
    """Aura: speaks what was flushed, one text after another."""

    def __init__(self, vendor: Vendor, audio: AudioFormat, *, faulty: bool) -> None:
        super().__init__(vendor, audio, faulty=faulty)
        self._text = ""
        self._flushes = 0
        self._speaking: list[Any] = []
        self._free = 0.0

    def told(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "Speak":
                self._text += message["text"]
                self.vendor.characters += len(message["text"])
            case "Flush":
                self._speak(self._text)
                self._text = ""
            case "Clear":
                self._clear()
            case "Close":
                self.shut()

    def _speak(self, text: str) -> None:
        sound = bytearray()
        for word in text.split():
            duration_ms = (len(word) + 1) * CHARACTER_MS
            key = self.vendor.pattern(self.audio)
            self.vendor.made(SpokenWord(key, word, duration_ms))
            sound += key * (duration_ms * self.audio.bytes_per_ms // PATTERN_BYTES)
        size = self._plan.chunk_ms * self.audio.bytes_per_ms
        at = max(self._loop.time() + 0.1, self._free)
        for start in range(0, len(sound), size):
            piece = bytes(sound[start : start + size])
            self._speaking.append(self._loop.call_at(at, self.answer, piece))
            at += 0.005
        self._flushes += 1
        done = f'{{"type":"Flushed","sequence_id":{self._flushes}}}'
        self._speaking.append(self._loop.call_at(at, self.answer, done))
        self._free = at + 0.001

    def _clear(self) -> None:
        for timer in self._speaking:
            timer.cancel()
        self._speaking.clear()
        self._text = ""
        self._free = 0.0
        if self._plan.late_ms:
            self.vendor.late = True
            self.answer(self.audio.silence(self._plan.late_ms))
        self.answer(f'{{"type":"Cleared","sequence_id":{self._flushes}}}')

    def shut(self) -> None:
        for timer in self._speaking:
            timer.cancel()
        self._speaking.clear()
        super().shut()


def _connect(url: str, **options: Any) -> Awaitable[_Socket]:
    vendor: Vendor = asyncio.get_running_loop().vendor  # type: ignore[attr-defined]
    return vendor.connect(url)


class NoNetwork:
    """While it is entered, the live sockets of the adapters end at the world's vendor."""

    def __enter__(self) -> None:
        self._original = live_socket._Connect
        live_socket._Connect = _connect  # type: ignore[assignment, misc]

    def __exit__(self, *error: object) -> None:
        live_socket._Connect = self._original  # type: ignore[misc]
