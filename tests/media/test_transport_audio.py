"""One socket, one codec, one leg: audio to the carrier, the last that comes from it, and what the
line did to both."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from media.audio.format import L16_16K, MULAW_8K
from media.carriers import CarrierKind
from media.carriers.telnyx import KIND as TELNYX
from media.line_quality import LineQuality
from media.playout_events import ReplyPlayed, ReplyStarted
from media.transport import AHEAD_LIMIT_MS, CLOSE_NORMAL, CLOSE_POLICY, UNREAD_LIMIT_BYTES
from tests.support.connection_rig import Rig, every_carrier, virtual

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
