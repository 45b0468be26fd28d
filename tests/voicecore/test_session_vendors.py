"""Whole calls whose vendors misbehave: the call gets over it, or ends all the same."""

import asyncio
import contextlib
from typing import Any

import pytest
import structlog

from tests.support.sim_call import REPLY, assert_ended_well, faulty, first_turn, house
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone


class TestStarting:
    @pytest.mark.parametrize("kind", ["stt", "llm", "tts"])
    @pytest.mark.parametrize(
        "faults", [{"fail_at": "start"}, {"fail_at": "open"}, {"never_answers": True}]
    )
    def test_a_vendor_that_cannot_work_is_named(self, kind: str, faults: dict[str, Any]) -> None:
        async def main() -> None:
            vendor = {"vendor": "scripted", "settings": {"faults": faults}}
            async with house(**{kind: vendor}):
                pass

        if kind == "stt" and faults != {"fail_at": "start"}:
            run_virtual(main)  # found at the first call: its stream is not tried
            return
        with pytest.raises(VendorError):
            run_virtual(main)


class TestVendorsThatMisbehave:
    @pytest.mark.parametrize("kind", ["stt", "llm", "tts"])
    def test_one_failure_is_got_over(self, kind: str) -> None:
        async def main() -> None:
            async with house() as home:
                faults = {"fail_at": "open", "first": 1, "code": "disconnected"}
                setattr(home.agent, kind, faulty(kind, faults=faults))
                call = home.ring()
                for _ in range(2):
                    asked_ms = await first_turn(call)
                    await call.until_audible(after_ms=asked_ms, within_ms=20_000)
                    await call.until_quiet(quiet_ms=800)
                call.hangs_up()
                await call.until_over()
            assert home.of("vendor_failed")
            assert home.of("agent_turn")[-1]["heard_text"] == REPLY
            assert_ended_well(home, "caller_hangup")

        run_virtual(main)

    def test_words_of_a_voice_that_began_again_come_once(self) -> None:
        async def main() -> None:
            async with house() as home:
                faults = {"fail_at": "first_output", "first": 1, "code": "disconnected"}
                home.agent.tts = faulty("tts", faults=faults)
                call = home.ring()
                await first_turn(call)
                await call.wait_ms(12_000)
                call.hangs_up()
                await call.until_over()
            words = home.of("agent_turn")[1]["words"]
            assert " ".join(word.text for word in words) == REPLY

        run_virtual(main)

    def test_a_voice_that_was_given_up_is_not_heard_beside_the_new_one(self) -> None:
        """The first voice answers late, and goes on after it was cancelled."""
        faults = {"delay_ms": 6100, "first": 1, "misbehave_after_cancel": True}

        async def main() -> None:
            async with house() as home:
                home.agent.tts = faulty("tts", faults=faults)
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=20_000)
                await call.until_quiet(quiet_ms=3000)
                call.hangs_up()
                await call.until_over()
            reply = home.of("agent_turn")[1]
            assert reply["played_ms"] == 100 * len(REPLY.split())

        run_virtual(main)


def test_a_vendor_that_will_not_be_cancelled_does_not_hold_the_call() -> None:
    class StubbornLlm(ScriptedLlm):
        released: asyncio.Event

        async def stream(self, request: Any) -> Any:
            while not self.released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.released.wait()
            yield LlmDone()

    async def main() -> None:
        async with house() as home:
            stubborn = StubbornLlm.__new__(StubbornLlm)
            stubborn.name, stubborn.released = "stubborn", asyncio.Event()
            home.agent.llm = stubborn
            call = home.ring()
            await first_turn(call)
            await call.wait_ms(1500)
            call.hangs_up()
            with structlog.testing.capture_logs() as logs:
                await call.until_over(within_ms=3000)
            assert [log["event"] for log in logs] == ["a task does not end"]
            assert "_think" in logs[0]["task"]
            stubborn.released.set()
            await call.wait_ms(20)
        assert_ended_well(home, "caller_hangup")

    run_virtual(main)
