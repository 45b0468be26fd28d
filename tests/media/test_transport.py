"""One socket, one codec, one leg: on virtual time, with a socket that is only a list."""

import asyncio
import base64
import functools
import inspect
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio.format import L16_16K, MULAW_8K
from media.carriers import CARRIERS, CarrierKind
from media.carriers.telnyx import KIND as TELNYX
from media.carriers.twilio import KIND as TWILIO
from media.line_quality import LineQuality
from media.playout import Playout, ReplyPlayed, ReplyStarted
from media.transport import (
    AHEAD_LIMIT_MS,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_PROTOCOL_ERROR,
    UNREAD_LIMIT_BYTES,
    Connection,
    Leg,
    StreamRefused,
)
from tests.support.carriers import capture, only, wire
from tests.support.sim_socket import SimOwner, SimSocket
from tests.support.virtual_loop import VirtualClock, run_virtual


class Rig:
    """A connection with everything around it."""

    def __init__(self, kind: CarrierKind = TWILIO, *, refuse: str = "") -> None:
        self.kind = kind
        self.messages = capture(kind.name)
        self.socket = SimSocket()
        self.owner = SimOwner()
        self.legs: list[Leg] = []
        self.refused: list[tuple[str, str]] = []
        self._refuse = refuse
        self.connection = Connection(
            kind,
            kind.codec({}),
            self.socket,
            VirtualClock(asyncio.get_running_loop()),
            on_started=self._started,
            on_refused=lambda code, detail: self.refused.append((code, detail)),
        )

    @property
    def leg(self) -> Leg:
        return self.legs[0]

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.refused]

    def _started(self, leg: Leg) -> None:
        if self._refuse:
            raise StreamRefused(self._refuse)
        leg.attach(self.owner, Playout(leg.started.outbound))
        self.legs.append(leg)

    def message(self, message: Any) -> None:
        self.connection.message(message if isinstance(message, bytes) else wire(message))

    def only(self, event: str) -> dict[str, Any]:
        return only(self.messages, event)

    def start(self) -> None:
        self.message(self.only("connected"))
        self.message(self.only("start"))

    def media(self, payload: bytes = b"\xff" * 160) -> None:
        message = self.only("media")
        message["media"]["payload"] = base64.b64encode(payload).decode()
        self.message(message)

    def numbered(self, chunk: int, timestamp_ms: int | None = None) -> None:
        """20 ms that say by themselves which they are."""
        message = self.only("media")
        at_ms = chunk * 20 if timestamp_ms is None else timestamp_ms
        payload = base64.b64encode(bytes((chunk,)) * 160).decode()
        message["media"] |= {"payload": payload, "chunk": str(chunk), "timestamp": str(at_ms)}
        self.message(message)

    def mark(self, name: str) -> None:
        message = self.only("mark")
        message["mark"]["name"] = name
        self.message(message)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(lambda: test(*args, **kwargs))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


every_carrier = pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)


