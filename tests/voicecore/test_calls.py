"""How many calls may live, and how they end."""

import asyncio
from typing import Any

import pytest
import structlog

from media.transport import Leg, StreamRefused
from tests.support.sim_call import House, SimCall, house
from tests.support.virtual_loop import run_virtual
from voicecore.calls import Calls


async def greeted(home: House) -> SimCall:
    call = home.ring()
    await call.until_audible(after_ms=0, within_ms=2000)
    return call


class TestAdmission:
    def test_calls_are_taken_up_to_the_limit(self) -> None:
        async def main() -> None:
            async with house(limit=2) as home:
                first, second = await greeted(home), await greeted(home)
                assert not home.calls.has_room
                third = home.ring()
                assert third.closes == [(1008, "busy")]
                assert home.refused == ["busy"]
                first.hangs_up()
                await first.wait_ms(20)
                assert home.calls.has_room
                fourth = await greeted(home)
                for call in (second, fourth):
                    call.hangs_up()
                    await call.wait_ms(20)
                assert len(home.calls) == 0
            assert home.ended == ["caller_hangup"] * 3

        run_virtual(main)

    def test_an_answer_that_refuses_leaves_nothing(self) -> None:
        async def main() -> None:
            def refuse(leg: Leg) -> Any:
                raise StreamRefused("bad_token")

            calls = Calls(refuse, limit=1)
            with pytest.raises(StreamRefused, match="bad_token"):
                calls.take(None)  # type: ignore[arg-type]
            assert len(calls) == 0
            assert calls.has_room

        run_virtual(main)

    def test_a_call_whose_end_fails_is_logged_and_gone(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = await greeted(home)

                def close() -> None:
                    raise ZeroDivisionError("a bug")

                home.sessions[0]._record.close = close  # type: ignore[method-assign]
                with structlog.testing.capture_logs() as logs:
                    call.hangs_up()
                    await call.until_over(within_ms=1000)
                assert [log["event"] for log in logs] == ["call task failed"]
                other = await greeted(home)
                other.hangs_up()
                await other.until_over()

        run_virtual(main)


class TestDrain:
    def test_nobody_is_let_in_any_more(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = await greeted(home)
                drain = asyncio.create_task(home.calls.drain(60))
                await call.wait_ms(20)
                assert home.calls.draining
                late = home.ring()
                assert late.closes == [(1008, "draining")]
                call.hangs_up()
                await drain
            assert home.ended == ["caller_hangup"]

        run_virtual(main)

    def test_it_is_over_at_once_where_nobody_calls(self) -> None:
        async def main() -> None:
            async with house() as home:
                before_ms = home.clock.now_ms()
                await home.calls.drain(600)
                assert home.clock.now_ms() == before_ms

        run_virtual(main)

    def test_who_stays_is_asked_to_go_and_hears_goodbye(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = await greeted(home)
                before_ms = call.now_ms
                await home.calls.drain(2)
                assert 2000 <= call.now_ms - before_ms < 6000
            assert home.ended == ["drain"]
            assert home.of("agent_turn")[-1]["heard_text"] == "Goodbye."

        run_virtual(main)

    def test_who_cannot_be_asked_is_cut(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = await greeted(home)
                home.sessions[0].request_end = lambda reason: None  # type: ignore[method-assign]
                before_ms = call.now_ms
                await home.calls.drain(1, goodbye_s=2)
                assert 3000 <= call.now_ms - before_ms < 3500
                await call.wait_ms(40)
                assert call.closes
            assert home.ended == ["cancelled"]

        run_virtual(main)

    def test_many_end_together(self) -> None:
        async def main() -> None:
            async with house(limit=20) as home:
                for _ in range(20):
                    home.ring()
                await asyncio.sleep(0.5)
                await home.calls.drain(0.1)
            assert home.ended == ["drain"] * 20

        run_virtual(main)
