"""Whole calls on virtual time, with scripted vendors and a simulated line."""

import asyncio
from typing import Any

import pytest

from media.playout import Playout
from tests.support.sim_call import (
    REPLY,
    SAYS_MS,
    assert_ended_well,
    first_turn,
    house,
    while_busy,
)
from tests.support.virtual_loop import run_virtual
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.session import Session
from voicecore.speech_cache import SpeechCache
from voicecore.spoken import FixedPhrases, SpokenSentences
from voicecore.turns import inputs, outputs
from voicecore.turns.machine import TurnMachine


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

        run_virtual(main)

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

        run_virtual(main)

    def test_the_machine_is_told_what_silence_a_pause_fell_into(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[inputs.ReplyPaused] = []
        original = TurnMachine.receive

        def receive(self: TurnMachine, now_ms: int, event: inputs.Input) -> Any:
            if isinstance(event, inputs.ReplyPaused):
                told.append(event)
            return original(self, now_ms, event)

        monkeypatch.setattr(TurnMachine, "receive", receive)
        monkeypatch.setattr(Playout, "quiet_ms", lambda self, reply: 70 + reply)

        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                call.speaks(300)
                await call.wait_ms(1500)
                call.hangs_up()
                await call.until_over()
            (paused,) = home.of("agent_paused")
            assert told == [inputs.ReplyPaused(paused["reply"], 70 + paused["reply"])]

        run_virtual(main)

    @pytest.mark.parametrize(
        ("interruption", "at_least_ms", "at_most_ms"),
        [({"overlap_ms": 0}, 160, 310), ({}, 340, 490)],
    )
    def test_interruption_silences_the_line_within_a_frame_of_its_decision(
        self,
        interruption: dict[str, int],
        at_least_ms: int,
        at_most_ms: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        decided: list[float] = []
        original = TurnMachine._drain

        def drain(self: TurnMachine) -> list[outputs.Output]:
            out = original(self)
            if any(isinstance(output, outputs.PauseReply) for output in out):
                decided.append(asyncio.get_running_loop().time())
            return out

        monkeypatch.setattr(TurnMachine, "_drain", drain)

        async def main() -> None:
            async with house(turn_taking={"interruption": interruption}) as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                await call.wait_ms(600)
                spoke_ms = call.now_ms
                assert not decided
                call.speaks(800)
                await call.wait_ms(800)
                (cleared_ms,) = call.clears_ms
                decided_ms = round((decided[0] - call._started_s) * 1000)
                assert cleared_ms - decided_ms <= 20
                assert at_least_ms <= cleared_ms - spoke_ms <= at_most_ms
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

        run_virtual(main)

    def test_a_hang_up_that_waits_beside_a_late_timer_goes_first(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                await call.wait_ms(600)
                call.speaks(300)
                while not home.of("agent_paused"):
                    await call.wait_ms(20)
                while_busy(6.0, call.hangs_up)  # the verdict's timer is due in the same turn
                await call.until_over()
            assert not home.of("overlap_judged")
            assert not home.of("agent_resumed")
            assert home.of("agent_turn")[1]["ended"] == "call_ended"
            assert_ended_well(home, "caller_hangup")

        run_virtual(main)

    def test_a_text_that_waits_beside_a_late_timer_goes_first(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_audible(after_ms=0, within_ms=2000)
                await call.until_quiet()
                session = home.sessions[0]
                now_ms = session.leg.now_ms()
                session._post(inputs.SpeechStarted(now_ms))
                session._post(inputs.Heard(SttInterim("One.")))
                session._hearing.finalize = lambda: None  # type: ignore[method-assign]
                session._post(inputs.SpeechStopped(now_ms))
                await call.wait_ms(100)
                late = inputs.Heard(SttFinal("One. Two.", flushed=True))
                while_busy(3.0, lambda: session._post(late))  # so is the text's own timer
                await call.wait_ms(3000)
                call.hangs_up()
                await call.until_over()
            assert [turn["text"] for turn in home.of("caller_turn")] == ["One. Two."]

        run_virtual(main)

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

        run_virtual(main)

    def test_the_caller_hangs_up_in_mid_reply(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                asked_ms = await first_turn(call)
                await call.until_audible(after_ms=asked_ms, within_ms=5000)
                call.drops()
                await call.until_over()
            assert_ended_well(home, "carrier_disconnected")

        run_virtual(main)

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

        run_virtual(main)

    def test_nobody_says_anything(self) -> None:
        async def main() -> None:
            async with house() as home:
                call = home.ring()
                await call.until_over()
            asked = [turn["kind"] for turn in home.of("agent_turn")]
            assert asked == ["greeting", "prompt", "prompt", "farewell"]
            assert_ended_well(home, "silence")

        run_virtual(main)

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

        run_virtual(main)


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

        run_virtual(main)

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

        run_virtual(main)

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

        run_virtual(main)


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
                session._post(inputs.Heard(SttFinal("stop")))
                before_ms = call.now_ms
                await call.wait_ms(300)
                assert not call.audible_after(before_ms - 500), "nothing of the greeting goes on"
                cut = home.of("agent_turn")[0]
                assert cut["ended"] in ("interrupted", "caller_went_on")
                assert not cut["heard_text"]
                await call.until_audible(after_ms=call.now_ms, within_ms=5000)
                await call.until_quiet()
                call.speaks(SAYS_MS)
                await call.wait_ms(SAYS_MS)
                await call.until_audible(after_ms=call.now_ms, within_ms=5000)
                call.hangs_up()
                await call.until_over()

        run_virtual(main)

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

        run_virtual(main)