class TestBeforeTheStart:
    @every_carrier
    @virtual
    async def test_a_connection_that_says_nothing_is_closed(self, kind: CarrierKind) -> None:
        rig = Rig(kind)
        await asyncio.sleep(kind.start_timeout_ms / 1000 - 0.002)
        assert not rig.socket.closes
        await asyncio.sleep(0.004)
        assert rig.codes == ["start_timeout"]
        assert rig.socket.closes == [(CLOSE_POLICY, "start_timeout")]
        rig.start()
        assert not rig.legs, "too late"

    @virtual
    async def test_being_connected_is_no_start(self) -> None:
        rig = Rig()
        rig.message(rig.only("connected"))
        await asyncio.sleep(TWILIO.start_timeout_ms / 1000 + 1)
        assert rig.codes == ["start_timeout"]

    @pytest.mark.parametrize("code", ["bad_token", "busy", "draining"])
    @virtual
    async def test_a_stream_that_is_not_taken_is_closed(self, code: str) -> None:
        rig = Rig(refuse=code)
        rig.start()
        assert rig.refused == [(code, "")]
        assert rig.socket.closes == [(CLOSE_POLICY, code)]
        rig.media()
        rig.connection.socket_closed()
        await asyncio.sleep(60)
        assert rig.codes == [code], "told once"
        assert len(rig.socket.closes) == 1

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            (b"hello", "malformed_message"),
            (b"", "malformed_message"),
            (b"\xff\xfe\x00", "malformed_message"),
            (b"[" * 60_000, "malformed_message"),
            (b'{"event":' + b"9" * 6000 + b"}", "malformed_message"),
            (b'"' + b"x" * 70_000 + b'"', "message_too_large"),
            ({"event": "stop"}, "stop_before_start"),
        ],
    )
    @virtual
    async def test_what_is_no_protocol_closes_the_socket(self, message: Any, code: str) -> None:
        rig, neighbour = Rig(), Rig()
        neighbour.start()
        rig.message(message)
        assert rig.codes == [code]
        assert rig.socket.closes == [(CLOSE_PROTOCOL_ERROR, code)]
        neighbour.media()
        assert len(neighbour.owner.frames) == 1
        assert not neighbour.socket.closes

    @virtual
    async def test_audio_before_the_start(self) -> None:
        rig = Rig()
        rig.media()
        assert rig.codes == ["audio_before_start"]
        assert rig.socket.closes == [(CLOSE_PROTOCOL_ERROR, "audio_before_start")]

    @virtual
    async def test_a_codec_that_is_not_spoken(self) -> None:
        rig = Rig()
        start = rig.only("start")
        start["start"]["mediaFormat"]["encoding"] = "audio/opus"
        rig.message(start)
        assert rig.codes == ["unsupported_codec"]
        assert not rig.legs

    @virtual
    async def test_the_peer_goes_before_the_start(self) -> None:
        rig = Rig()
        rig.message(rig.only("connected"))
        rig.connection.socket_closed()
        await asyncio.sleep(60)
        assert rig.codes == ["closed_before_start"]
        assert not rig.socket.closes

    @virtual
    async def test_an_unreadable_frame(self) -> None:
        rig = Rig()
        rig.connection.unreadable("malformed_message", "a binary frame")
        rig.connection.unreadable("malformed_message", "again")
        assert rig.refused == [("malformed_message", "a binary frame")]
        assert rig.socket.closes == [(CLOSE_PROTOCOL_ERROR, "malformed_message")]


class TestFromTheCarrier:
    @virtual
    async def test_audio_becomes_frames(self) -> None:
        rig = Rig()
        rig.start()
        rig.media(b"\x01" * 100)
        rig.media(b"\x02" * 100)
        assert [len(frame) for frame in rig.owner.frames] == [160]

    @virtual
    async def test_keys_and_faults_are_passed_on(self) -> None:
        rig = Rig(TELNYX)
        rig.start()
        rig.message(rig.only("dtmf"))
        rig.message(rig.only("error"))
        assert len(rig.owner.digits) == 1
        assert len(rig.owner.faults) == 1
        assert not rig.socket.closes

    @every_carrier
    @virtual
    async def test_unknown_events_are_ignored(self, kind: CarrierKind) -> None:
        rig = Rig(kind)
        rig.start()
        rig.message({"event": "line-quality", "mos": 4})
        rig.media()
        assert not rig.refused

    @every_carrier
    @virtual
    async def test_the_carrier_ends_the_stream(self, kind: CarrierKind) -> None:
        rig = Rig(kind)
        rig.start()
        rig.message(rig.only("stop"))
        rig.connection.socket_closed()
        assert rig.owner.closed == ["caller_hangup"]
        assert rig.socket.closes == [(CLOSE_NORMAL, "")]
        assert not rig.refused

    @virtual
    async def test_the_socket_breaks(self) -> None:
        rig = Rig()
        rig.start()
        rig.connection.socket_closed()
        rig.connection.socket_closed()
        assert rig.owner.closed == ["carrier_disconnected"]
        assert not rig.leg.is_open

    @pytest.mark.parametrize(
        ("spoil", "code"),
        [
            (lambda rig: rig.start(), "duplicate_start"),
            (lambda rig: rig.message(b"{"), "malformed_message"),
            (
                lambda rig: rig.message(
                    {"event": "media", "media": {"track": "inbound", "payload": "?!"}}
                ),
                "malformed_payload",
            ),
            (lambda rig: rig.message(b"x" * 70_000), "message_too_large"),
        ],
    )
    @virtual
    async def test_breaking_the_protocol_ends_the_call(
        self, spoil: Callable[[Rig], None], code: str
    ) -> None:
        rig = Rig()
        rig.start()
        rig.media()
        spoil(rig)
        assert rig.owner.closed == [code]
        assert rig.codes == [code]
        assert rig.socket.closes == [(CLOSE_PROTOCOL_ERROR, code)]
        rig.media()
        rig.connection.socket_closed()
        assert rig.owner.closed == [code], "told once"
        assert len(rig.owner.frames) == 1

    @virtual
    async def test_nothing_is_heard_after_the_end(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.hang_up()
        rig.media()
        rig.mark("1:end")
        assert not rig.owner.frames
        assert rig.owner.closed == []

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 6), st.binary(max_size=60)), max_size=12))
    def test_any_messages_end_in_one_verdict(self, choices: list[tuple[int, bytes]]) -> None:
        async def main() -> None:
            rig = Rig()
            names = ["connected", "start", "media", "mark", "dtmf", "stop"]
            for choice, junk in choices:
                rig.message(rig.only(names[choice]) if choice < 6 else junk)
            rig.connection.socket_closed()
            assert len(rig.socket.closes) <= 1
            assert len(rig.owner.closed) == len(rig.legs)
            assert len(rig.refused) <= 1
            assert rig.legs or rig.refused

        run_virtual(main)


