"""One call of the phone: a socket, a carrier's side, a line and a caller, joined."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

from media.phone.awkward import Awkward, Send
from media.phone.line import Line
from media.phone.side import (
    CarrierSide,
    ServerAudio,
    ServerClear,
    ServerMark,
    Violation,
)
from media.phone.sides import carrier_names
from voicecore.phone.caller import Caller, EndCall, PressKey, SaidFinished, SaidStarted
from voicecore.phone.metronome import Metronome, now_us
from voicecore.phone.record import CallRecord, EndedBy
from voicecore.phone.setup import CallSetup, EventKind, PhoneEvent
from voicecore.phone.socket import ConnectError, PhoneSocket, connect
from voicecore.phone.sounds import Frame

MAX_BUFFERED_BYTES = 256 * 1024
"""About twenty seconds of audio that the server has not read; a carrier gives up on it."""
MAX_VIOLATION_DETAILS = 20
AFTER_STOP_S = 0.001
"""Twilio closes the socket a millisecond after ``stop``."""
_SPEECH_BREAK_US = 700_000
_ANSWER_BREAK_US = 200_000


class PhoneCall:
    """``await run()`` makes the call and returns its record; it raises nothing of the
    network's."""

    def __init__(
        self, index: int, setup: CallSetup, side: CarrierSide, metronome: Metronome
    ) -> None:
        self._index = index
        self._setup = setup
        self._side = side
        self._metronome = metronome
        self._script = setup.script
        self._base_us = now_us()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket: PhoneSocket | None = None
        self._line = Line(
            self._script.agent_codec,
            audible_dbfs=self._script.audible_dbfs,
            keep_audio=setup.keep_audio,
        )
        self._caller: Caller | None = None
        self._leave: Callable[[], None] = lambda: None
        self._awkward: Awkward | None = None
        if setup.plan is not None:
            self._awkward = Awkward(setup.plan, side, keeps_order=setup.keeps_order)
        self._mark_timer: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._ended_by: EndedBy | None = None
        self._close_code: int | None = None
        self._close_reason = ""
        self._duration_us = 0
        self._connect_us = 0
        self._clock_frames = 0
        self._frames_sent = 0
        self._frames_skipped = 0
        self._marks = 0
        self._last_audible_us: int | None = None
        self._violations: Counter[str] = Counter()
        self._violation_details: list[str] = []
        self._spoken: list[tuple[int, bytearray]] = []

    async def run(self) -> CallRecord:
        began_us = now_us()
        try:
            self._socket = await connect(self._setup.url, self._setup.headers, self)
        except ConnectError as error:
            self._tell("connect_failed", error.detail)
            return CallRecord(
                self._index, "connect_failed", error.detail, "nobody", connect_error=error.code
            )
        self._connect_us = now_us() - began_us
        try:
            self._open()
            await self._over
        finally:
            self._hang_up_line()
            self._socket.drop()
        return self._record()

    # The socket's callbacks.

    def on_message(self, message: bytes) -> None:
        if self._ended_by is not None:
            return
        received = self._side.receive(message)
        now = self._now()
        line = self._line
        match received:
            case ServerAudio(payload=payload):
                if line.play(now, payload) and not self._violations["buffer_overflow"]:
                    self._violate(
                        Violation("buffer_overflow", "more than 10 minutes queued (Twilio 31931)")
                    )
            case ServerMark(name=name):
                line.mark(now, name)
                self._return_marks()
            case ServerClear():
                line.clear(now)
                self._return_marks()
            case Violation():
                self._violate(received)

    def on_binary(self, message: bytes) -> None:
        detail = f"a binary message of {len(message)} bytes; carriers take text (Twilio 31950)"
        self._violate(Violation("binary_frame", detail))

    def on_closed(self, code: int | None, reason: str) -> None:
        self._close_code, self._close_reason = code, reason
        if self._ended_by is None:
            self._end("network" if code is None else "server", reason)
        if not self._over.done():
            self._over.set_result(None)

    # The metronome's.

    def _beat(self, time_us: int, skipped: int) -> None:
        caller, socket = self._caller, self._socket
        if caller is None or socket is None or self._ended_by is not None:
            return
        now = time_us - self._base_us
        self._line.advance(now)
        due_us = self._line.next_deadline()
        if due_us is not None and due_us <= now:
            self._return_marks()  # late, too: the caller may hang up for what ends with them
        agent = self._line.take_audible()
        if agent is not None:
            self._agent_heard(*agent)
        frame = caller.tick(now, agent)
        self._frames_skipped += skipped
        if caller.actions:
            self._act(caller)
        if self._ended_by is None:
            self._send_frame(now, frame, socket, skipped)

    def _open(self) -> None:
        """``connected``, ``start``, and from then on a frame every 20 ms."""
        side = self._side
        if self._awkward is None:
            self._send(side.connected())
            self._send(side.start())
            self._begin()
            return
        delay_us = self._awkward.plan.start_delay_ms * 1000
        self._base_us = now_us() + delay_us
        connected, start = self._awkward.opening(-delay_us)
        self._send(connected.message)

        def begin() -> None:
            self._send(start.message)
            self._begin()

        self._later(start.at_us, begin)

    def _begin(self) -> None:
        if self._ended_by is not None:
            return
        setup = self._setup
        if self._awkward is None:
            self._base_us = now_us()
        stop_at_us = None if setup.stop_at_us is None else setup.stop_at_us - self._base_us
        self._caller = setup.make_caller(
            self._script,
            setup.sounds,
            self._now(),
            stop_at_us=stop_at_us,
            idle_offset=self._index * 7,
        )
        self._tell("connected")
        self._leave = self._metronome.join(self._beat)

    def _send_frame(self, now: int, frame: Frame, socket: PhoneSocket, skipped: int) -> None:
        self._clock_frames += 1 + skipped
        if self._setup.keep_audio:
            self._keep(now, frame, skipped)
        if self._awkward is not None:
            for send in self._awkward.frame(now, frame.payload):
                self._schedule(send)
            self._frames_sent += 1
        elif socket.buffered_bytes > MAX_BUFFERED_BYTES:
            self._frames_skipped += 1
            if not self._violations["reads_too_slowly"]:
                self._violate(
                    Violation("reads_too_slowly", "the server does not read (Twilio 31930)")
                )
        else:
            timestamp_ms = self._setup.first_timestamp_ms + 20 * (self._clock_frames - 1)
            self._send(self._side.media(frame.base64, timestamp_ms))
            self._frames_sent += 1

    def _keep(self, now: int, frame: Frame, skipped: int) -> None:
        if not self._spoken or skipped:
            self._spoken.append((now, bytearray()))
        self._spoken[-1][1].extend(frame.payload)

    def _act(self, caller: Caller) -> None:
        for action in caller.actions:
            match action:
                case SaidStarted(said=said):
                    self._tell("say_started", said.text or said.kind)
                case SaidFinished(said=said):
                    self._expect_answer()
                    self._tell("say_finished", said.text or said.kind)
                case PressKey(digit=digit):
                    self._tell("dtmf", digit)
                    self._control(self._side.dtmf(digit, time.time_ns() // 1000))
                case EndCall():
                    self._leave_call(action)
        caller.actions.clear()

    def _leave_call(self, action: EndCall) -> None:
        socket = self._socket
        assert socket is not None
        if action.how == "hang_up":
            self._cancel_timers()
            self._send(self._side.stop())
            self._end("caller", "hung up")
            asyncio.get_running_loop().call_later(AFTER_STOP_S, socket.close)
            return
        self._end("caller", "dropped the socket")
        socket.drop(self._side.unknown() if action.how == "half_message" else None)

    def _agent_heard(self, start_us: int, end_us: int) -> None:
        last_us, self._last_audible_us = self._last_audible_us, end_us
        if last_us is None or start_us - last_us >= _SPEECH_BREAK_US:
            self._tell("agent_started")

    def _expect_answer(self) -> None:
        """What the agent says next is a new speech, unless it is speaking."""
        last_us = self._last_audible_us
        if last_us is not None and self._now() - last_us > _ANSWER_BREAK_US:
            self._last_audible_us = None

    def _return_marks(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        if self._ended_by is not None:
            return
        now = self._now()
        for name in self._line.due(now):
            self._marks += 1
            self._control(self._side.mark(name))
        if (deadline := self._line.next_deadline()) is not None:
            delay_us = max(deadline - now, 0)
            loop = asyncio.get_running_loop()
            self._mark_timer = loop.call_later(delay_us / 1e6, self._return_marks)

    def _violate(self, violation: Violation) -> None:
        self._violations[violation.code] += 1
        if len(self._violation_details) < MAX_VIOLATION_DETAILS:
            self._violation_details.append(f"{violation.code}: {violation.detail[:300]}")
        complaint = self._side.complaint(violation)
        if complaint is not None and self._ended_by is None:
            self._send(complaint)

    def _control(self, message: bytes) -> None:
        if self._awkward is None:
            self._send(message)
        else:
            self._schedule(self._awkward.control(self._now(), message))

    def _schedule(self, send: Send) -> None:
        def fire() -> None:
            if self._ended_by is not None:
                return
            if not send.ending:
                self._send(send.message)
                return
            self._end("caller", "dropped the socket")
            if self._socket is not None:
                self._socket.drop(send.message if send.ending == "half_message" else None)

        self._later(send.at_us, fire)

    def _later(self, at_us: int, action: Callable[[], object]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            action()

        delay_us = max(at_us - self._now(), 0)
        timer = asyncio.get_running_loop().call_later(delay_us / 1e6, fire)
        self._timers.add(timer)

    def _send(self, message: bytes) -> None:
        if self._socket is not None:
            self._socket.send(message)

    def _end(self, by: EndedBy, how: str) -> None:
        self._ended_by = by
        self._hang_up_line()
        if by != "caller" and self._caller is not None:
            self._caller.server_closed(self._now(), broken=by == "network")
        self._tell("ended", f"{by}: {how}" if how else by)

    def _hang_up_line(self) -> None:
        if not self._duration_us:
            self._duration_us = max(self._now(), 1)
            self._line.hang_up(self._duration_us)
        self._leave()
        self._cancel_timers()

    def _cancel_timers(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _tell(self, kind: EventKind, text: str = "") -> None:
        if self._setup.on_event is not None:
            self._setup.on_event(PhoneEvent(self._index, self._now() // 1000, kind, text))

    def _now(self) -> int:
        """Microseconds since the stream began."""
        return now_us() - self._base_us

    def _detail(self) -> str:
        caller = self._caller
        detail = caller.detail if caller else "the server ended the call before it began"
        if not detail or self._ended_by != "server":
            return detail
        reason = f": {self._close_reason}" if self._close_reason else ""
        return f"{detail} (close code {self._close_code}{reason})"

    def _path_carrier(self) -> str:
        named = set(urlsplit(self._setup.url).path.split("/")) & set(carrier_names())
        return "" if self._script.carrier in named else next(iter(named), "")

    def _record(self) -> CallRecord:
        caller, line = self._caller, self._line
        return CallRecord(
            index=self._index,
            outcome=caller.outcome if caller else "server_ended",
            detail=self._detail(),
            ended_by=self._ended_by or "caller",
            close_code=self._close_code,
            close_reason=self._close_reason,
            path_carrier=self._path_carrier(),
            connect_us=self._connect_us,
            duration_us=self._duration_us,
            said=tuple(caller.said) if caller else (),
            audible=tuple(line.audible),
            late=tuple(line.late),
            clears=tuple(line.clears),
            received_us=line.received_us,
            heard_us=line.heard_us,
            discarded_us=line.discarded_us,
            marks=self._marks,
            frames_sent=self._frames_sent,
            frames_skipped=self._frames_skipped,
            violations=dict(self._violations),
            violation_details=tuple(self._violation_details),
            heard=tuple((at_us, bytes(audio)) for at_us, audio in line.heard),
            unheard=tuple(line.unheard),
            spoken=tuple((at_us, bytes(audio)) for at_us, audio in self._spoken),
        )
