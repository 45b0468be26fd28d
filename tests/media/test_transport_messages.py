"""One socket, one codec, one leg: what a carrier's messages come to, before the stream has started
and until it ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.carriers import CarrierKind
from media.carriers.telnyx import KIND as TELNYX
from media.carriers.twilio import KIND as TWILIO
from media.transport import CLOSE_NORMAL, CLOSE_POLICY, CLOSE_PROTOCOL_ERROR
from tests.support.connection_rig import Rig, every_carrier, virtual
from tests.support.virtual_loop import run_virtual


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