ENDS = {
    "stop": lambda rig: rig.message(rig.only("stop")),
    "closed": lambda rig: rig.connection.socket_closed(),
    "protocol": lambda rig: rig.message(b"{"),
}


class TestTheLastAudio:
    """What is held back when the stream ends is handed on before its owner hears of the end."""

    @pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
    @every_carrier
    @virtual
    async def test_a_part_of_a_frame(self, kind: CarrierKind, end: Callable[[Rig], None]) -> None:
        rig = Rig(kind)
        rig.start()
        rig.media(b"\x01" * 200)
        assert rig.owner.frames == [b"\x01" * 160]
        end(rig)
        assert rig.owner.frames[1:] == [b"\x01" * 40 + rig.leg.started.inbound.silence(15)]
        assert rig.owner.order[-2:] == ["frame", "closed"]
        rig.connection.socket_closed()
        assert len(rig.owner.frames) == 2

    @pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
    @virtual
    async def test_what_waits_for_a_missing_piece(self, end: Callable[[Rig], None]) -> None:
        rig = Rig(TELNYX)
        rig.start()
        for chunk in (1, 3, 4, 5):
            rig.numbered(chunk)
        assert rig.owner.frames == [bytes((1,)) * 160]
        end(rig)
        silence = rig.leg.started.inbound.silence(20)
        assert rig.owner.frames[1:] == [silence, *(bytes((n,)) * 160 for n in (3, 4, 5))]
        assert rig.owner.order[-1] == "closed"
        assert rig.leg.quality.inbound_gap_ms == 20

    @virtual
    async def test_a_carrier_that_does_not_read(self) -> None:
        rig = Rig()
        rig.start()
        rig.media(b"\x01" * 40)
        rig.socket.unread = UNREAD_LIMIT_BYTES + 1
        rig.leg.play(1, bytes(16_000))
        assert rig.owner.order == ["frame", "closed"]

    @virtual
    async def test_who_hangs_up_hears_no_more(self) -> None:
        rig = Rig()
        rig.start()
        rig.media(b"\x01" * 40)
        rig.leg.hang_up()
        assert rig.owner.order == []


