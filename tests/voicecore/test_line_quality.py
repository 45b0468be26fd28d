"""How the line was is recorded once, at the end of every call, whatever ended it."""

import asyncio
import base64
from collections.abc import Callable

import pytest
import structlog

from media.line_quality import LineQuality
from media.transport import AHEAD_LIMIT_MS
from tests.support.sim_call import FRAME_MS, SILENCE, House, SimCall, house
from tests.support.virtual_loop import run_virtual


def breaks(home: House, call: SimCall) -> None:
    home.sessions[0]._crash(ZeroDivisionError("a bug"))


ENDS: dict[str, Callable[[House, SimCall], object]] = {
    "caller_hangup": lambda home, call: call.hangs_up(),
    "carrier_disconnected": lambda home, call: call.drops(),
    "malformed_message": lambda home, call: call.message(b"{"),
    "drain": lambda home, call: home.sessions[0].request_end("drain"),
    "internal_error": breaks,
}


@pytest.mark.parametrize("reason", ENDS)
def test_it_comes_right_before_the_end(reason: str) -> None:
    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.wait_ms(1000)
            ENDS[reason](home, call)
            await call.until_over()
        types = [type_ for type_, _ in home.events]
        assert types[-2:] == ["line_quality", "call_ended"]
        assert types.count("line_quality") == 1
        assert home.of("call_ended") == [{"reason": reason}]
        (quality,) = home.of("line_quality")
        assert set(quality) == set(LineQuality.__struct_fields__)
        assert set(quality.values()) == {0}, "nothing was wrong with this one"

    run_virtual(main)


def test_a_call_that_is_not_waited_for_has_it_too() -> None:
    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.wait_ms(1000)
            await home.calls.drain(0)
            await call.until_over()
        types = [type_ for type_, _ in home.events]
        assert types.count("line_quality") == types.count("call_ended") == 1
        assert types.index("line_quality") == types.index("call_ended") - 1

    run_virtual(main)


def flood(call: SimCall, frames: int) -> None:
    for _ in range(frames):
        call._ticks += 1
        call.message(call._side.media(base64.b64encode(SILENCE), call._ticks * FRAME_MS))


def test_audio_that_comes_too_fast_is_warned_of_once() -> None:
    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.wait_ms(1000)
            with structlog.testing.capture_logs() as logs:
                for _ in range(3):
                    flood(call, AHEAD_LIMIT_MS // FRAME_MS)
                    await asyncio.sleep(0)
                call.hangs_up()
                await call.until_over()
        (quality,) = home.of("line_quality")
        assert 9000 <= quality["inbound_dropped_ms"] <= 11_000
        (warning,) = [log for log in logs if log["event"] == "audio came too fast"]
        assert warning["log_level"] == "warning"
        assert warning["dropped_ms"] == quality["inbound_dropped_ms"]
        assert warning["carrier"] == "twilio"

    run_virtual(main)
