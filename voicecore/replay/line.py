"""The carrier of a replayed call: the caller's recorded frames in, the agent's audio played out,
marks and clears obeyed at once."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from media.audio.format import FRAME_MS, AudioFormat, Encoding
from media.carriers import CARRIERS
from media.carriers.kind import CarrierKind
from media.phone.line import Line
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
from voicecore.replay.arrivals import Arrivals
from voicecore.replay.errors import ReplayError
from voicecore.replay.facts import CallStarted

TAIL_MS = 30_000
"""How long a call may go on beyond what was recorded, on a silent line, before its caller hangs
up: an agent that says more than it did needs the time."""
_TELNYX_CODECS = {Encoding.MULAW: "PCMU", Encoding.ALAW: "PCMA", Encoding.L16: "L16"}


class Course(msgspec.Struct, frozen=True):
    """What comes from outside. ``end_ms`` is when the recorded call ended, ``hangs_up`` whether
    it did so by the caller's or the carrier's doing. ``stop``: the carrier says so, else the
    connection is lost."""

    frames: Iterator[bytes]
    arrivals: Arrivals
    digits: Sequence[tuple[int, str]]
    end_ms: int
    hangs_up: bool
    stop: bool


def carrier_of(started: CallStarted) -> CarrierKind:
    """:raises ReplayError: the call's carrier is not known."""
    for kind in CARRIERS:
        if kind.name == started.carrier:
            return kind
    raise ReplayError("unsupported", f"no carrier is named {started.carrier[:40]!r}")


def side_of(started: CallStarted, inbound: AudioFormat, outbound: AudioFormat) -> CarrierSide:
    """:raises ReplayError: the carrier has no such line."""
    ids = StreamIds(started.stream_id or "stream", started.call_id or "call", "replay")
    try:
        return make_side(carrier_of(started).name, StreamSpec(ids, inbound, outbound))
    except ValueError as error:
        raise ReplayError("unsupported", str(error)) from None


def codec_settings(started: CallStarted, outbound: AudioFormat) -> Mapping[str, str]:
    if started.carrier == "telnyx":
        return {"outbound_codec": _TELNYX_CODECS[outbound.encoding]}
    return {}


class ReplayLine:
    """Implements ``media.transport.Socket``: the caller's and the carrier's end."""

    def __init__(
        self, started: CallStarted, inbound: AudioFormat, outbound: AudioFormat, course: Course
    ) -> None:
        self.violations = 0
        self.ran_out = False
        """The call went on beyond what was recorded until the caller was made to hang up."""
        self.position_ms = 0
        """Where in the call the frame lies that is being handed in."""
        self._course = course
        self._inbound = inbound
        self._line = Line(outbound, keep_audio=False)
        self._side = side_of(started, inbound, outbound)
        self._loop = asyncio.get_running_loop()
        self._began_s = 0.0
        self._connection: Connection | None = None
        self._over = False
        self._frame = 0
        self._silence = inbound.silence(FRAME_MS)
        self._mark_timer: asyncio.TimerHandle | None = None
        self._digits = deque(course.digits)
        self._key_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._frame_timer: asyncio.TimerHandle | None = None

    def begin(self, connection: Connection) -> None:
        """Connect, and let the call take its course."""
        self._connection = connection
        self._began_s = self._loop.time()
        connection.message(self._side.connected())
        connection.message(self._side.start())
        course = self._course
        self._await_key()
        if course.hangs_up:
            self._end_timer = self._at(course.end_ms, self._end)
        else:
            self._end_timer = self._at(course.end_ms + TAIL_MS, self._run_out)
        self._next_frame()

    # From the server

    def send(self, text: bytes) -> None:
        now_us = self._now_us()
        match self._side.receive(text):
            case ServerAudio(payload=payload):
                self._line.play(now_us, payload)
            case ServerMark(name=name):
                self._line.mark(now_us, name)
            case ServerClear():
                self._line.clear(now_us)
            case Violation():
                self.violations += 1
        self._await_mark()

    def unread_bytes(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        self._leave()
        if self._connection is not None:
            self._loop.call_soon(self._connection.socket_closed)

    # To the server

    def _at(self, at_ms: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_at(self._began_s + at_ms / 1000, callback)

    def _now_us(self) -> int:
        return round((self._loop.time() - self._began_s) * 1_000_000)

    def _message(self, text: bytes) -> None:
        if not self._over and self._connection is not None:
            self._connection.message(text)

    def _next_frame(self) -> None:
        if not self._over:
            at_ms = self._course.arrivals.at_ms(self._frame)
            self._frame_timer = self._at(at_ms, self._give_frame)

    def _give_frame(self) -> None:
        frame = next(self._course.frames, self._silence)
        self.position_ms = self._frame * FRAME_MS
        self._message(self._side.media(base64.b64encode(frame), self.position_ms))
        self._frame += 1
        self._next_frame()

    def _await_mark(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        due_us = self._line.next_deadline()
        if due_us is not None and not self._over:
            self._mark_timer = self._loop.call_at(
                self._began_s + (due_us + 1) / 1_000_000, self._return_marks
            )

    def _return_marks(self) -> None:
        self._mark_timer = None
        self._line.advance(self._now_us())
        for name in self._line.due(self._now_us()):
            self._message(self._side.mark(name))
        self._await_mark()

    def _await_key(self) -> None:
        # One timer: those of one moment would come in any order.
        if self._digits and not self._over:
            self._key_timer = self._at(self._digits[0][0], self._press)

    def _press(self) -> None:
        at_ms = self._digits[0][0]
        while self._digits and self._digits[0][0] <= at_ms:
            self._message(self._side.dtmf(self._digits.popleft()[1], 0))
        self._await_key()

    def _run_out(self) -> None:
        self.ran_out = True
        self._end()

    def _end(self) -> None:
        if self._course.stop or self.ran_out:
            self._message(self._side.stop())
        elif self._connection is not None:
            self._connection.socket_closed()

    def _leave(self) -> None:
        self._over = True
        for timer in (self._frame_timer, self._mark_timer, self._key_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
