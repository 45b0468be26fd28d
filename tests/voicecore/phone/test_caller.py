from collections.abc import Callable, Iterable

import pytest

from media.audio.format import L16_8K, MULAW_8K
from tests.support.phone_agent import tone
from voicecore.phone.caller import Caller, EndCall, PressKey, SaidFinished, SaidStarted
from voicecore.phone.script import utterances
from voicecore.phone.script_file import load_script
from voicecore.phone.sounds import Sounds, Wire, cough, make_sounds

TICK = 20_000
MS = 1000
LEAD = 40
TAIL = 60

VOICE = "voice: {vendor: piper}\n"


def sounds_for(text: str, speech_ms: int = 200) -> Sounds:
    """Each utterance is speech between 40 ms and 60 ms of silence."""
    script = load_script(VOICE + text)
    speech = L16_8K.silence(LEAD) + tone(speech_ms) + L16_8K.silence(TAIL)
    made = {
        key: cough(8000) if step.kind == "cough" else speech
        for key, step in utterances(script).items()
    }
    return make_sounds(Wire(MULAW_8K), made)


class Call:
    """A caller on virtual time, and an agent that is audible when told."""

    def __init__(self, text: str, *, stop_at_us: int | None = None, start_us: int = 0) -> None:
        self.sounds = sounds_for(text)
        script = load_script(VOICE + text)
        self.caller = Caller(script, self.sounds, start_us, stop_at_us=stop_at_us)
        self.now_us = start_us
        self.actions: list[tuple[int, object]] = []
        self.sent: list[bytes] = []

    def run(self, ms: int, *, agent: bool = False) -> "Call":
        for _ in range(ms * MS // TICK):
            self.now_us += TICK
            audible = (self.now_us - TICK, self.now_us) if agent else None
            self.sent.append(self.caller.tick(self.now_us, audible).payload)
            self.actions += [(self.now_us // MS, action) for action in self.caller.actions]
            self.caller.actions.clear()
        return self

    def when(self, kind: type) -> list[int]:
        return [at for at, action in self.actions if isinstance(action, kind)]

    @property
    def outcome(self) -> str:
        return self.caller.outcome


def test_an_utterance_is_sent_frame_by_frame_and_timed_by_its_voice() -> None:
    call = Call("steps:\n  - silence: 100\n  - say: Hello\n  - silence: 100").run(420)
    said = call.caller.said[0]
    assert (said.kind, said.text, said.line) == ("say", "Hello", 4)
    assert said.started_us == 120 * MS
    assert said.first_voiced_us == said.started_us + LEAD * MS
    assert said.last_voiced_us == said.started_us + (LEAD + 200 - 20) * MS
    assert said.ended_us == said.started_us + (LEAD + 200 + TAIL) * MS
    frames = call.sounds.utterances["text:Hello"].frames
    assert call.sent[5 : 5 + len(frames)] == [frame.payload for frame in frames]
    assert call.sent[0] == b"\xff" * 160
    assert call.when(SaidStarted) == [120]
    assert call.when(SaidFinished) == [420]


def test_the_call_hangs_up_at_the_end_of_the_script_and_only_once() -> None:
    call = Call("steps:\n  - silence: 40").run(200)
    assert call.outcome == "completed"
    assert call.actions == [(60, EndCall("hang_up"))]


@pytest.mark.parametrize(
    ("step", "how"),
    [
        ("hang_up: {}", "hang_up"),
        ("drop: {}", "drop"),
        ("drop: {half_message: true}", "half_message"),
    ],
)
def test_ways_to_end_a_call(step: str, how: str) -> None:
    call = Call(f"steps:\n  - {step}").run(40)
    assert call.outcome == "completed"
    assert call.actions == [(20, EndCall(how))]  # type: ignore[arg-type]


def test_keys_are_pressed_one_by_one() -> None:
    call = Call('steps:\n  - dtmf: "12w#"').run(2000)
    keys = [(at, action.digit) for at, action in call.actions if isinstance(action, PressKey)]
    assert keys == [(20, "1"), (220, "2"), (920, "#")]


def test_agent_finished_needs_speech_and_then_quiet() -> None:
    call = Call("steps:\n  - wait: agent_finished")
    call.run(1000).run(500, agent=True).run(680)
    assert call.outcome == "running"
    call.run(20)
    assert call.outcome == "completed"
    assert call.now_us == 2200 * MS


def test_a_pause_in_the_agents_speech_is_not_its_end() -> None:
    call = Call("steps:\n  - wait: {agent_finished: true, quiet_ms: 300}")
    for _ in range(4):
        call.run(200, agent=True).run(280)
    assert call.outcome == "running"
    assert call.run(20).outcome == "completed"


def test_agent_finished_waits_for_speech_after_the_callers_own() -> None:
    call = Call("steps:\n  - wait: agent_finished\n  - say: A\n  - wait: agent_finished")
    call.run(200, agent=True).run(700).run(300)
    assert len(call.caller.said) == 1
    assert call.run(5000).outcome == "running"
    assert call.run(100, agent=True).run(700).outcome == "completed"


def test_a_second_wait_needs_a_second_speech() -> None:
    call = Call("steps:\n  - wait: agent_finished\n  - wait: agent_finished")
    assert call.run(200, agent=True).run(2000).outcome == "running"
    assert call.run(200, agent=True).run(720).outcome == "completed"


def test_the_tail_of_a_cut_speech_is_no_answer() -> None:
    """The agent goes on for a moment after a short interruption; its answer comes later."""
    call = Call("steps:\n  - interrupt: {say: Stop, after_ms: 100}\n  - wait: agent_finished")
    call.run(100, agent=True).run(280, agent=True)
    assert call.caller.said[0].last_voiced_us is not None
    call.run(100, agent=True).run(1500)
    assert call.outcome == "running"
    assert call.run(100, agent=True).run(720).outcome == "completed"


def test_an_agent_that_talks_on_through_a_murmur_is_waited_for() -> None:
    call = Call(
        "steps:\n  - wait: {agent_speaking_ms: 100}\n  - murmur: mm\n  - wait: agent_finished"
    )
    call.run(3000, agent=True)
    assert call.outcome == "running"
    assert call.run(720).outcome == "completed"


def test_an_interruption_comes_so_many_ms_into_the_speech() -> None:
    call = Call("steps:\n  - interrupt: {say: Sorry, after_ms: 800}")
    call.run(500).run(200, agent=True).run(100).run(700, agent=True)
    assert call.when(SaidStarted) == [1300]
    assert call.caller.said[0].kind == "interrupt"


def test_a_wait_for_speech_starts_anew_after_a_long_pause() -> None:
    call = Call("steps:\n  - wait: {agent_speaking_ms: 400}")
    call.run(300, agent=True).run(1000).run(380, agent=True)
    assert call.outcome == "running"
    assert call.run(20, agent=True).outcome == "completed"


def test_a_wait_that_lasts_too_long_ends_the_call_and_says_why() -> None:
    call = Call("steps:\n  - wait: {agent_finished: true, timeout_ms: 500}").run(600)
    assert call.outcome == "wait_timed_out"
    assert "line 3: waited 500 ms for agent_finished; it never spoke" in call.caller.detail
    assert call.actions == [(520, EndCall("hang_up"))]


def test_a_call_that_lasts_too_long_is_ended() -> None:
    call = Call("timeout_s: 1\nsteps:\n  - silence: 5000").run(1100)
    assert call.outcome == "call_timed_out"
    assert call.when(EndCall) == [1000]


def test_a_run_that_is_over_ends_the_call_as_a_success() -> None:
    call = Call("steps:\n  - silence: 5000", stop_at_us=400 * MS).run(600)
    assert call.outcome == "completed"
    assert call.when(EndCall) == [400]


def test_repeating_by_number_and_by_time() -> None:
    call = Call("repeat: 3\nsteps:\n  - say: A\n  - silence: 100").run(1500)
    assert len(call.caller.said) == 3
    call = Call("loop_s: 1\nsteps:\n  - say: A\n  - silence: 100").run(1500)
    assert len(call.caller.said) == 3  # 400 ms each; the third begins at 800 ms
    assert call.outcome == "completed"


def test_repeating_what_takes_no_time_does_not_hang() -> None:
    text = "loop_s: 1\nsteps:\n  - wait: {agent_speaking_ms: 0}"
    call = Call(text).run(980, agent=True)
    assert call.outcome == "running"
    assert call.run(60, agent=True).outcome == "completed"


@pytest.mark.parametrize(
    ("steps", "before", "outcome"),
    [
        ("  - wait: call_ended", lambda call: call.run(100), "completed"),
        ("  - wait: agent_finished", lambda call: call.run(100, agent=True), "completed"),
        ("  - wait: agent_finished\n  - hang_up:", lambda c: c.run(100, agent=True), "completed"),
        ("  - wait: agent_finished", lambda call: call.run(100), "server_ended"),
        ("  - wait: agent_finished\n  - cough:", lambda c: c.run(99, agent=True), "server_ended"),
        ("  - silence: 500", lambda call: call.run(100), "server_ended"),
        ("  - say: Hello there", lambda call: call.run(100), "server_ended"),
        ("  - say: Hello there", lambda call: call, "server_ended"),
    ],
)
def test_the_server_ends_the_call(steps: str, before: Callable[[Call], Call], outcome: str) -> None:
    call = before(Call(f"steps:\n{steps}"))
    call.caller.server_closed(call.now_us)
    assert call.outcome == outcome
    assert not call.caller.actions
    assert ("line" in call.caller.detail) == (outcome == "server_ended")


def test_a_connection_that_breaks_is_no_hang_up() -> None:
    call = Call("steps:\n  - wait: call_ended").run(100)
    call.caller.server_closed(call.now_us, broken=True)
    assert call.outcome == "server_ended"
    assert "broke" in call.caller.detail


def test_a_caller_may_start_at_any_time() -> None:
    call = Call("timeout_s: 5\nsteps:\n  - wait: agent_finished", start_us=10**12)
    assert call.run(100, agent=True).run(720).outcome == "completed"


def payloads(frames: Iterable[bytes]) -> set[bytes]:
    return set(frames)


def test_noise_lies_on_the_line_between_utterances() -> None:
    script = load_script("noise_dbfs: -50\nsteps:\n  - silence: 400")
    sounds = make_sounds(Wire(MULAW_8K, noise_dbfs=-50), {})
    caller = Caller(script, sounds, 0)
    sent = [caller.tick(index * TICK, None).payload for index in range(1, 20)]
    assert len(payloads(sent)) == 19
    assert b"\xff" * 160 not in sent
