"""One WebSocket, one carrier codec, one leg.

The shell between a socket and a call. A frame takes the short way: it is decoded, cut and
handed on within the socket's own callback; nothing is queued and no task is woken. All sending
goes through ``Leg``, which is the socket's only writer.
"""

from collections.abc import Callable
from typing import Protocol

from media.audio.format import FRAME_MS
from media.carrier import (
    AudioIn,
    Carrier,
    CarrierCommand,
    CarrierEvent,
    CarrierFault,
    CarrierProtocolError,
    Dtmf,
    MarkPlayed,
    Play,
    StreamEnded,
    StreamStarted,
)
from media.carriers.kind import CarrierKind
from media.clock import Clock, Timer
from media.inbound import Inbound
from media.line_quality import LineQuality
from media.playout import Playout
from media.playout_events import PlayoutEvent

UNREAD_LIMIT_BYTES = 512 * 1024
"""A carrier that does not read this much has stopped listening: the socket is closed."""

AHEAD_LIMIT_MS = 5000
"""A caller speaks in real time: audio further ahead of the clock is dropped, not paid for."""

CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_POLICY = 1008


class Socket(Protocol):
    """The sending half of a WebSocket. Sending never waits."""

    def send(self, text: bytes) -> None: ...

    def unread_bytes(self) -> int:
        """Bytes handed over that the peer's kernel has not taken."""

    def close(self, code: int, reason: str) -> None: ...


class LegOwner(Protocol):
    """Whoever holds the leg: a call. Called from the socket's callback; must not block."""

    def on_frame(self, now_ms: int, frame: bytes) -> None:
        """20 ms of the caller, in ``StreamStarted.inbound`` format."""

    def on_dtmf(self, digit: str) -> None: ...

    def on_playout(self, event: PlayoutEvent) -> None: ...

    def on_sent(self, at_ms: int, payload: bytes) -> None:
        """Audio went out that the caller hears from ``at_ms`` on (time of the call)."""

    def on_fault(self, code: str, detail: str) -> None:
        """The carrier reports trouble of its own; the stream goes on."""

    def on_closed(self, reason: str) -> None:
        """The stream is over, once: ``caller_hangup``, ``carrier_disconnected``, or the code
        of a protocol error."""


