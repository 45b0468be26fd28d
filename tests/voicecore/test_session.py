"""Whole calls on virtual time, with scripted vendors and a simulated line."""

import asyncio
import contextlib
from typing import Any

import pytest
import structlog

from tests.support.sim_call import REPLY, SimCall, faulty, house
from tests.support.virtual_loop import run_virtual
from voicecore.adapters.scripted_llm import ScriptedLlm
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone
from voicecore.providers.stt import SttInterim
from voicecore.session import Session
from voicecore.speech_cache import SpeechCache
from voicecore.spoken import FixedPhrases, SpokenSentences
from voicecore.turns import inputs
from voicecore.turns.machine import TurnMachine

SAYS_MS = 1000


def virtual(main: Any) -> Any:
    run_virtual(main)


async def first_turn(call: SimCall) -> int:
    """Hear the greeting, ask; returns when the caller stopped."""
    await call.until_audible(after_ms=0, within_ms=2000)
    await call.until_quiet()
    call.speaks(SAYS_MS)
    await call.wait_ms(SAYS_MS)
    return call.now_ms


def assert_ended_well(house_: Any, *reasons: str) -> None:
    (ended,) = house_.of("call_ended")
    assert ended["reason"] in reasons, ended
    assert house_.ended == [ended["reason"]]
    replies = [turn["reply"] for turn in house_.of("agent_turn")]
    assert len(replies) == len(set(replies))