class TestQuality:
    @virtual
    async def test_a_good_line(self) -> None:
        rig = Rig(TELNYX)
        rig.start()
        for chunk in range(1, 50):
            rig.numbered(chunk)
            await asyncio.sleep(0.02)
        rig.leg.play(1, bytes(1600))
        rig.leg.finish(1)
        await asyncio.sleep(1)
        assert rig.leg.quality == LineQuality()

    @virtual
    async def test_every_fault_is_counted(self) -> None:
        rig = Rig(TELNYX)
        rig.start()
        for chunk in (1, 3, 4, 5, 6, 2, 8, 7, 8):
            rig.numbered(chunk)
        quality = rig.leg.quality
        assert quality.inbound_gap_ms == 20
        assert quality.inbound_late_frames == 1
        assert quality.inbound_duplicate_frames == 1
        assert quality.inbound_reordered_frames == 1
        rig.numbered(9, timestamp_ms=5000)
        assert rig.leg.quality.inbound_gap_ms == 20 + 1000
        assert rig.leg.quality.inbound_unfilled_ms == 5000 - 180 - 1000
        rig.numbered(10, timestamp_ms=0)
        assert rig.leg.quality.inbound_bad_timestamps == 1

    @virtual
    async def test_audio_that_comes_too_fast(self) -> None:
        rig = Rig()
        rig.start()
        for _ in range(AHEAD_LIMIT_MS // 20 + 10):
            rig.media()
        assert len(rig.owner.frames) == AHEAD_LIMIT_MS // 20
        assert rig.leg.quality.inbound_dropped_ms == 200

    @virtual
    async def test_a_voice_that_falls_behind(self) -> None:
        rig = Rig()
        rig.start()
        for pause_s in (0.5, 0.3, 0.1):
            rig.leg.play(1, bytes(480))
            await asyncio.sleep(pause_s)
        rig.leg.play(1, bytes(480))
        quality = rig.leg.quality
        assert quality.outbound_late_ms_max == 440
        assert quality.outbound_gap_ms == 440 + 240 + 40


class TestToTheCarrier:
    @virtual
    async def test_audio_is_paced_and_marked(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.play(1, bytes(8000))
        sent = sum(size for _, size in rig.owner.sent)
        assert sent == 240 * 8 - 60 * 8, "a lead of 200 ms in chunks of 60"
        rig.leg.finish(1)
        await asyncio.sleep(2)
        assert sum(size for _, size in rig.owner.sent) == 8000
        assert rig.owner.of(ReplyStarted) == [ReplyStarted(1, 0)]
        rig.mark("1:end")
        assert [event.reply for event in rig.owner.of(ReplyPlayed)] == [1]

    @virtual
    async def test_what_was_sent_is_told_with_its_time(self) -> None:
        rig = Rig()
        rig.start()
        await asyncio.sleep(0.5)
        rig.leg.play(1, bytes(8000))
        rig.leg.finish(1)
        await asyncio.sleep(2)
        times = [at_ms for at_ms, _ in rig.owner.sent]
        assert times[0] == 500
        ends = [at_ms + size // 8 for at_ms, size in rig.owner.sent]
        assert times[1:] == ends[:-1], "without holes"

    @virtual
    async def test_a_mark_that_never_returns_does_not_hold_the_reply(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.play(1, bytes(1600))
        rig.leg.finish(1)
        await asyncio.sleep(2.3)
        assert [event.reply for event in rig.owner.of(ReplyPlayed)] == [1]

    @virtual
    async def test_clear_leaves_at_once_and_nothing_follows(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.play(1, bytes(16_000))
        await asyncio.sleep(0.3)
        rig.leg.clear(1)
        assert rig.socket.events[-1] == "clear"
        count = len(rig.socket.sent)
        await asyncio.sleep(10)
        assert len(rig.socket.sent) == count

    @virtual
    async def test_hanging_up_closes_the_socket_and_stops_the_audio(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.play(1, bytes(16_000))
        rig.leg.hang_up()
        rig.leg.hang_up()
        rig.leg.play(2, bytes(16_000))
        rig.leg.clear(1)
        await asyncio.sleep(10)
        assert rig.socket.closes == [(CLOSE_NORMAL, "call ended")]
        assert rig.owner.closed == [], "its owner knows"

    @virtual
    async def test_a_carrier_that_does_not_read_is_let_go(self) -> None:
        rig, neighbour = Rig(), Rig()
        rig.start()
        neighbour.start()
        rig.leg.play(1, bytes(16_000))
        rig.socket.unread = UNREAD_LIMIT_BYTES
        await asyncio.sleep(0.1)
        assert not rig.socket.closes
        rig.socket.unread += 1
        await asyncio.sleep(0.1)
        assert rig.socket.closes == [(CLOSE_POLICY, "not reading")]
        assert rig.owner.closed == ["carrier_not_reading"]
        assert not neighbour.socket.closes

    @virtual
    async def test_the_format_of_each_direction_is_kept(self) -> None:
        rig = Rig(TELNYX)
        start = rig.only("start")
        start["start"]["media_format"] = {"encoding": "L16", "sample_rate": 16000, "channels": 1}
        rig.message(start)
        assert rig.leg.started.inbound == L16_16K
        assert rig.leg.started.outbound == MULAW_8K
        rig.leg.play(1, bytes(160))
        payload = json.loads(rig.socket.sent[0])["media"]["payload"]
        assert len(payload) == 216

    @virtual
    async def test_an_idle_leg_keeps_no_timer_running(self) -> None:
        rig = Rig()
        rig.start()
        rig.leg.play(1, bytes(1600))
        rig.leg.finish(1)
        await asyncio.sleep(0.3)
        rig.mark("1:end")
        await asyncio.sleep(10)
        loop: Any = asyncio.get_running_loop()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]