class Leg:
    """A stream from its ``start`` on. Times are milliseconds of the call: 0 is its start."""

    def __init__(
        self,
        started: StreamStarted,
        codec: Carrier,
        socket: Socket,
        clock: Clock,
        *,
        reorder_frames: int = 0,
    ) -> None:
        self.started = started
        self._codec = codec
        self._socket = socket
        self._clock = clock
        self._start_ms = clock.now_ms()
        self._inbound = Inbound(started.inbound, reorder_frames=reorder_frames)
        self._playout: Playout | None = None
        self._timer: Timer | None = None
        self._timer_ms = 0
        self._owner: LegOwner | None = None
        self._open = True
        self._audio_ms = 0
        self._dropped_ms = 0

    def attach(self, owner: LegOwner, playout: Playout) -> None:
        """Give the leg to a call, which hears everything from here on and brings its playout."""
        self._owner = owner
        self._playout = playout

    def now_ms(self) -> int:
        return self._clock.now_ms() - self._start_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        return self._clock.call_at(self._start_ms + at_ms, callback)

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def quality(self) -> LineQuality:
        """How well the line carried sound so far."""
        inbound, playout = self._inbound.counters, self._playout
        return LineQuality(
            inbound_gap_ms=inbound.gap_ms,
            inbound_unfilled_ms=inbound.unfilled_ms,
            inbound_dropped_ms=self._dropped_ms,
            inbound_late_frames=inbound.late,
            inbound_duplicate_frames=inbound.duplicate,
            inbound_reordered_frames=inbound.reordered,
            inbound_bad_timestamps=inbound.bad_timestamps,
            outbound_gap_ms=playout.gap_ms if playout is not None else 0,
            outbound_late_ms_max=playout.late_ms_max if playout is not None else 0,
        )

    # From the socket

    def receive(self, event: CarrierEvent) -> None:
        """Take one event of the codec."""
        owner, playout = self._owner, self._playout
        if owner is None or playout is None:
            return
        if isinstance(event, AudioIn):
            self._hand_on(self._inbound.receive(event), owner)
        elif isinstance(event, MarkPlayed):
            playout.mark_played(self.now_ms(), event.name)
            self._report(playout)
        elif isinstance(event, Dtmf):
            owner.on_dtmf(event.digit)
        elif isinstance(event, CarrierFault):
            owner.on_fault(event.code, event.detail)
        elif isinstance(event, StreamEnded):
            self._line_gone()
            self._finish("caller_hangup")

    def socket_closed(self) -> None:
        """The peer or the network closed the socket."""
        self._line_gone()
        self._finish("carrier_disconnected")

    def protocol_error(self, code: str) -> None:
        """The peer broke the protocol: this socket is closed, and only this one."""
        self._finish(code, CLOSE_PROTOCOL_ERROR, code)

    def _hand_on(self, frames: list[bytes], owner: LegOwner) -> None:
        now_ms = self.now_ms()
        for frame in frames:
            audio_ms = self._audio_ms + FRAME_MS
            if audio_ms - now_ms > AHEAD_LIMIT_MS:
                self._dropped_ms += FRAME_MS
            else:
                self._audio_ms = audio_ms
                owner.on_frame(now_ms, frame)

    # To the carrier

    def play(self, reply: int, audio: bytes) -> None:
        """Queue audio of a reply, in ``StreamStarted.outbound`` format.

        :raises PlayoutOverflow: far too much is queued already."""
        if self._playout is not None:
            self._playout.write(reply, audio)
            self._pump()

    def finish(self, reply: int) -> None:
        """No more audio follows for this reply."""
        if self._playout is not None:
            self._playout.finish(reply)
            self._pump()

    def clear(self, reply: int) -> None:
        """Silence the line now."""
        if self._playout is not None:
            _, commands = self._playout.clear(self.now_ms(), reply)
            self._send(commands, self._playout)

    def pause(self, reply: int) -> int:
        """Silence the line now, to go on with the reply or to clear it later. Returns for how many
        milliseconds the reply had been quiet."""
        if self._playout is None:
            return 0
        self._send(self._playout.pause(self.now_ms(), reply), self._playout)
        self._pump()
        return self._playout.quiet_ms(reply)

    def resume(self, reply: int, from_ms: int) -> None:
        """Go on with a paused reply from ``from_ms`` of its audio."""
        if self._playout is not None:
            self._playout.resume(reply, from_ms)
            self._pump()

    def rest(self, reply: int) -> None:
        """What follows of a reply may come late."""
        if self._playout is not None:
            self._playout.rest(reply)

    def shorten(self, reply: int, to_ms: int) -> None:
        """Drop all of a paused reply's audio after ``to_ms`` that was not heard yet."""
        if self._playout is not None:
            self._playout.shorten(reply, to_ms)

    def hang_up(self) -> None:
        """Close the stream, which ends the call at the carrier unless it was told of more."""
        self._finish(None, CLOSE_NORMAL, "call ended")

    def _pump(self) -> None:
        playout = self._playout
        if playout is None or not self._open:
            return
        now_ms = self.now_ms()
        if commands := playout.poll(now_ms):
            self._send(commands, playout)
        if playout.events:
            self._report(playout)
        deadline_ms = playout.next_deadline()
        if self._timer is not None:
            if deadline_ms == self._timer_ms:
                return
            self._timer.cancel()
            self._timer = None
        if deadline_ms is not None and self._open:
            self._timer_ms = deadline_ms
            self._timer = self.call_at(max(deadline_ms, now_ms + 1), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _send(self, commands: list[CarrierCommand], playout: Playout) -> None:
        owner = self._owner
        if not self._open or owner is None:
            return
        # What one poll sends is played without a break, up to the playout's end.
        duration_ms = playout.audio.duration_ms
        at_ms = playout.end_ms
        sent = [command.payload for command in commands if isinstance(command, Play)]
        for payload in sent:
            at_ms -= duration_ms(len(payload))
        for command in commands:
            self._socket.send(self._codec.send(command))
        for payload in sent:
            owner.on_sent(at_ms, payload)
            at_ms += duration_ms(len(payload))
        if self._socket.unread_bytes() > UNREAD_LIMIT_BYTES:
            self._finish("carrier_not_reading", CLOSE_POLICY, "not reading")

    def _report(self, playout: Playout) -> None:
        events, playout.events = playout.events, []
        for event in events:
            if self._owner is not None:
                self._owner.on_playout(event)

    def _line_gone(self) -> None:
        if self._playout is not None and self._open:
            self._playout.line_gone(self.now_ms())

    def _finish(self, reason: str | None, code: int = CLOSE_NORMAL, text: str = "") -> None:
        if not self._open:
            return
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._socket.close(code, text)
        owner, self._owner = self._owner, None
        if owner is not None and reason is not None:
            # What was held back for a missing piece, and a part of a frame, came before the end.
            self._hand_on(self._inbound.flush(), owner)
            owner.on_closed(reason)


class StreamRefused(Exception):
    """A stream that was announced is not taken; ``code`` says why: ``bad_token``, ``busy``,
    ``draining``, ``start_timeout``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Connection:
    """A carrier's WebSocket from its first message on. Until the stream starts there is only
    this: a codec and a deadline."""

    def __init__(
        self,
        kind: CarrierKind,
        codec: Carrier,
        socket: Socket,
        clock: Clock,
        *,
        on_started: Callable[[Leg], None],
        on_refused: Callable[[str, str], None],
        make_leg: type[Leg] = Leg,
    ) -> None:
        """``on_started`` gives the leg to a call, or raises ``StreamRefused``;
        ``on_refused(code, detail)`` hears why a connection was closed before it had one, or
        for a protocol error. ``make_leg`` makes the leg."""
        self._kind = kind
        self._codec = codec
        self._socket = socket
        self._clock = clock
        self._on_started = on_started
        self._on_refused = on_refused
        self._make_leg = make_leg
        self._leg: Leg | None = None
        self._closed = False
        self._timer: Timer | None = clock.call_at(
            clock.now_ms() + kind.start_timeout_ms, self._start_timeout
        )

    def message(self, data: bytes) -> None:
        """A whole message came."""
        if self._closed:
            return
        try:
            for event in self._codec.receive(data):
                if self._leg is not None:
                    self._leg.receive(event)
                elif isinstance(event, StreamStarted):
                    self._start(event)
        except CarrierProtocolError as error:
            self._refuse(error.code, error.detail, CLOSE_PROTOCOL_ERROR)
        except StreamRefused as refused:
            self._refuse(refused.code, "", CLOSE_POLICY)

    def unreadable(self, code: str, detail: str) -> None:
        """The WebSocket layer itself could not read the peer: too large, not text."""
        self._refuse(code, detail, CLOSE_PROTOCOL_ERROR)

    def socket_closed(self) -> None:
        """The peer or the network closed the socket."""
        self._stop_timer()
        if self._leg is not None:
            self._leg.socket_closed()
        elif not self._closed:
            self._on_refused("closed_before_start", "")
        self._closed = True

    def _start(self, started: StreamStarted) -> None:
        self._stop_timer()
        leg = self._make_leg(
            started,
            self._codec,
            self._socket,
            self._clock,
            reorder_frames=self._kind.reorder_frames,
        )
        self._on_started(leg)
        self._leg = leg

    def _start_timeout(self) -> None:
        self._timer = None
        self._refuse("start_timeout", f"no start in {self._kind.start_timeout_ms} ms", CLOSE_POLICY)

    def _refuse(self, code: str, detail: str, close_code: int) -> None:
        if self._closed:
            return
        self._closed = True
        self._stop_timer()
        self._on_refused(code, detail)
        if self._leg is not None:
            self._leg.protocol_error(code)
        else:
            self._socket.close(close_code, code)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