class TestTurns:
    def test_greeting_and_a_whole_turn(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                begun_ms = await call.until_audible(after_ms=0, within_ms=2000)
                assert begun_ms <= 100, "the greeting is spoken beforehand"
                await call.until_quiet()
                call.speaks(SAYS_MS)
                await call.wait_ms(SAYS_MS)
                asked_ms = call.now_ms
                answered_ms = await call.until_audible(after_ms=asked_ms, within_ms=5000)
                assert answered_ms - asked_ms < 1200
                await call.until_quiet(quiet_ms=1000)
                call.hangs_up()
                await call.until_over()
                assert not call.violations
                assert not call.line.late
            assert [turn["text"] for turn in home.of("caller_turn")] == ["What are your hours?"]
            assert [turn["heard_text"] for turn in home.of("agent_turn")] == ["Hello there.", REPLY]
            assert [turn["ended"] for turn in home.of("agent_turn")] == ["played", "played"]
            assert_ended_well(home, "caller_hangup")

        virtual(main)

    def test_what_was_played_is_what_the_line_heard(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await first_turn(call)
                await call.until_quiet(quiet_ms=2500)
                call.hangs_up()
                await call.until_over()
            spoken_ms = sum(turn["played_ms"] for turn in home.of("agent_turn"))
            assert abs(call.line.heard_us // 1000 - spoken_ms) <= 20

        virtual(main)

    def test_interruption_silences_the_line_within_a_frame_of_its_decision(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sustained: list[float] = []
        original = TurnMachine.receive

        def receive(self: TurnMachine, now_ms: int, event: inputs.Input) -> Any:
            if isinstance(event, inputs.SpeechSustained):
                sustained.append(asyncio.get_running_loop().time())
            return original(self, now_ms, event)

        monkeypatch.setattr(TurnMachine, "receive", receive)

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                await call.wait_ms(600)
                spoke_ms = call.now_ms
                sustained.clear()
                call.speaks(800)
                await call.wait_ms(800)
                (cleared_ms,) = call.clears_ms
                decided_ms = round((sustained[0] - call._started_s) * 1000)
                assert cleared_ms - decided_ms <= 20
                assert 160 <= cleared_ms - spoke_ms <= 310
                assert not any(span.start_us > cleared_ms * 1000 for span in call.line.audible), (
                    "nothing of the reply follows"
                )
                await call.until_audible(after_ms=cleared_ms + 500, within_ms=5000)
                call.hangs_up()
                await call.until_over()
            cut = home.of("agent_turn")[1]
            assert cut["ended"] == "interrupted"
            assert 0 < len(cut["heard_text"]) < len(REPLY)
            assert abs(cut["played_ms"] - (cleared_ms - cut["start_ms"])) <= 40

        virtual(main)

    def test_a_hang_up_that_waits_beside_a_late_timer_goes_first(self) -> None:
        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                await call.wait_ms(600)
                call.speaks(300)
                while not home.of("agent_paused"):
                    await call.wait_ms(20)

                def busy() -> None:
                    loop.jumping.now_s += 6.0  # the verdict's timer is due in the same turn

                loop.call_soon(busy)
                loop.call_later(0.001, call.hangs_up)
                await call.until_over()
            assert not home.of("overlap_judged")
            assert not home.of("agent_resumed")
            assert home.of("agent_turn")[1]["ended"] == "call_ended"
            assert_ended_well(home, "caller_hangup")

        virtual(main)

    def test_a_murmur_pauses_the_agent_and_loses_nothing(self) -> None:
        stt = {"vendor": "scripted", "settings": {"utterances": ["What are your hours?", "Mm-hm."]}}

        async def main() -> None:
            async with house(stt=stt) as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                begun_ms = await call.until_audible(after_ms=asked_ms, within_ms=5000)
                await call.wait_ms(400)
                call.speaks(400)
                await call.wait_ms(400)
                (cleared_ms,) = call.clears_ms
                went_on_ms = await call.until_audible(after_ms=cleared_ms + 20, within_ms=1000)
                assert went_on_ms - cleared_ms <= 700
                await call.until_quiet(quiet_ms=1000)
                spans = [s for s in call.line.audible if s.start_us >= (begun_ms - 60) * 1000]
                heard_ms = sum(span.end_us - span.start_us for span in spans) // 1000
                assert 0 <= heard_ms - 100 * len(REPLY.split()) <= 40, "a frame or two twice"
                call.hangs_up()
                await call.until_over()
                assert not call.violations
            (verdict,) = home.of("overlap_judged")
            assert verdict["verdict"] == "backchannel"
            turn = home.of("agent_turn")[1]
            assert (turn["heard_text"], turn["ended"]) == (REPLY, "played")

        virtual(main)

    def test_the_caller_hangs_up_in_mid_reply(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                call.drops()
                await call.until_over()
            assert_ended_well(home, "carrier_disconnected")

        virtual(main)

    @pytest.mark.parametrize("after_ms", [0, 1, 20, 50, 130, 1500, 2250, 2600])
    def test_hanging_up_at_any_time_leaves_nothing(self, after_ms: int) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                call.speaks(SAYS_MS)
                if after_ms:
                    await call.wait_ms(after_ms)
                call.hangs_up()
                await call.until_over()
            assert_ended_well(home, "caller_hangup")
            assert home.of("call_started")

        virtual(main)

    def test_nobody_says_anything(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_over()
            asked = [turn["kind"] for turn in home.of("agent_turn")]
            assert asked == ["greeting", "prompt", "prompt", "farewell"]
            assert_ended_well(home, "silence")

        virtual(main)

    def test_keys_are_a_turn(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_audible(after_ms=0, within_ms=2000)
                await call.until_quiet()
                call.presses("12#")
                await call.until_audible(after_ms=call.now_ms, within_ms=3000)
                call.hangs_up()
                await call.until_over()
            assert [turn["text"] for turn in home.of("caller_turn")] == ["DTMF: 12"]

        virtual(main)


HTTP_TOOL = {
    "type": "http",
    "name": "lookup",
    "description": "Looks something up.",
    "method": "GET",
    "url": "https://example.com/lookup",
    "parameters": {"type": "object", "properties": {}},
}


class TestTools:
    def test_an_http_tool_bridges_its_wait(self) -> None:
        llm = {
            "vendor": "scripted",
            "settings": {"rules": [{"match": "hours", "tool": {"name": "lookup"}}]},
        }

        async def main() -> None:
            async with house(llm=llm, tools=[HTTP_TOOL]) as home:
                home.tools.delay_s = 3.0
                call = home.ring()
                asked_ms = await first_turn(call)
                heard_ms = await call.until_audible(after_ms=asked_ms, within_ms=2000)
                assert heard_ms - asked_ms < 1500
                await call.until_quiet(quiet_ms=4000)
                call.hangs_up()
                await call.until_over()
            assert len(home.tools.calls) == 1
            spoken = home.of("agent_turn")[-1]["heard_text"]
            assert spoken == 'One moment, please. It says: {"open": true}'

        virtual(main)

    def test_tones_are_heard_and_the_reply_goes_on(self) -> None:
        tool = {"name": "send_dtmf", "arguments": {"digits": "12"}}
        llm = {
            "vendor": "scripted",
            "settings": {
                "rules": [{"match": "hours", "reply": "I press.", "tool": tool, "after": "Done."}]
            },
        }

        async def main() -> None:
            async with house(llm=llm, tools=["send_dtmf"]) as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=3000)
                await call.until_quiet(quiet_ms=1500)
                call.speaks(SAYS_MS)
                await call.wait_ms(4000)
                call.hangs_up()
                await call.until_over()
            turns = home.of("agent_turn")
            assert turns[1]["heard_text"] == "I press. Done."
            i, press, done = turns[1]["words"]
            assert (i.start_ms, press.end_ms) == (0, 200)
            tones_ms = done.start_ms - press.end_ms
            assert 200 < tones_ms < 500, "the tones lie between what is said before and after"
            assert turns[1]["played_ms"] == 300 + tones_ms
            assert turns[1]["ended"] == "played"
            assert len(turns) >= 3, "the next turn is answered too"

        virtual(main)

    def test_the_end_does_not_wait_for_a_tool(self) -> None:
        llm = {
            "vendor": "scripted",
            "settings": {"rules": [{"match": "hours", "tool": {"name": "lookup"}}]},
        }

        async def main() -> None:
            async with house(llm=llm, tools=[HTTP_TOOL]) as home:
                home.tools.delay_s = 1000.0
                call = home.ring()
                await first_turn(call)
                await call.wait_ms(2000)
                call.hangs_up()
                await call.until_over(within_ms=100)
            assert_ended_well(home, "caller_hangup")

        virtual(main)


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

        virtual(main)

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

        virtual(main)

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

        virtual(main)


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

        virtual(main)

    def test_a_bug_at_a_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def on_deadline(self: TurnMachine, now_ms: int) -> Any:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(TurnMachine, "on_deadline", on_deadline)

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_over(within_ms=20_000)
            assert_ended_well(home, "internal_error")

        virtual(main)

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

        virtual(main)

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

        virtual(main)

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

        virtual(main)

    def test_a_flood_ends_the_call(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.wait_ms(100)
                for _ in range(5000):
                    home.sessions[0].on_dtmf("1")
                await call.until_over(within_ms=20_000)
            assert_ended_well(home, "inbox_overflow")

        virtual(main)

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

        virtual(main)


class TestRaces:
    """Things that happen within one turn of the loop."""

    @pytest.mark.parametrize("first", ["audio", "interruption"])
    def test_an_interruption_in_the_moment_of_the_first_audio(self, first: str) -> None:
        async def main() -> None:
            async with house(greeting="One two three four five six seven eight nine ten.") as home:
                # The greeting is spoken live.
                home.agent.spoken = SpokenSentences("", SpeechCache(), FixedPhrases(()))
                call = home.ring()
                session: Session = home.sessions[0]
                original = session.leg.play
                done = False

                def play(reply: int, audio: bytes) -> None:
                    nonlocal done
                    if done:
                        original(reply, audio)
                        return
                    done = True
                    events = [
                        inputs.SpeechStarted(session.leg.now_ms()),
                        inputs.SpeechSustained(300),
                        inputs.Heard(SttInterim("stop")),
                    ]
                    if first == "interruption":
                        session._inbox.extend(events)
                    original(reply, audio)
                    if first == "audio":
                        session._inbox.extend(events)

                session.leg.play = play  # type: ignore[method-assign]
                await call.wait_ms(1000)
                assert done
                session._post(inputs.SpeechStopped(session.leg.now_ms()))
                before_ms = call.now_ms
                await call.wait_ms(1000)
                assert not call.audible_after(before_ms - 500), "nothing of the greeting goes on"
                call.speaks(SAYS_MS)
                await call.wait_ms(SAYS_MS)
                await call.until_audible(after_ms=call.now_ms, within_ms=5000)
                call.hangs_up()
                await call.until_over()

        virtual(main)

    @pytest.mark.parametrize("turns_of_the_loop", range(5))
    def test_an_end_in_the_moment_of_the_beginning(self, turns_of_the_loop: int) -> None:
        """Somebody wants the call to end just when its greeting begins to play."""

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                for _ in range(turns_of_the_loop):
                    await asyncio.sleep(0)
                home.sessions[0].request_end("drain")
                await call.until_over()
            goodbye_ms = 100
            heard_ms = call.line.heard_us // 1000
            assert heard_ms <= goodbye_ms + 40, "only the goodbye is heard"
            assert_ended_well(home, "drain")
            assert home.of("agent_turn")[-1]["heard_text"] == "Goodbye."

        virtual(main)


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
            virtual(main)  # found at the first call: its stream is not tried
            return
        with pytest.raises(VendorError):
            virtual(main)


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

    virtual(main)


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

    virtual(main)


def test_the_line_may_fall_silent() -> None:
    """A carrier that sends no audio at all does not hold the call for ever."""

    async def main() -> None:
        async with house() as home:
            call = home.ring()
            await call.wait_ms(200)
            call._tick = lambda: None  # type: ignore[method-assign]
            await call.until_over(within_ms=120_000)
        assert_ended_well(home, "silence")

    virtual(main)


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

    virtual(main)
