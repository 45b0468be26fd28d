"""A carrier with a caller at its end: the socket's other half.

Bytes take their time both ways, in order. What the caller does follows the plan; when, depends on
what is heard.
"""

import random
from collections.abc import Callable, Iterator
from functools import lru_cache

import pybase64

from media.audio.convert import convert_all
from media.audio.format import FRAME_MS, L16_16K, MULAW_8K, AudioFormat
from media.carriers import telnyx, twilio
from media.carriers.kind import CarrierKind
from media.phone.side import (
    CarrierSide,
    ServerAudio,
    ServerClear,
    ServerMark,
    StreamIds,
    StreamSpec,
    Violation,
)
from media.phone.sides import make_side
from media.transport import Connection
from tests.sim.ear import PATTERN_BYTES, Ear
from tests.sim.plan import Plan, Step
from tests.sim.timers import START_S, Timers
from voicecore.adapters.scripted_tts import speech_like

KINDS: dict[str, CarrierKind] = {"twilio": twilio.KIND, "telnyx": telnyx.KIND}
POOL_MS = 10_000
DTMF_UNIX_US = 1_700_000_000_000_000
TAIL_MS = 600
"""Silence that is sent after speech by a carrier that suppresses it."""
IDLE_MS = 200
"""How often the caller looks up while nothing is sent."""
_CODECS = {MULAW_8K: "PCMU", L16_16K: "L16"}


@lru_cache(maxsize=8)
def speech(audio: AudioFormat) -> bytes:
    """Sound that a voice activity detector takes for speech."""
    pcm = speech_like(16_000, POOL_MS, 5).astype("<i2").tobytes()
    sound = convert_all(pcm, L16_16K, audio)
    return sound[: POOL_MS * audio.bytes_per_ms]


