"""Whole calls that a bug, a flood, a cancellation or a silent line ends."""

from typing import Any

import pytest
import structlog

from tests.support.sim_call import SAYS_MS, assert_ended_well, first_turn, house
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.turns import inputs
from voicecore.turns.machine import TurnMachine


class TestBugs:
    def broken(self, monkeypatch: pytest.MonkeyPatch, event: type[Any]) -> None:
        original = TurnMachine.receive
        broken_machines: list[TurnMachine] = []

        def receive(self: TurnMachine, now_ms: int, item: inputs.Input) -> Any:
            if isinstance(item, event) and (not broken_machines or self in broken_machines):
                broken_machines.append(self)
                raise ZeroDivisionError("a bug")
            return original(self, now_ms, item)

        monkeypatch.setattr(TurnMachine, "receive", receive)

    @pytest.mark.parametrize(
        "event", [inputs.CallStarted, inputs.SpeechStopped, inputs.Thought, inputs.AudioCame]
    )
    def test_a_bug_ends_that_call_alone_with_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, event: type[Any]
    ) -> None:
        self.broken(monkeypatch, event)

        async def main() -> None:
            async with house() as home:
                call, neighbour = home.ring(), home.ring()
                for one in (call, neighbour):
                    one.speaks(0)
                await call.wait_ms(1500)
                call.speaks(SAYS_MS)
                with structlog.testing.capture_logs() as logs:
                    await call.wait_ms(15_000)
                assert call.closes == [(1000, "call ended")]
                fallback_ms = 100 * len(home.agent.conduct.turns.phrases.fallback.split())
                assert call.line.heard_us // 1000 >= fallback_ms
                assert home.ended == ["internal_error"]
                if event is not inputs.CallStarted and event is not inputs.AudioCame:
                    (logged,) = [log for log in logs if log["log_level"] == "error"]
                    assert logged["event"] == "call failed by a bug"
                    assert logged["call_id"].startswith("CA")
                asked_ms = neighbour.now_ms
                neighbour.speaks(SAYS_MS)
                await neighbour.wait_ms(SAYS_MS)
                await neighbour.until_audible(after_ms=asked_ms + SAYS_MS, within_ms=4000)
                neighbour.hangs_up()
                await neighbour.until_over()
            assert sorted(home.ended) == ["caller_hangup", "internal_error"]
            assert {"reason": "internal_error"} in home.of("call_ended")

        run_virtual(main)

    def test_a_bug_at_a_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def on_deadline(self: TurnMachine, now_ms: int) -> Any:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(TurnMachine, "on_deadline", on_deadline)

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_over(within_ms=20_000)
            assert_ended_well(home, "internal_error")

        run_virtual(main)

    def test_a_bug_in_a_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.wait_ms(1500)
                session = home.sessions[0]

                def frame(now_ms: int, frame: bytes) -> None:
                    raise ZeroDivisionError("a bug")

                monkeypatch.setattr(session._hearing, "frame", frame)
                await call.until_over(within_ms=20_000)
                assert call.closes == [(1000, "call ended")]
            assert_ended_well(home, "internal_error")

        run_virtual(main)

    def test_a_bug_in_a_vendor(self) -> None:
        class BrokenLlm(ScriptedLlm):
            def stream(self, request: Any) -> Any:
                raise KeyError("choices")

        async def main() -> None:
            async with house() as home:
                broken = BrokenLlm.__new__(BrokenLlm)
                broken.name = "broken"
                home.agent.llm = broken
                call = home.ring()
                await first_turn(call)
                await call.until_over(within_ms=20_000)
            assert_ended_well(home, "internal_error")

        run_virtual(main)

    def test_a_voice_that_cannot_be_dropped_does_not_keep_the_end_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)

                def broken(*args: Any) -> None:
                    raise KeyError("piece")

                monkeypatch.setattr(home.sessions[0]._saying, "drop", broken)
                home.sessions[0]._crash(ZeroDivisionError("a bug"))
                await call.until_over(within_ms=20_000)
                assert call.closes == [(1000, "call ended")]
            assert_ended_well(home, "internal_error")
            assert home.of("agent_turn")[-1]["ended"] == "call_ended"
            assert home.of("turn_latency")

        run_virtual(main)

    def test_a_flood_ends_the_call(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.wait_ms(100)
                for _ in range(5000):
                    home.sessions[0].on_dtmf("1")
                await call.until_over(within_ms=20_000)
            assert_ended_well(home, "inbox_overflow")

        run_virtual(main)

    def test_the_caller_goes_during_the_last_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken(monkeypatch, inputs.Thought)

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await first_turn(call)
                await call.wait_ms(1500)
                call.drops()
                await call.until_over()
            assert_ended_well(home, "internal_error")

        run_virtual(main)


def test_cancelling_a_call_releases_everything() -> None:
    async def main() -> None:
        async with house() as home:
            call = home.ring()
            asked_ms = await first_turn(call)
            await call.until_audible(after_ms=asked_ms, within_ms=5000)
            (task,) = home.calls._live
            task.cancel()
            await call.until_over()
            assert call.closes == [(1000, "call ended")]
        assert home.ended == ["cancelled"]
        assert home.of("call_ended") == [{"reason": "cancelled"}]

    run_virtual(main)


def test_the_line_may_fall_silent() -> None:
    """A carrier that sends no audio at all does not hold the call for ever."""

    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.wait_ms(200)
            call._tick = lambda: None  # type: ignore[method-assign]
            await call.until_over(within_ms=120_000)
        assert_ended_well(home, "silence")

    run_virtual(main)


def test_the_line_may_fall_silent_in_mid_speech() -> None:
    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.until_audible(after_ms=0, within_ms=2000)
            await call.until_quiet()
            call.speaks(2000)
            await call.wait_ms(1000)
            call._tick = lambda: None  # type: ignore[method-assign]
            try:
                await call.until_over(within_ms=120_000)
            finally:
                call.drops()
                await call.wait_ms(100)
        assert_ended_well(home, "silence")

    run_virtual(main)