class Phone:
    """Implements ``media.transport.Socket`` for the server's half.

    ``note(direction, text)`` is the trace; ``whose(key)`` is the reply whose audio begins with
    these bytes, None for audio that no voice made; ``on_sent`` hears of audio and
    clears: which it was, and the reply, 0 where nothing tells it. ``moment`` tells what is going
    on."""

    def __init__(
        self,
        plan: Plan,
        number: int,
        timers: Timers,
        note: Callable[[str, bytes], None] | None,
        whose: Callable[[bytes], int | None],
        on_sent: Callable[[str, int], None],
        moment: Callable[[], str],
    ) -> None:
        self.plan = plan
        self.closes: list[tuple[int, str]] = []
        self.wrong: list[str] = []
        self.ear = Ear(plan.outbound)
        self.gone = False
        """The caller's end is over, whatever the server knows."""
        self.started_us: int | None = None
        self.ended_us: int | None = None
        self.sounding = False
        self.marks_returned = 0
        self.delay_told = False
        """A mark came back that told the server how long the way there and back is."""
        self.seen: set[str] = set()
        """What went wrong on the line, and when the caller left."""
        self._timers = timers
        self._note = note
        self._whose = whose
        self._on_sent = on_sent
        self._moment = moment
        self._random = random.Random(f"phone:{plan.seed}:{number}")
        self._side: CarrierSide = make_side(plan.carrier, _spec(plan, number))
        self._connection: Connection | None = None
        self._reply = 0
        self._unread = 0
        self._down_us = 0
        self._up_us = 0
        self._clock_bytes = 0
        self._sound = b""
        self._place = 0
        self._held: bytes | None = None
        self._mark_due_us: int | None = None
        self._marks_made = 0
        self._clears = 0
        self._clears_before: dict[str, int] = {}
        self._last_mark = 0
        self._ticks = 0
        self._quiet_ms = 0
        self._muted = False
        self._script = self._act(plan.steps)
        self._bytes_per_ms = plan.inbound.bytes_per_ms
        self._outbound_frame_bytes = plan.outbound.frame_bytes
        net = plan.net
        # What a tick sends in milliseconds and bytes: in speech, in silence, and kept back.
        idle_ms = max(net.quiet_message_ms, IDLE_MS)
        self._loud, self._quiet, self._idle = (
            (message_ms, plan.inbound.frame_bytes * (message_ms // FRAME_MS))
            for message_ms in (net.message_ms, net.quiet_message_ms, idle_ms)
        )
        self._silences: dict[int, bytes] = {}
        """Silence of each size, in base64."""
        self._tick_us = 0
        """When the caller last did anything."""

    @property
    def now_us(self) -> int:
        return round((self._timers.now_s - START_S) * 1_000_000)

    @property
    def over(self) -> bool:
        return bool(self.closes) or self.gone

    def ring(self, connection: Connection) -> None:
        self._connection = connection
        self._to_server(self._side.connected())
        self._later(self.plan.net.start_delay_ms, self._start)

    def _start(self) -> None:
        if self.over:
            return
        self.started_us = self.now_us
        self._to_server(self._side.start())
        if self.plan.hangup_ms is not None:
            self._later(self.plan.hangup_ms, lambda: self._leave("hangup"))
        self._tick()

    # From the server

    def send(self, text: bytes) -> None:
        if self.closes:
            self.wrong.append("socket: sent after the close")
        if self._note is not None:
            self._note("<", text)
        if not self.plan.net.reads:
            self._unread += len(text)
        message = self._side.receive(text)
        if isinstance(message, Violation):
            self.wrong.append(f"protocol: {message.code}: {message.detail}")
            return
        at_us = self._arrival_us()
        if type(message) is ServerAudio:
            payload = message.payload
            reply = self._reply_of(payload)
            if reply is not None:
                self._reply = reply
            self._on_sent("audio", reply or 0)
            if not self.gone:
                self.ear.play(at_us, payload, self._reply)
        elif type(message) is ServerMark:
            self._clears_before[message.name] = self._clears
            if not self.gone:
                self.ear.mark(at_us, message.name)
                self._arm_marks()
        elif type(message) is ServerClear:
            self._clears += 1
            self._on_sent("clear", self._reply)
            if not self.gone:
                self.ear.clear(at_us)
                self._arm_marks()

    def _reply_of(self, payload: bytes) -> int | None:
        """Whose the first word is; tones may come before it."""
        whose = self._whose
        for place in range(0, len(payload), self._outbound_frame_bytes):
            reply = whose(payload[place : place + PATTERN_BYTES])
            if reply is not None:
                return reply
        return None

    def _arrival_us(self) -> int:
        net = self.plan.net
        at_us = round((self._timers.now_s - START_S) * 1_000_000) + net.down_ms * 1000
        if net.jitter_ms:
            at_us += int(self._random.random() * net.jitter_ms * 1000)
        if at_us > self._down_us:
            self._down_us = at_us
        return self._down_us

    def unread_bytes(self) -> int:
        return self._unread

    def close(self, code: int, reason: str) -> None:
        if self._note is not None:
            self._note("<", b"close %d %s" % (code, reason.encode()))
        if self.closes:
            self.wrong.append("socket: closed twice")
        self.closes.append((code, reason))
        if not self.gone:
            self._end(self.now_us)
        self._timers.call_soon(self._closed)

    def _closed(self) -> None:
        if self._connection is not None:
            self._connection.socket_closed()

    # To the server

    def _to_server(self, text: bytes) -> None:
        connection = self._connection
        if self.closes or connection is None:
            return
        if self._note is not None:
            self._note(">", text)
        connection.message(text)

    def _media(self, size: int) -> None:
        net = self.plan.net
        timestamp_ms = net.first_timestamp_ms + self._clock_bytes // self._bytes_per_ms
        self._clock_bytes += size
        payload = self._piece(size) if self._sound else self._silences.get(size)
        if payload is None:
            payload = self._silences[size] = pybase64.b64encode(self._silence(size))
        if net.lose_percent and self._random.random() * 100 < net.lose_percent:
            self._side.lose()
            self.seen.add("loss")
            return
        message = self._side.media(payload, timestamp_ms)
        held, self._held = self._held, None
        if held is None and net.swap_percent and self._random.random() * 100 < net.swap_percent:
            self._held = message
            return
        self._to_server(message)
        if held is not None:
            self.seen.add("media reordered")
            self._to_server(held)

    def _piece(self, size: int) -> bytes:
        """The next of the caller's sound, filled up with silence at its end."""
        piece = self._sound[self._place : self._place + size]
        self._place += size
        if len(piece) < size:
            piece += self._silence(size - len(piece))
            self._sound, self.sounding = b"", False
        return pybase64.b64encode(piece)

    def _silence(self, size: int) -> bytes:
        return self.plan.inbound.silence(size // self._bytes_per_ms + 1)[:size]

    def _tick(self) -> None:
        if self.closes or self.gone:
            return
        net = self.plan.net
        now_s = self._timers.now_s
        self._tick_us = round((now_s - START_S) * 1_000_000)
        next(self._script, None)
        if self.plan.hangup_in and self.plan.hangup_in == self._moment():
            self._leave("hangup")
        if self.closes or self.gone:
            return
        if self._sound:
            self._quiet_ms = 0
            message_ms, size = self._loud
            idle = False
        else:
            idle = net.suppresses and self._quiet_ms > TAIL_MS
            message_ms, size = self._idle if idle else self._quiet
        if net.odd_sizes:
            size = self._random.randint(1, 2 * size) // 2 * 2 + 2
        if idle:
            if net.clock_runs:
                self._clock_bytes += size
        elif not self._muted:
            self._media(size)
        self._quiet_ms += message_ms
        self._ticks += 1
        if net.unknown_every and self._ticks % net.unknown_every == 0:
            self._to_server(self._side.unknown())
        wait_us = size * 1000 // self._bytes_per_ms
        if net.jitter_ms:
            wait_us += int((self._random.random() - 0.5) * min(net.jitter_ms * 1000, wait_us))
        self._timers.call_at(now_s + wait_us / 1_000_000, self._tick)

    # Marks

    def _arm_marks(self) -> None:
        due_us = self.ear.next_mark_us()
        if due_us is not None and (self._mark_due_us is None or due_us < self._mark_due_us):
            self._mark_due_us = due_us
            self._timers.call_at(START_S + due_us / 1_000_000, self._marks_due)

    def _marks_due(self) -> None:
        self._mark_due_us = None
        if self.over:
            return
        names = self.ear.take_marks(self.now_us)
        net = self.plan.net
        if net.marks == "never":
            names = []
            self.seen.add("marks lost")
        elif net.marks == "shuffled":
            self._random.shuffle(names)
        for name in names:
            if net.marks == "some_lost" and self._random.random() < 0.3:
                self.seen.add("marks lost")
                continue
            wait_ms = net.up_ms + net.mark_lag_ms
            if net.mark_jitter_ms:
                wait_ms += self._random.randrange(net.mark_jitter_ms)
            at_us = self.now_us + wait_ms * 1000
            if net.marks != "shuffled":
                at_us = self._up_us = max(self._up_us + 1, at_us)
            self._marks_made += 1
            at_s = START_S + at_us / 1_000_000
            self._timers.call_at(at_s, self._return_mark, name, self._marks_made)
        self._arm_marks()

    def _return_mark(self, name: str, number: int) -> None:
        if not self.over:
            self.marks_returned += 1
            heard = self._clears_before.get(name) == self._clears
            self.delay_told |= heard and not name.endswith(":end")
            if number < self._last_mark:
                self.seen.add("marks reordered")
            self._last_mark = number
            self._to_server(self._side.mark(name))

    # The caller

    def _act(self, steps: tuple[Step, ...]) -> Iterator[None]:
        """Resumed at every tick."""
        for step in steps:
            match step.do:
                case "listen":
                    yield from self._until_quiet(step)
                case "over":
                    yield from self._until_heard(step)
                case "wait":
                    yield from self._wait(step.ms)
                case "sound":
                    self._speak(step.ms)
                    while self.sounding:
                        yield
                case "keys":
                    for digit in step.text:
                        self._to_server(self._side.dtmf(digit, DTMF_UNIX_US + self.now_us))
                        yield from self._wait(step.ms)
            yield
        if self.plan.end != "mute":
            yield from self._wait(self._random.randrange(12_000))
            self._leave(self.plan.end)

    def _wait(self, duration_ms: int) -> Iterator[None]:
        due_us = self._tick_us + duration_ms * 1000
        while self._tick_us < due_us:
            yield

    def _until_quiet(self, step: Step) -> Iterator[None]:
        until_us = self._tick_us + step.patience_ms * 1000
        while self._tick_us <= until_us and self.ear.quiet_us(self._tick_us) < step.ms * 1000:
            yield

    def _until_heard(self, step: Step) -> Iterator[None]:
        until_us = self._tick_us + step.patience_ms * 1000
        since_us: int | None = None
        while self._tick_us < until_us:
            if not self.ear.sounds(self._tick_us):
                since_us = None
            elif since_us is None:
                since_us = self._tick_us
            if since_us is not None and self._tick_us - since_us >= step.ms * 1000:
                return
            yield

    def _speak(self, duration_ms: int) -> None:
        pool, per_ms = speech(self.plan.inbound), self.plan.inbound.bytes_per_ms
        start = self._random.randrange(0, POOL_MS // FRAME_MS) * FRAME_MS * per_ms
        size = duration_ms * per_ms
        sound = pool[start : start + size]
        while len(sound) < size:
            sound += pool[: size - len(sound)]
        self._sound = sound
        self._place, self.sounding = 0, True

    def _leave(self, how: str) -> None:
        """``hangup``: the carrier says stop, and closes the socket or not; ``drop``: the socket
        dies; ``vanish``: half of it does, nothing comes any more and nothing is said."""
        if self.over:
            return
        if how == "vanish":
            self._muted = True
            self.seen.add("socket half closed")
            return
        self.seen.add(f"hang-up {self._moment()}")
        if how == "drop":
            self.seen.add("socket lost")
        self._end(self.now_us)
        self._later(self.plan.net.up_ms, lambda: self._told(how))

    def _told(self, how: str) -> None:
        if how == "hangup":
            self._to_server(self._side.stop())
        if how == "drop" or self.plan.net.closes_after_stop:
            self._closed()

    def _end(self, at_us: int) -> None:
        self.gone = True
        self.ended_us = at_us
        self.sounding = False
        self.ear.cut(at_us)

    def _later(self, delay_ms: int, do: Callable[[], None]) -> None:
        self._timers.call_later(delay_ms / 1000, do)


def _spec(plan: Plan, number: int) -> StreamSpec:
    ids = StreamIds(f"MZ{number:032}", f"CA{number:032}", f"AC{number:032}")
    return StreamSpec(ids, plan.inbound, plan.outbound)


def codec_settings(plan: Plan) -> dict[str, str]:
    if plan.carrier == "twilio":
        return {}
    return {"outbound_codec": _CODECS.get(plan.outbound, "PCMA")}
